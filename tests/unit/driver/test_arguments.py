"""Bad input: one error with every problem in it, before anything starts and with nothing left behind."""

from __future__ import annotations

import functools
import inspect
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import errors, experiment, space
from hopslite.driver.declarations import declarations
from hopslite.driver.keywords import MemberOptions, RestartOptions, RunOptions, TrialOptions
from hopslite.pool import Resources
from hopslite.pool.inline import Inline
from tests.helpers.observe import files_below

LOCK = threading.Lock()
PACKAGE = Path(errors.__file__).resolve().parent  # wherever this checkout is, and whatever it is called
NAN = float("nan")


def train(lr: float, depth: int = 1) -> float:
    return lr * depth


def uses_lock(lr: float) -> float:
    with LOCK:
        return lr


GRID = {"lr": [0.1, 0.2]}
BOUNDS = {"lr": [0.1, 0.2]}
grid, random, evolve, launch = (
    experiment.grid_search,
    experiment.random_search,
    experiment.differential_evolution,
    experiment.launch,
)


@pytest.fixture(params=["spark", "inline"])
def pool(request: pytest.FixtureRequest) -> str:
    """Neither pool is started; that of Spark would need Java and seconds."""
    return str(request.param)


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> errors.InvalidArguments:
    """The one error of a call, which has not started Spark."""
    spark = "pyspark" in sys.modules and sys.modules["pyspark"].SparkContext._active_spark_context
    with pytest.raises(errors.InvalidArguments) as caught:
        call(*args, **{"display": False, **kwargs})
    if not spark and "pyspark" in sys.modules:
        assert sys.modules["pyspark"].SparkContext._active_spark_context is None
    return caught.value


def alone() -> None:
    """A training function of a distributed run."""


