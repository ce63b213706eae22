"""A user's program whose checks must say the same in a trial as outside; run by test_program.py and cluster tests."""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import importlib
import inspect
import json
import linecache
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import traceback
import typing
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextvars import Context, ContextVar
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

logging.basicConfig(level=logging.INFO, format="%(levelname)s|%(name)s|%(message)s", stream=sys.stdout)
logging.addLevelName(25, "NOTICE")
logging.getLogger("quiet").setLevel(logging.ERROR)
logging.getLogger("written").addHandler(logging.FileHandler(os.devnull))
logging.getLogger("written").propagate = False
fields = logging.StreamHandler(sys.stdout)
fields.setFormatter(logging.Formatter("%(mark)s|%(message)s", defaults={"mark": "marked"}))
fields.addFilter(lambda record: setattr(record, "host", "here") is None)
logging.getLogger("fields").addHandler(fields)
unknown = logging.StreamHandler(sys.stdout)
unknown.setFormatter(logging.Formatter("%(host)s|%(message)s"))
logging.getLogger("fields").addHandler(unknown)
logging.getLogger("fields").propagate = False
warnings.filterwarnings("ignore", category=RuntimeWarning)
warnings.filterwarnings("error", message="mine")
sys.setrecursionlimit(2345)
os.environ["SET_BY_THE_PROGRAM"] = "yes"

LIMIT = 7
NAMES = ["a", "b"]
counter = 0
T = TypeVar("T")
P = typing.ParamSpec("P")
unset: ContextVar[str] = ContextVar("unset")
request = ContextVar("request", default="default")
request.set("current")
UserId = typing.NewType("UserId", int)


class Net:
    width = 3

    def area(self) -> int:
        return self.width**2


class Wide(Net):
    width = 5


class Calls(enum.Enum):
    if sys.version_info >= (3, 11):
        ADD = enum.member(lambda a, b: a + b)
    ONE = 1


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Flags(enum.IntFlag):
    A = enum.auto()
    B = enum.auto()
    AB = A | B


class Planet(enum.Enum):
    EARTH = (6.0, 3.0)
    TERRA = EARTH

    def __init__(self, mass: float, radius: float) -> None:
        self.density = mass / radius


class Point(NamedTuple):
    x: int
    y: int = 2


@dataclasses.dataclass
class Config:
    rate: float = 0.1
    layers: list[int] = dataclasses.field(default_factory=list)


class Box(Generic[T]):
    class Inner:
        def value(self) -> int:
            return 4


class Shape(abc.ABC):
    @abc.abstractmethod
    def sides(self) -> int: ...


class Square(Shape):
    def sides(self) -> int:
        return 4


class Unmentioned:
    """No check names it: only a pickle does."""

    def __init__(self, value: int) -> None:
        self.value = value

    def limited(self) -> int:
        return min(self.value, LIMIT)


class Plugin:
    """Every subclass is registered, under a name that must be stated."""

    registry: dict[str, type] = {}
    created: list[str] = []

    def __init_subclass__(cls, *, key: str) -> None:
        Plugin.registry[key] = cls
        Plugin.created.append(key)


class Csv(Plugin, key="csv"):
    pass


class Meta(type):
    created: list[type] = []

    def __new__(mcs, name: str, bases: Any, namespace: Any, *, key: str) -> Any:
        made = super().__new__(mcs, name, bases, namespace)
        made.key = key
        mcs.created.append(made)
        return made

    def __init__(cls, name: str, bases: Any, namespace: Any, *, key: str) -> None:
        super().__init__(name, bases, namespace)


class Made(metaclass=Meta, key="made"):
    pass


class Lazy:
    @functools.cached_property
    def big(self) -> int:
        return 42

    @functools.lru_cache  # noqa: B019
    def small(self, n: int) -> int:
        return n + 1

    @functools.singledispatchmethod
    def kind(self, value: Any) -> str:
        return "any"

    @kind.register
    def _(self, value: int) -> str:
        return "int"


