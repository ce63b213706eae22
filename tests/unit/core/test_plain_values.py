"""Checks and conversions of callers' values."""

from __future__ import annotations

import fractions
import json
import os
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

from hopslite.core import formatting
from hopslite.core.plain_values import is_integer, is_number, listed, plain
from hopslite.core.suggestions import closest, did_you_mean
from hopslite.core.types import json_safe
from hopslite.executor.outputs import to_number


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_all_types(value: Any) -> None:
    assert is_integer(value) and is_integer(value, 3) and not is_integer(value, 4)


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), 3.0, np.float32(3), "3", None, fractions.Fraction(3), np.timedelta64(3)]
)
def test_what_is_no_integer(value: Any) -> None:
    assert not is_integer(value)


def test_numbers_of_numpy_become_those_of_python() -> None:
    assert [type(plain(value)) for value in (np.float64(1), np.int32(1), np.bool_(True), np.array(1))] == [
        float,
        int,
        bool,
        int,
    ]


TIMES = [
    (np.timedelta64(5, "s"), "5 seconds"),
    (np.timedelta64(5, "ns"), "5 nanoseconds"),  # whose item() is an int
    (np.timedelta64("NaT"), "NaT"),
    (np.datetime64("2026-05-01T10:30"), "2026-05-01T10:30"),
    (np.datetime64("2026-05-01", "ns"), "2026-05-01T00:00:00.000000000"),
]


@pytest.mark.parametrize(("time", "text"), TIMES)
def test_times_of_numpy_are_no_numbers_but_texts(time: Any, text: str) -> None:
    assert not is_number(time) and not is_integer(time)
    assert plain(time) is time
    assert json_safe(time) == json_safe([time])[0] == json_safe(np.array([time]))[0] == text
    assert json_safe(np.array(time)) == text
    assert formatting.value(time) == formatting.exact_params({"t": time}).removeprefix("t=") == text
    assert to_number(time) is None
    assert listed(np.array([time])) == [time] or np.isnat(time)


SCALARS = [
    (np.bool_(True), True),
    *[(kind(3), 3) for kind in (np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.longlong, np.intp)],
    *[(kind(0.5), 0.5) for kind in (np.float16, np.float32, np.float64, np.longdouble)],
    (np.str_("a"), "a"),
    (np.complex128(1 + 2j), "(1+2j)"),
    (np.bytes_(b"a"), "b'a'"),
    (np.void(b"a"), "b'a'"),
    (np.array((1, 2.5), dtype=[("n", int), ("x", float)])[()], [1, 2.5]),
]


@pytest.mark.parametrize(("scalar", "recorded"), SCALARS)
def test_every_scalar_of_numpy_has_a_record(scalar: Any, recorded: Any) -> None:
    found = json_safe(scalar)
    assert isinstance(found, type(recorded)) and found == recorded
    assert json.loads(json.dumps(found)) == found


def test_a_set_has_one_record_in_every_process() -> None:
    program = (
        "from hopslite.core.types import json_safe\n"
        "print(json_safe({'age', 'sex', 'fare', 3, None, ('b', 1), frozenset({'x', 'y', 'z'})}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert said == {"['age', 'fare', 'sex', 3, ['b', 1], ['x', 'y', 'z'], None]\n"}


def test_another_thread_may_be_importing_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))  # which has nothing yet
    assert json_safe({"a": [1, 2.5, "text", True, None]}) == {"a": [1, 2.5, "text", True, None]}
    assert plain(1) == 1 and is_number(1) and listed([1]) == [1]


def test_a_check_does_not_import_numpy() -> None:
    code = "import sys, hopslite.core.plain_values as p; p.plain(1); p.listed([1]); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_suggestions_for_misspelled_names() -> None:
    names = ["accuracy", "loss", "lost"]
    assert closest("acuracy", names) == "accuracy"
    assert did_you_mean("acuracy", names) == "did you mean 'accuracy'?"
    assert did_you_mean("los", names, start=" Did you mean", limit=2) == " Did you mean 'lost' or 'loss'?"
    assert did_you_mean("x", names, "known: a, b") == "known: a, b"
