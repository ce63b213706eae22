"""Whether a training function and a space are still what they were, and what has changed where they are not."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import linecache
import math
import operator
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from hopslite import space
from hopslite.runs.fingerprint_difference import difference, space_difference
from hopslite.runs.function_fingerprint import describe
from tests.helpers.observe import PATIENCE_S

Fn = Callable[..., Any]


def made(source: str, name: str = "train", file: str = "<cell 1>", **around: Any) -> Any:
    """What a program or notebook defines as `train`; its source can be found where `file` is a cell."""
    text = textwrap.dedent(source)
    if file.startswith("<cell"):
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"functools": functools, "__name__": "__main__", **around}
    exec(compile(text, file, "exec"), namespace)
    return namespace[name]


def changed(old: Any, new: Any) -> str | None:
    """The difference as a later driver finds it: the first description has been in a file."""
    kept = json.loads(json.dumps(describe(old), allow_nan=False))
    return difference(kept, describe(new))


PLAIN = """
def train(lr, epochs=3):
    total = 0.0
    for epoch in range(epochs):
        total += lr * epoch if lr in {"a", "b", 3} else 1.5
    return {"metric": total, "f": [x for x in range(3)], "g": lambda y: (y, -0.0, b"b", ...)}
"""


class TestEqual:
    def test_a_description_says_what_it_was(self) -> None:
        found = describe(made(PLAIN))
        assert (found["name"], found["module"]) == ("train", "__main__")
        assert found["source"] == PLAIN[1:]
        assert found["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert found["defaults"] == {"epochs": "3"}
        assert found["variables"] == {}

    @pytest.mark.parametrize(
        "other",
        [
            PLAIN,
            "\n\n\n# moved\n" + PLAIN,
            PLAIN.replace("total = 0.0", "total = 0.0  # a comment"),
            PLAIN.replace("\n    total = 0", '\n    """What it does."""\n    total = 0')
            if sys.version_info < (3, 13)
            else PLAIN,
        ],
    )
    def test_place_comments_and_docstring_do_not_count(self, other: str) -> None:
        assert changed(made(PLAIN), made(other, file="<cell 2>")) is None
        assert changed(made(PLAIN), made(other, file="/nowhere/else.py")) is None

    def test_other_docstrings_are_equal(self) -> None:
        old, new = (made(f"def train():\n    '''{doc}'''\n    return 1\n") for doc in ("One.", "Two."))
        assert changed(old, new) is None
        assert changed(made("def train():\n    return 'One.'\n"), made("def train():\n    return 'Two.'\n"))

    def test_what_travelled_is_the_same(self) -> None:
        train = made("def outer(x):\n    def train(lr):\n        return lr * x\n    return train\n", "outer")(0.5)
        assert changed(train, cloudpickle.loads(cloudpickle.dumps(train))) is None

    def test_the_same_in_every_process(self, tmp_path: Path) -> None:
        """Sets have another order in each."""
        program = (
            f"{PLAIN}\nfrom hopslite.runs.function_fingerprint import describe\n"
            "import json\nprint(json.dumps(describe(train)))\n"
        )
        script = tmp_path / "program.py"
        script.write_text(program)
        found = []
        for seed in ("1", "2"):
            done = subprocess.run(
                [sys.executable, script],
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE_S,
                env={"PYTHONHASHSEED": seed},
            )
            found.append(json.loads(done.stdout))
        assert found[0] == found[1]
        assert difference(found[0], describe(made(PLAIN))) is None

    def test_functions_it_calls_do_not_count(self) -> None:
        one = "def helper():\n    return 1\n\ndef train():\n    return helper()\n"
        assert changed(made(one), made(one.replace("return 1", "return 2"))) is None

    def test_another_python_with_the_same_source(self) -> None:
        old = {**describe(made(PLAIN)), "python": "3.8", "code": "otherwise"}
        assert difference(old, describe(made(PLAIN))) is None
        assert "epochs" in str(difference(old, describe(made(PLAIN.replace("epochs=3", "epochs=4")))))
        for changes in ({"source": None}, {"source": "def train():\n    pass\n"}):
            assert difference({**old, **changes}, describe(made(PLAIN))) is not None


class TestDifferent:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("total = 0.0", "total = 0.5"),
            ("+=", "-="),
            ("range(epochs)", "range(lr)"),
            ('"b", 3', '"c", 3'),
            ('"b", 3', '"b", True'),
            ("1.5", "15"),
            ("(y, -0.0", "(y, 0.0"),
            ("x in range(3)", "x in range(4)"),
            ("epoch if", "min(epoch, 2) if"),
        ],
    )
    def test_changed_lines_are_shown(self, before: str, after: str) -> None:
        text = changed(made(PLAIN), made(PLAIN.replace(before, after), file="<cell 2>"))
        assert text is not None
        removed, added = ([line[1:] for line in text.splitlines() if line.startswith(sign)] for sign in ("-", "+"))
        assert len(removed) == len(added) == 1
        assert removed[0].replace(before, after) == added[0]
        assert after in added[0]

    def test_a_long_difference_is_cut(self) -> None:
        old, new = (
            "def train():\n" + "".join(f"    x = {n * factor}{' ' * 300}\n" for n in range(100)) for factor in (1, 2)
        )
        text = changed(made(old), made(new, file="<cell 2>"))
        assert text is not None
        assert len(text.splitlines()) <= 13
        assert max(map(len, text.splitlines())) <= 160
        assert "lines more" in text

    def test_without_source(self) -> None:
        old, new = made(PLAIN, file="<string>"), made(PLAIN.replace("total = 0.0", "total = 0.5"), file="<string>")
        assert describe(old)["source"] is None
        assert changed(old, new) == "its code is another"
        assert changed(old, made(PLAIN)) is None

    def test_a_large_source_is_cut(self) -> None:
        source = "def train():\n" + "".join(f"    x = 'é{n}'\n" for n in range(20_000))
        found = describe(made(source))
        assert 99_000 < len(found["source"].encode()) <= 100_000

    def test_defaults(self) -> None:
        source = "def train(lr, a=1, *, b='x', c=None):\n    return 1\n"
        new = source.replace("a=1", "a=2").replace("'x'", "'y'").replace(", c=None", "")
        text = changed(made(source), made(new))
        assert text is not None
        assert "the default of a was 1, now 2" in text
        assert "the default of b was a text (#" in text
        assert "the default of c was None, now not there" in text

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            (1, 2, "was 1, now 2"),
            (1, True, "was 1, now True"),
            (1, 1.0, "was 1, now 1.0"),
            ("a", "b", "was a text (#"),
            ([1, (2, {"k": {3}})], [1, (2, {"k": {4}})], ": {4}}"),
            (np.float32(0.5), np.float32(0.25), "was 0.5, now 0.25"),
            (Path("/a"), Path("/b"), "/b"),
            (math.inf, math.nan, "was inf, now nan"),
            (None, object(), "now <builtins.object>"),
            (list(range(1000)), list(range(1001)), "characters"),
            (dict, list, "builtins.list"),
        ],
    )
    def test_variables_around_it(self, old: Any, new: Any, said: str) -> None:
        def outer(x: Any) -> Fn:
            return lambda lr: (lr, x)

        text = changed(outer(old), outer(new))
        assert text is not None
        assert text.startswith("the variable x around it ")
        assert said in text
        assert len(text) < 600

    @pytest.mark.parametrize("value", [1, object(), np.zeros(3), len, {1: object()}, [[[[[[[[1]]]]]]]], {"b", "a"}])
    def test_an_equal_value_is_no_difference(self, value: Any) -> None:
        def outer(x: Any) -> Fn:
            return lambda lr: (lr, x)

        copy = object() if type(value) is object else value
        assert changed(outer(value), outer(copy)) is None

    def test_a_large_value_costs_little(self) -> None:
        def outer(x: Any) -> Fn:
            return lambda lr: (lr, x)

        for value in ([[0.0] * 5000] * 5000, list(range(10**6)), {n: n for n in range(10**5)}):
            found = describe(outer(value))
            assert len(json.dumps(found)) < 2000

    def test_values_of_objects(self) -> None:
        @dataclasses.dataclass
        class Config:
            layers: int
            kind: Kind = dataclasses.field(default_factory=lambda: Kind.SMALL)

        def outer(x: Any) -> Fn:
            return lambda: x

        assert changed(outer(Config(1)), outer(Config(1))) is None
        text = changed(outer(Config(1)), outer(Config(1, Kind.LARGE)))
        assert text is not None
        assert "kind=Kind.LARGE" in text

    def test_a_variable_that_is_not_set_yet(self) -> None:
        def outer() -> Fn:
            def train() -> Any:
                return later

            found = describe(train)
            later = 1
            assert "later" in str(difference(found, describe(train)))
            return train

        assert changed(outer(), outer()) is None

    def test_a_function_around_it_is_looked_into(self) -> None:
        def outer(x: Fn) -> Fn:
            return lambda lr: x(lr) + 1

        assert changed(outer(lambda lr: lr + 1), outer(lambda lr: lr + 1)) is None
        assert changed(outer(lambda lr: lr + 1), outer(lambda lr: lr + 2)) is not None

    def test_a_function_that_calls_itself(self) -> None:
        def outer() -> Fn:
            def train(n: int) -> int:
                return n and train(n - 1)

            return train

        assert changed(outer(), outer()) is None


class Kind(enum.Enum):
    SMALL = 1
    LARGE = 2


def plus(function: Fn) -> Fn:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def bare(function: Fn) -> Fn:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Holder:
    def __init__(self, function: Fn, scale: float = 1.0) -> None:
        self.function = function
        self.scale = scale

    def __call__(self, lr: float) -> Any:
        return self.function(lr)

    def method(self, lr: float) -> Any:
        return self.function(lr)


class Pretender:
    """Like the objects into which compilers turn functions."""

    def __init__(self, function: Fn) -> None:
        self.__wrapped__ = function
        self.calls = object()

    def __call__(self, *args: Any) -> Any:
        return self.__wrapped__(*args)


WRAPS: dict[str, Callable[[Fn], Any]] = {
    "wraps": plus,
    "bare": bare,
    "twice": lambda fn: plus(bare(fn)),
    "partial": lambda fn: functools.partial(fn, 0.1),
    "object": Holder,
    "method": lambda fn: Holder(fn).method,
    "compiled": Pretender,
    "cache": functools.lru_cache,
    "in a cell": lambda fn: lambda *args: [fn(*args)],
}


class TestLayers:
    @pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
    def test_a_change_below_is_seen(self, wrap: Callable[[Fn], Any]) -> None:
        assert changed(wrap(made(PLAIN)), wrap(made(PLAIN, file="<cell 2>"))) is None
        text = changed(wrap(made(PLAIN)), wrap(made(PLAIN.replace("total = 0.0", "total = 0.5"), file="<cell 2>")))
        assert text is not None
        assert "+    total = 0.5" in text
        assert "defaul" in str(changed(wrap(made(PLAIN)), wrap(made(PLAIN.replace("=3", "=4")))))

    def test_the_name_is_the_innermost_one(self) -> None:
        for wrap in (plus, functools.partial, Pretender):
            assert describe(wrap(made(PLAIN)))["name"] == "train"
        assert describe(Holder(made(PLAIN)))["name"] == "Holder"

    def test_arguments_and_attributes_count(self) -> None:
        train = made(PLAIN)
        partial = functools.partial
        assert "epochs was 2, now 3" in str(changed(partial(train, epochs=2), partial(train, epochs=3)))
        assert "argument 0 was 1, now 2" in str(changed(partial(train, 1), partial(train, 2)))
        assert "scale around it was 1.0, now 2.0" in str(changed(Holder(train), Holder(train, 2.0)))
        assert changed(Holder(train).method, Holder(train).method) is None
        assert "scale" in str(changed(Holder(train).method, Holder(train, 2.0).method))

    def test_a_class_as_a_function(self) -> None:
        source = """
        class Base:
            def go(self):
                return 1

        class train(Base):
            epochs = 3
            def __init__(self, lr):
                self.lr = lr
            @property
            def double(self):
                return 2 * self.lr
            @staticmethod
            def other():
                return 5
        """
        assert changed(made(source), made(source)) is None
        for before, after in (("return 1", "return 2"), ("= lr", "= -lr"), ("2 *", "3 *"), ("return 5", "return 6")):
            assert changed(made(source), made(source.replace(before, after), file="<cell 2>")) is not None
        assert "epochs" in str(changed(made(source), made(source.replace("epochs = 3", "epochs = 4"))))
        assert changed(made(source)(1), made(source)(1)) is None

    @pytest.mark.parametrize("fn", [len, math.sin, "".join, operator.add, np.add, print, dict, operator.itemgetter(1)])
    def test_anything_that_can_be_called(self, fn: Any) -> None:
        found = describe(fn)
        assert difference(json.loads(json.dumps(found)), describe(fn)) is None
        assert found["name"]
        assert difference(found, describe(made(PLAIN))) is not None

    def test_builtins_are_told_apart(self) -> None:
        assert changed(len, max) is not None
        assert changed(np.add, np.multiply) is not None

    def test_a_decorator_of_a_package_may_change(self, tmp_path: Path) -> None:
        """A newer version of a package is no other training function."""
        source = (
            "import functools\ndef wrap(fn):\n    @functools.wraps(fn)\n    def inner(*a):\n        return {}fn(*a)\n"
        )
        source += "    return inner\n"
        file = str(tmp_path / "site-packages" / "package.py")
        old, new = (made(source.format(sign), "wrap", file=file) for sign in ("", "+"))
        assert changed(old(made(PLAIN)), new(made(PLAIN))) is None
        assert changed(old, new) is not None, "a training function of a package is looked at"

    def test_a_lambda_and_a_notebook_function(self) -> None:
        assert changed(made("train = lambda lr: lr + 1\n"), made("train = lambda lr: lr + 1\n")) is None
        text = changed(made("train = lambda lr: lr + 1\n"), made("train = lambda lr: lr + 2\n", file="<cell 2>"))
        assert text is not None
        assert "+train = lambda lr: lr + 2" in text


def forms(**dimensions: Any) -> Any:
    return space.Space.parse(dimensions).to_json()


class TestSpaces:
    OLD = {"lr": space.loguniform(1e-4, 1e-1), "layers": [1, 8], "kind": ["a", "b", "c"]}

    def test_equal(self) -> None:
        old = json.loads(json.dumps(forms(**self.OLD)))
        assert space_difference(old, forms(**self.OLD)) is None
        assert space_difference(None, None) is None
        assert space_difference({}, {}) is None

    def test_each_parameter_is_named(self) -> None:
        new = {"lr": space.loguniform(1e-4, 1.0), "kind": ["a", "d", "c"], "dropout": [0.1, 0.5]}
        text = space_difference(forms(**self.OLD), forms(**new))
        assert text is not None
        found = text.split("; ")
        assert found[0].startswith("layers (integer low=1 high=8")
        assert found[0].endswith("is no more")
        assert found[1].startswith("dropout (uniform low=0.1 high=0.5")
        assert found[1].endswith("is new")
        assert found[2] == "lr: high was 0.1, now 1.0"
        assert found[3] == 'kind: values without "b" and with "d"'
        assert len(found) == 4

    def test_kinds_and_orders(self) -> None:
        text = space_difference(forms(x=[1, 8]), forms(x=[1.0, 8.0]))
        assert text is not None
        assert text.startswith("x: was integer low=1 high=8")
        assert "now uniform low=1.0 high=8.0" in text
        assert space_difference(forms(x=["a", "b"]), forms(x=["b", "a"])) == "x: values in another order"
        text = space_difference(forms(a=[1, 2], b=[1, 2]), forms(b=[1, 2], a=[1, 2]))
        assert text == "the order of the parameters was a, b, now b, a"

    def test_none_and_anything(self) -> None:
        assert space_difference(None, forms(x=[1, 8])) is not None
        assert "was 1, now 2" in str(space_difference({"x": 1}, {"x": 2}))

    def test_values_without_a_text_of_their_own(self) -> None:
        def form() -> Any:
            return forms(x=space.choice([object(), float("nan"), len, np.float64(0.5)]))

        written = json.loads(json.dumps(form()).replace("NaN", '"NaN"'))  # as run.json has it
        assert space_difference(written, form()) is None

    def test_a_long_list_is_short_in_the_text(self) -> None:
        text = space_difference(forms(x=space.choice(range(10_000))), forms(x=space.choice(range(1, 10_002))))
        assert text == "x: values without 0 and with 10000, 10001"
        assert len(str(space_difference(forms(x=space.choice(range(10_000))), {}))) < 400