# (what is wrong, words that the message must hold, the call's arguments)
CASES: list[tuple[str, list[str], Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    ("not callable", ["train_fn", "3"], grid, (3, GRID), {}),
    ("the result of a call", ["train_fn", "0.1"], launch, (train(0.1),), {}),
    ("unknown argument", ["train()", "lr", "depth", "unknown", "rate"], grid, (train, {**GRID, "rate": [1]}), {}),
    ("missing argument", ["train()", "missing", "lr"], grid, (train, {"depth": [1]}), {}),
    ("unknown and missing", ["unknown", "rate", "missing", "lr"], random, (train, {"rate": [0, 1]}), {}),
    ("missing argument of launch", ["train()", "missing", "lr"], launch, (train,), {}),
    ("empty grid", ["empty"], grid, (train, {}), {}),
    ("empty list", ["lr", "empty"], grid, (train, {"lr": []}), {}),
    ("no dict", ["dict", "[1]"], grid, (train, [1]), {}),
    ("no dict for launch", ["dict", "[1]"], launch, (train, [1]), {}),
    ("value that is no list", ["lr", "0.1", "list"], grid, (train, {"lr": 0.1}), {}),
    ("text that is no list", ["lr", "abc"], grid, (train, {"lr": "abc"}), {}),
    ("value that is no list, launch", ["lr", "0.1", "list"], launch, (train, {"lr": 0.1}), {}),
    ("lists of two lengths", ["length", "lr", "depth", "2", "1"], launch, (train, {"lr": [1, 2], "depth": [1]}), {}),
    ("three bounds", ["lr", "two", "3"], random, (train, {"lr": [0, 1, 2]}), {}),
    ("one bound", ["lr", "two"], random, (train, {"lr": [0.5]}), {}),
    ("equal bounds", ["lr", "0.5"], random, (train, {"lr": [0.5, 0.5]}), {}),
    ("bool bounds", ["lr", "bool"], random, (train, {"lr": [False, True]}), {}),
    ("NaN bound", ["lr", "nan"], random, (train, {"lr": [0.0, NAN]}), {}),
    ("infinite bound", ["lr", "inf"], random, (train, {"lr": [0.0, float("inf")]}), {}),
    ("bounds of two kinds", ["lr", "str"], random, (train, {"lr": [0.1, "b"]}), {}),
    ("equal bounds in DE", ["lr", "1"], evolve, (train, {"lr": [1, 1]}), {}),
    ("three bounds in DE", ["lr", "two"], evolve, (train, {"lr": [0, 1, 2]}), {}),
    ("endless dimension in a grid", ["lr"], grid, (train, {"lr": space.uniform(0, 1)}), {}),
    ("direction", ["direction", "'up'", "MAX", "MIN"], grid, (train, GRID, "up"), {}),
    ("direction None", ["direction", "None"], random, (train, BOUNDS, None), {}),
    ("direction in DE", ["direction", "'maximise'"], evolve, (train, BOUNDS, "maximise"), {}),
    ("no samples", ["samples", "0"], random, (train, BOUNDS), {"samples": 0}),
    ("samples that are no number", ["samples", "'many'"], random, (train, BOUNDS), {"samples": "many"}),
    ("half a sample", ["samples", "2.5"], random, (train, BOUNDS), {"samples": 2.5}),
    ("bool samples", ["samples", "True"], random, (train, BOUNDS), {"samples": True}),
    ("small population", ["population", "3"], evolve, (train, BOUNDS), {"population": 3}),
    ("no generations", ["generations", "0"], evolve, (train, BOUNDS), {"generations": 0}),
    ("mutation", ["mutation", "3"], evolve, (train, BOUNDS), {"mutation": 3.0}),
    ("mutation 0", ["mutation", "0"], evolve, (train, BOUNDS), {"mutation": 0}),
    ("crossover", ["crossover", "1.5"], evolve, (train, BOUNDS), {"crossover": 1.5}),
    ("crossover NaN", ["crossover", "nan"], evolve, (train, BOUNDS), {"crossover": NAN}),
    ("initial", ["initial", "'grid'"], evolve, (train, BOUNDS), {"initial": "grid"}),
    ("name with a separator", ["name", "a/b"], grid, (train, GRID), {"name": "a/b"}),
    ("name with a backslash", ["name"], grid, (train, GRID), {"name": "a\\b"}),
    ("name of dots", ["name", ".."], grid, (train, GRID), {"name": ".."}),
    ("empty name", ["name"], launch, (train, GRID), {"name": " "}),
    ("name that is no text", ["name", "7"], launch, (train, GRID), {"name": 7}),
    ("parallelism", ["parallelism", "0"], grid, (train, GRID), {"parallelism": 0}),
    ("parallelism True", ["parallelism", "True"], grid, (train, GRID), {"parallelism": True}),
    ("cpus", ["cpus_per_trial", "0"], grid, (train, GRID), {"cpus_per_trial": 0}),
    ("gpus", ["gpus_per_trial", "-1"], grid, (train, GRID), {"gpus_per_trial": -1}),
    ("a third and less of a gpu", ["gpus_per_trial=0.3", "0.25 (4"], grid, (train, GRID), {"gpus_per_trial": 0.3}),
    ("a gpu and a half", ["gpus_per_trial=1.5", "1 or 2"], launch, (train, GRID), {"gpus_per_trial": 1.5}),
    ("gpus as text", ["gpus_per_trial='0.5'"], grid, (train, GRID), {"gpus_per_trial": "0.5"}),
    (
        "shares of members",
        ["gpus_per_trial=0.5", "NCCL"],
        grid,
        (train, GRID),
        {"gpus_per_trial": 0.5, "strategy": "torch", "workers_per_trial": 2},
    ),
    ("seed", ["seed", "'x'"], grid, (train, GRID), {"seed": "x"}),
    ("trial_timeout", ["trial_timeout", "0"], grid, (train, GRID), {"trial_timeout": 0}),
    ("timeout", ["timeout", "-1"], grid, (train, GRID), {"timeout": -1}),
    ("endless timeout", ["timeout", "nan"], grid, (train, GRID), {"timeout": NAN}),
    ("max_failures", ["max_failures", "-1"], grid, (train, GRID), {"max_failures": -1}),
    ("max_retries", ["max_retries", "None"], grid, (train, GRID), {"max_retries": None}),
    ("isolation", ["isolation", "'thread'", "process", "none"], grid, (train, GRID), {"isolation": "thread"}),
    ("tags", ["tags"], grid, (train, GRID), {"tags": {"a": 1}}),
    ("tracking_uri", ["tracking_uri"], grid, (train, GRID), {"tracking_uri": 3}),
    ("unknown keyword", ["trial_timout", "trial_timeout"], grid, (train, GRID), {"trial_timout": 3}),
    ("optimization_key", ["optimization_key", "3"], grid, (train, GRID), {"optimization_key": 3}),
    ("metric_key", ["metric_key", "3"], launch, (train, GRID), {"metric_key": 3}),
    ("description", ["description", "3"], launch, (train, GRID), {"description": 3}),
    ("display", ["display", "3"], launch, (train, GRID), {"display": 3}),
]


@pytest.mark.parametrize(("words", "verb", "args", "kwargs"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_bad_input_is_refused(
    words: list[str],
    verb: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    pool: str,
    project: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(verb, *args, pool=pool, **kwargs)
    for word in words:
        assert word.lower() in str(error).lower(), str(error)
    assert verb.__name__ in str(error)  # where it went wrong
    assert files_below(tmp_path) == set()


def test_an_unknown_pool_is_refused(project: str) -> None:
    assert "'yarn'" in str(refused(grid, train, GRID, pool="yarn"))


def test_the_grid_takes_no_keyword_of_another_verb(project: str) -> None:
    assert "samples" in str(refused(grid, train, GRID, samples=3))


def test_all_problems_come_in_one_message(project: str, tmp_path: Path) -> None:
    error = refused(
        random,
        train,
        {"rate": [0, 1], "lr": [1, 1]},
        direction="up",
        samples=0,
        name="a/b",
        seed=-1,
        isolation="x",
        timeout=0,
        parallelism=0,
        surprise=1,
    )
    text = str(error)
    for word in ("'lr'", "direction", "samples", "name", "seed", "isolation", "timeout", "parallelism", "surprise"):
        assert word in text, text
    assert len(error.problems) >= 9
    assert files_below(tmp_path) == set()


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        (random, {"samples": 0}, ["samples"]),
        (evolve, {"population": 1, "initial": "x"}, ["population", "initial"]),
        (experiment.search, {"num_trials": 0}, ["num_trials"]),
        (experiment.search, {"algorithm": "tpee"}, ["'tpe'"]),
        (experiment.search, {"algorithm": "hyperband", "algorithm_options": {"max_bugdet": 3}}, ["max_budget"]),
        (
            experiment.search,
            {"num_trials": 0, "algorithm": "asha", "algorithm_options": {"x": 1, "min_budget": 0, "sampler": "tpee"}},
            ["num_trials", "'x'", "min_budget", "'tpe'"],
        ),
        (
            experiment.search,
            {"algorithm": "hyperband", "algorithm_options": {"reduction_factor": 1, "sampler": "asha"}},
            ["reduction_factor", "sampler='asha' gives budgets"],
        ),
        (
            experiment.search,
            {"algorithm": "differential_evolution", "algorithm_options": {"mutation": 3, "initial": "x"}},
            ["mutation", "initial"],
        ),
        (
            experiment.search,
            {"algorithm": "tpe", "algorithm_options": {"n_startup": 1, "n_startup_trials": -1}},
            ["'n_startup'", "n_startup_trials must"],
        ),
        (experiment.search, {"algorithm": "qmc", "algorithm_options": {"qmc_type": "dice"}}, ["dice"]),
        (experiment.search, {"algorithm": 3}, ["algorithm=3"]),
    ],
)
def test_options_of_an_algorithm_are_checked_beside_an_invalid_space(
    verb: Callable[..., Any], options: dict[str, Any], words: list[str], project: str
) -> None:
    text = str(refused(verb, train, {"lr": [1, 1]}, **options))
    assert [word for word in ("'lr'", *words) if word not in text] == []


def test_an_unwritable_project_is_refused(tmp_path: Path, pool: str) -> None:
    (tmp_path / "file").write_text("")
    error = refused(grid, train, GRID, project=tmp_path / "file" / "project", pool=pool)
    assert str(tmp_path / "file" / "project") in str(error)
    assert files_below(tmp_path) == {"file"}


def test_a_project_on_an_unknown_file_system_is_refused(pool: str) -> None:
    error = refused(grid, train, GRID, project="nosuchprotocol://x/y", parallelism=-1, pool=pool)
    assert "nosuchprotocol" in str(error)
    assert "parallelism" in str(error)


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"x"


@pytest.mark.parametrize("given", [5, "", b"x", BytesPath(), ["x"]])
def test_a_project_that_is_no_path_is_refused(
    given: Any, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(grid, train, GRID, project=given, seed=-1, pool=pool)
    assert [problem.partition("=")[0] for problem in error.problems] == ["project", "seed"]
    assert files_below(tmp_path) == set()


class HalfAPool:
    def start(self, job: Any, label: str) -> None:
        raise AssertionError

    want = submit = wait = kill = start


@pytest.mark.parametrize("given", [object(), None, 3, HalfAPool(), Inline])
def test_a_pool_that_is_none_is_refused(given: Any, project: str, tmp_path: Path) -> None:
    error = refused(grid, train, GRID, pool=given, seed=-1)
    assert [problem.partition("=")[0] for problem in error.problems] == ["pool", "seed"]
    assert "submit" in str(error)
    assert files_below(tmp_path) == set()


def test_a_pool_can_be_an_object(project: str) -> None:
    assert grid(train, GRID, pool=Inline(Resources()), display=False).best_metric == 0.2


def test_nothing_is_left_of_a_project_that_was_not_there(tmp_path: Path, pool: str) -> None:
    refused(grid, train, GRID, "up", project=tmp_path / "deep" / "er" / "project", pool=pool)
    assert files_below(tmp_path) == set()


def test_a_project_that_is_there_stays_as_it_is(tmp_path: Path, pool: str) -> None:
    (tmp_path / "project").mkdir()
    refused(grid, train, GRID, "up", project=tmp_path / "project", pool=pool)
    assert files_below(tmp_path) == {"project"}


def test_memory_is_no_place_for_trials_on_spark() -> None:
    assert "memory" in str(refused(grid, train, GRID, project="memory://project"))


@pytest.mark.parametrize(
    "option", [{"trial_timeout": 3.0, "isolation": "none"}, {"trial_timeout": 3.0, "pool": "inline"}]
)
def test_a_trial_that_cannot_be_killed_has_no_time_limit(project: str, option: dict[str, Any]) -> None:
    assert "trial_timeout" in str(refused(grid, train, GRID, **option))


@pytest.mark.parametrize("option", ["cpus_per_trial", "gpus_per_trial", "parallelism"])
def test_resources_mean_nothing_inline(project: str, tmp_path: Path, option: str) -> None:
    assert option in str(refused(grid, train, GRID, pool="inline", **{option: 2}))
    assert files_below(tmp_path) == set()


def test_a_function_that_cannot_travel_names_the_culprit(project: str, tmp_path: Path) -> None:
    # by value, as from a notebook: functions of modules go by their name
    lock = threading.Lock()

    def in_closure(lr: float) -> float:
        with lock:
            return lr

    def as_default(lr: float, guard: Any = lock) -> float:
        return lr

    def in_a_comprehension(lr: float) -> list[Any]:
        return [lock.locked() for _ in range(int(lr))]

    space_of_main: dict[str, Any] = {"__name__": "__main__", "LOCK": lock}
    exec("def as_global(lr):\n    with LOCK:\n        return lr", space_of_main)
    for fn, culprit in (
        (in_closure, "'lock'"),
        (as_default, "'guard'"),
        (in_a_comprehension, "'lock'"),
        (space_of_main["as_global"], "'LOCK'"),
    ):
        with pytest.raises(errors.NotSerializable) as caught:
            grid(fn, GRID, display=False)
        assert culprit in str(caught.value)
        assert "lock" in str(caught.value)
        assert isinstance(caught.value, TypeError)
    with pytest.raises(errors.NotSerializable, match="value"):
        grid(train, {"lr": [lock]}, display=False)
    assert files_below(tmp_path) == set()


async def awaited(lr: float) -> float:
    return lr


def yields(lr: float) -> Any:
    yield lr


async def yields_later(lr: float) -> Any:
    yield lr


class CallsLater:
    async def __call__(self, lr: float) -> float:
        return lr


@pytest.mark.parametrize(
    ("fn", "word"),
    [
        (awaited, "async"),
        (yields, "generator"),
        (yields_later, "async"),
        (CallsLater(), "async"),
        (functools.partial(awaited), "async"),
        (CallsLater().__call__, "async"),
        (functools.wraps(yields)(functools.partial(yields)), "generator"),
    ],
)
def test_a_function_that_only_returns_something_to_run_is_refused(
    fn: Any, word: str, project: str, tmp_path: Path
) -> None:
    [problem] = refused(grid, fn, GRID, display=False).problems
    assert f"{word} function" in problem
    assert files_below(tmp_path) == set()


class TestSignatures:
    """Arguments bind as Python binds them."""

    def run(self, fn: Callable[..., Any], given: dict[str, Any]) -> Any:
        return launch(fn, given, pool="inline", display=False)[1]["metric"]

    def test_defaults_keyword_only_and_any_name(self, project: str) -> None:
        def fn(a: int, b: int = 2, *, c: int, d: int = 4, **rest: int) -> str:
            return f"{a}{b}{c}{d}{rest}"

        assert self.run(fn, {"a": [1], "c": [3]}) == "1234{}"
        assert self.run(fn, {"x": [9], "c": [3], "b": [5], "a": [1]}) == "1534{'x': 9}"

    def test_positional_only(self, project: str) -> None:
        def fn(a: int, /, b: int) -> str:
            return f"{a}{b}"

        assert self.run(fn, {"b": [2], "a": [1]}) == "12"

    def test_methods_partials_and_callable_objects(self, project: str) -> None:
        import functools

        class Model:
            scale = 3

            def train(self, lr: int) -> int:
                return lr * self.scale

            def __call__(self, lr: int) -> int:
                return lr + self.scale

        assert self.run(Model().train, {"lr": [2]}) == 6
        assert self.run(Model(), {"lr": [2]}) == 5
        assert self.run(functools.partial(lambda lr, by: lr - by, by=1), {"lr": [2]}) == 1
        assert self.run(lambda lr: lr, {"lr": [2]}) == 2

    def test_keyword_only_without_default_is_missing(self, project: str) -> None:
        def fn(a: int, *, c: int) -> int:
            return a + c

        assert "missing: c" in str(refused(launch, fn, {"a": [1]}, pool="inline"))


BASES = {
    errors.InvalidArguments: (ValueError, TypeError),
    errors.InvalidConfiguration: (ValueError, TypeError),
    errors.DataSetExists: (FileExistsError,),
    errors.DataSetNotFound: (LookupError, OSError),
    errors.NotSerializable: (TypeError,),
    errors.NotSupported: (NotImplementedError,),
    errors.UnknownPlugin: (LookupError,),
    errors.ModelNotFound: (LookupError,),
    errors.ModelExists: (FileExistsError, ValueError),
    errors.ModelArchiveExists: (FileExistsError,),
    errors.MissingExtra: (ImportError,),
    errors.StoreError: (OSError,),
    errors.SparkUnavailable: (RuntimeError,),
    errors.StorageUnavailable: (OSError,),
    errors.RunDeleted: (OSError,),
    errors.ReplayError: (RuntimeError,),
    errors.ReportError: (ValueError, TypeError),
    errors.ResumeError: (ValueError,),
    errors.ReturnValueError: (ValueError, TypeError),
    errors.CommandFailed: (RuntimeError,),
    errors.RunIsRunning: (RuntimeError,),
    errors.RunNotFound: (LookupError,),
    errors.RunTakenOver: (RuntimeError,),
    errors.TrialFailed: (RuntimeError,),
    errors.RunInterrupted: (KeyboardInterrupt,),
}


def test_every_error_has_the_root_and_a_builtin_base() -> None:
    listed = {getattr(errors, name) for name in errors.__all__} - {errors.HopsliteError}
    assert listed == {*BASES, errors.TrialStopped}
    assert not issubclass(errors.TrialStopped, Exception)  # or a training loop's own handler would take it
    for kind, bases in BASES.items():
        assert issubclass(kind, (errors.HopsliteError,))
        assert all(issubclass(kind, base) for base in bases), kind


@pytest.mark.parametrize("kind", BASES)
def test_errors_survive_pickling(kind: type[errors.HopsliteError]) -> None:
    if kind is errors.InvalidArguments:
        made = kind("where", ["a", "b"])
    else:
        made = kind(["a", "b"]) if kind is errors.InvalidConfiguration else kind("text", trial_id="7", extra=[1])
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.__dict__) == (type(made), str(made), made.__dict__)


def test_directions_in_any_spelling(project: str) -> None:
    for given in ("max", "MIN", experiment.Direction.MIN, "Max"):
        run = grid(train, GRID, given, pool="inline", display=False)
        assert str(run.direction) == str(getattr(given, "value", given)).upper()


def test_a_project_can_be_a_path(tmp_path: Path) -> None:
    run = grid(train, GRID, project=tmp_path / "p", pool="inline", display=False)
    assert run.logdir.startswith(f"{tmp_path}{os.sep}p")


DISTRIBUTED: list[tuple[str, list[str], Callable[..., Any], dict[str, Any]]] = [
    ("no workers", ["num_workers=0", "at least 1"], experiment.mirrored, {"num_workers": 0}),
    ("workers True", ["num_workers=True"], experiment.mirrored, {"num_workers": True}),
    ("no parameter server", ["num_ps=0"], experiment.parameter_server, {"num_workers": 2, "num_ps": 0}),
    ("ps for torch", ["num_ps=1", "torch"], experiment.distributed, {"strategy": "torch", "num_ps": 1}),
    ("evaluator for jax", ["evaluator", "rank 0"], experiment.distributed, {"strategy": "jax", "evaluator": True}),
    ("unknown strategy", ["'horovod'", "torch"], experiment.distributed, {"strategy": "horovod"}),
    ("gpus", ["gpus_per_worker=-1"], experiment.mirrored, {"gpus_per_worker": -1}),
    ("half a gpu", ["gpus_per_worker=0.5", "NCCL", "give 1 or 0"], experiment.mirrored, {"gpus_per_worker": 0.5}),
    ("cpus", ["cpus_per_worker=0"], experiment.mirrored, {"cpus_per_worker": 0}),
    ("on_failure", ["on_failure='retry'", "restart"], experiment.mirrored, {"on_failure": "retry"}),
    ("restarts", ["max_restarts=-1"], experiment.mirrored, {"max_restarts": -1}),
    ("forming timeout", ["forming_timeout=0"], experiment.mirrored, {"forming_timeout": 0}),
    ("grace", ["evaluator_grace=-1"], experiment.mirrored, {"evaluator_grace": -1}),
    ("a search's keyword", ["gpus_per_trial", "gpus_per_worker"], experiment.mirrored, {"gpus_per_trial": 1}),
    ("a search's size", ["workers_per_trial", "searches"], experiment.mirrored, {"workers_per_trial": 2}),
    ("a search's bound", ["unknown keyword parallelism", "leave"], experiment.mirrored, {"parallelism": 2}),
    ("endless forming", ["forming_timeout=None"], experiment.mirrored, {"forming_timeout": None}),
    ("half an evaluator", ["evaluator='no'", "True or False"], experiment.mirrored, {"evaluator": "no"}),
    ("evaluator None", ["evaluator=None"], experiment.distributed, {"strategy": "torch", "evaluator": None}),
    ("every member 1", ["every_member=1", "True or False"], experiment.parameter_server, {"every_member": 1}),
    ("size and strategy", ["num_ps=0.5", "'tpu'"], experiment.distributed, {"num_ps": 0.5, "strategy": "tpu"}),
    ("no isolation", ["isolation"], experiment.mirrored, {"isolation": "none"}),
    ("inline", ["pool='inline'", "executors"], experiment.mirrored, {"pool": "inline"}),
    ("metric key", ["metric_key=3"], experiment.mirrored, {"metric_key": 3}),
    ("a typo", ["num_worker", "unknown keyword"], experiment.mirrored, {"num_worker": 2}),
]


@pytest.mark.parametrize(("what", "words", "verb", "given"), DISTRIBUTED, ids=[case[0] for case in DISTRIBUTED])
def test_a_distributed_run_that_cannot_work_is_refused(
    what: str, words: list[str], verb: Callable[..., Any], given: dict[str, Any], project: str
) -> None:
    error = refused(verb, alone, **given)
    assert [word for word in words if word not in str(error)] == [], str(error)
    assert not files_below(Path(project).parent)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gpus_per_worker": 1}, ["unknown keyword gpus_per_worker", "distributed", "gpus_per_trial"]),
        ({"cpus_per_worker": 1}, ["cpus_per_trial"]),
        ({"num_workers": 2}, ["workers_per_trial"]),
        ({"forming_timeout": 3}, ["forming_timeout", "leave it out"]),
    ],
)
def test_a_search_takes_no_keyword_of_a_distributed_verb(given: dict[str, Any], words: list[str], project: str) -> None:
    error = refused(grid, train, GRID, **given)
    assert [word for word in words if word not in str(error)] == [], str(error)
    assert len(error.problems) == 1