class Species:
    known: dict[str, type] = {}

    def __init_subclass__(cls) -> None:
        Species.known[cls.__name__] = cls


class Counted:
    count = 0

    def __init_subclass__(cls) -> None:
        Counted.count += 1


class Late(Counted):
    """Its base, which nothing else refers to, is complete before it is made."""


class Lonely(Species):
    """Like `Unmentioned`, and its base refers to it."""


class Single:
    def __reduce__(self) -> str:
        return "SINGLE"


SINGLE = Single()


class Registered:
    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)


def named(name: str) -> Registered:
    return Registered(name.lower())


REGISTERED = Registered("one")


@functools.singledispatch
def area(x: Any) -> str:
    return "any"


@area.register
def _(x: Net) -> str:
    return f"net {x.area()}"


@area.register(int)
def _area_of_int(x: int) -> str:
    return "int"


@functools.lru_cache(maxsize=100)
def fibonacci(n: int) -> int:
    """The n-th number."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def counter_and_reader() -> tuple[Any, Any]:
    count = 0

    def add() -> None:
        nonlocal count
        count += 1

    def read() -> int:
        return count

    return add, read


add, read = counter_and_reader()


def double(x: Any) -> Any:
    return x * 2


def point(x: int) -> Point:
    return Point(x)


def fails() -> None:
    raise KeyError("deep")


def main() -> Any:
    return sys.modules["__main__"]


def again(value: T) -> T:
    return pickle.loads(pickle.dumps(value))


def identities() -> Any:
    assert Box.__parameters__ == (T,)
    same = [
        again(value) is value for value in (Net, double, area, fibonacci, SINGLE, Color.RED, UserId, Box.Inner, T, P)
    ]
    return same, main().Net is Net, main().SINGLE is SINGLE, main().__name__, double.__module__


def instances() -> Any:
    equal = [again(value) == value for value in (Point(1), Config(), Color.BLUE, Flags.A | Flags.B, NAMES)]
    fields = [field.name for field in dataclasses.fields(Config)]
    return equal, isinstance(again(Wide()), Net), fields, dataclasses.replace(Config(), rate=2), Square().sides()


def registries() -> Any:
    made = [Csv.__name__, Plugin.registry["csv"] is Csv, Plugin.created, Plugin.__subclasses__()]
    late = getattr(main(), "La" + "te")  # found by its name only
    return made, Made.key, [kind is Made for kind in Meta.created], late.count


def members() -> Any:
    return (
        Planet.EARTH.density,
        again(Planet.EARTH).density,
        list(Planet.__members__),
        Flags.A | Flags.B,
        Planet.TERRA,
        list(Calls.__members__),
    )


def closures() -> Any:
    before = read()
    add()
    return read() - before, request.get(), Context().run(request.get), unset.get("none")


def dispatch() -> Any:
    return area(Wide()), area(3), area(""), Lazy().kind(3), Lazy().kind("")


def caches() -> Any:
    fibonacci.cache_clear()
    numbers = fibonacci(20), fibonacci.cache_info(), fibonacci.__wrapped__(1), Lazy().big, Lazy().small(2)
    return numbers, fibonacci.__doc__


def pickle_of_the_driver() -> Any:
    lonely, value = pickle.loads(bytes.fromhex(os.environ["PICKLE_OF_THE_DRIVER"]))
    if type(lonely).known["Lonely"] is not type(lonely) or type(lonely) is not main().Lonely:
        return "there are two classes"
    return value.limited(), isinstance(value, main().Unmentioned)


def unpickling_code() -> Any:
    return REGISTERED.name, again(REGISTERED).name


def namespace() -> Any:
    return globals()["Unmentioned"](9).limited(), eval("double(4)"), main().NAMES, hasattr(main(), "nothing")


def changed_globals() -> Any:
    global counter
    counter += 1
    return counter, main().counter


def source() -> Any:
    lines = inspect.getsource(double), inspect.getsource(Net.area), inspect.getsource(Net).splitlines()[0]
    return lines, inspect.getsourcefile(double) == __file__, os.path.basename(__file__)


def tracebacks() -> Any:
    try:
        fails()
    except KeyError:
        return traceback.format_exc().splitlines()[-4:]


def shown_warnings() -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("here", stacklevel=1)
    [one] = caught
    return os.path.basename(one.filename), linecache.getline(one.filename, one.lineno).strip()


def filters() -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn("this is ignored", RuntimeWarning, stacklevel=1)
    try:
        warnings.warn("mine, too", stacklevel=1)
    except UserWarning as error:
        return len(caught), str(error)
    return None


def logs() -> Any:
    for name in ("mine.own", "quiet", "written", "fields"):
        logging.getLogger(name).info("said by %s", name)
        logging.getLogger(name).log(25, "noticed by %s", name)
    return logging.getLogger().level, logging.getLevelName(25)


def process() -> Any:
    return sys.getrecursionlimit(), sys.argv[1:], os.environ["SET_BY_THE_PROGRAM"]


def forked() -> Any:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(double, range(3)), pool.map(point, range(2)), pool.map(area, [Net()])


def spawned() -> Any:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        points = list(pool.map(point, range(2)))
        areas = list(pool.map(area, [Wide(), 1]))
        return areas, points, isinstance(points[0], Point), pool.submit(spawned_twice).result()


def spawned_twice() -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(double, ["x"])


def forked_by_a_server() -> Any:
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        return pool.map(double, range(3)), pool.map(area, [Net()])


def signals() -> Any:
    return {number.name: repr(signal.getsignal(number)).partition(" at ")[0] for number in signal.valid_signals()
                if isinstance(number, signal.Signals)}  # fmt: skip


def blocked_signals() -> Any:
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def child_that_exits() -> Any:
    child = os.fork()
    if child == 0:
        sys.exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def removed_directory() -> Any:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        os.chdir(folder)
        os.rmdir(folder)
        try:
            Path(other, "file").write_text("kept")
            os.rename(Path(other, "file"), Path(other, "renamed"))
            found = Path(other, "renamed").read_text()
            try:
                Path("relative").touch()
            except OSError as error:
                found += type(error).__name__
            os.mkdir(folder)
            return found
        finally:
            os.chdir(before)


def module_beside() -> Any:
    return importlib.import_module("beside").FACTOR


CHECKS = {
    check.__name__: check
    for check in (
        identities, instances, registries, members, closures, dispatch, caches,
        pickle_of_the_driver, unpickling_code, namespace, changed_globals,
        source, tracebacks, shown_warnings, filters, logs, process, forked, spawned,
        forked_by_a_server, signals, blocked_signals, child_that_exits, removed_directory, module_beside,
    )
}  # fmt: skip


def train(check: str) -> dict[str, str]:
    """A check's answer as text."""
    try:
        answer = repr(CHECKS[check]())
    except Exception as error:  # noqa: BLE001
        answer = f"{type(error).__name__}: {error}"
    return {"answer": answer}


if __name__ == "__main__":
    os.environ["PICKLE_OF_THE_DRIVER"] = pickle.dumps((Lonely(), Unmentioned(9))).hex()
    if sys.argv[1] == "outside":
        print("ANSWERS", json.dumps({check: train(check)["answer"] for check in CHECKS}))
    elif sys.argv[1] == "serialize":
        from hopslite.serialization.program import serialize

        with open(sys.argv[2], "wb") as file:
            file.write(serialize(train, []))
        print(os.environ["PICKLE_OF_THE_DRIVER"], file=sys.stderr)
    else:
        from hopslite import experiment

        isolation, parallelism = sys.argv[2], 1
        run = experiment.launch(
            train, {"check": list(CHECKS)}, isolation=isolation, parallelism=parallelism, display=False
        )
        answers = {trial.params["check"]: (trial.outputs or {}).get("answer", trial.error) for trial in run.trials}
        print("ANSWERS", json.dumps(answers), flush=True)
        print("LOGDIR", json.dumps(run.trials[list(CHECKS).index("logs")].logdir), flush=True)