@pytest.mark.parametrize("verb", [experiment.mirrored, experiment.parameter_server, experiment.distributed])
def test_the_signature_of_a_distributed_verb_shows_its_keywords(verb: Callable[..., Any]) -> None:
    parameters = inspect.signature(verb).parameters
    shown = {name: parameters[name].default for name in MemberOptions.__annotations__}
    assert shown == {name: keyword.default for name, keyword in declarations(MemberOptions).items()}
    assert (shown["num_workers"], shown["gpus_per_worker"], shown["on_failure"]) == (None, 0, "fail")
    shared = RunOptions.__annotations__.keys() | RestartOptions.__annotations__.keys() | {"strategy"}
    assert not (TrialOptions.__annotations__.keys() - shared) & set(parameters)


def test_a_distributed_function_takes_no_arguments(project: str) -> None:
    assert "lr" in str(refused(experiment.mirrored, train, num_workers=2))


@pytest.mark.parametrize("given", [{"strategy": "torch"}, {"workers_per_trial": 2}])
def test_a_search_over_gangs_needs_both_keywords(given: dict[str, Any], project: str) -> None:
    error = refused(grid, train, GRID, **given)
    assert "strategy" in str(error)
    assert "workers_per_trial" in str(error)


def test_a_search_over_gangs_has_members_of_one_kind(project: str) -> None:
    error = refused(grid, train, GRID, strategy="parameter_server", workers_per_trial=2)
    assert "distributed()" in str(error)


def test_ports_for_members_are_checked(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPSLITE_MEMBER_PORTS", "9-1")
    assert "9-1" in str(refused(experiment.mirrored, alone, num_workers=2))


def test_a_mistake_shows_no_frames_of_ours(project: str) -> None:
    def fails(x: int) -> int:
        raise ValueError("of the user's")

    for error, call in (
        (errors.InvalidArguments, lambda: experiment.grid_search(fails, {"x": []})),
        (errors.TrialFailed, lambda: experiment.grid_search(fails, {"x": [1]}, pool="inline", display=False)),
        (errors.ResumeError, lambda: experiment.resume("nothing")),
    ):
        with pytest.raises(error) as caught:
            call()
        assert len([each for each in caught.traceback if PACKAGE in Path(str(each.path)).resolve().parents]) == 1
        if error is errors.TrialFailed:
            assert "of the user's" in str(caught.value.__cause__ or caught.value)
