"""Checks and conversions of callers' values."""

from __future__ import annotations

import fractions
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from hopslite.core.plain_values import is_integer, plain
from hopslite.core.suggestions import closest, did_you_mean


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_all_types(value: Any) -> None:
    assert is_integer(value) and is_integer(value, 3) and not is_integer(value, 4)


@pytest.mark.parametrize("value", [True, np.bool_(True), 3.0, np.float32(3), "3", None, fractions.Fraction(3)])
def test_what_is_no_integer(value: Any) -> None:
    assert not is_integer(value)


def test_numbers_of_numpy_become_those_of_python() -> None:
    assert [type(plain(value)) for value in (np.float64(1), np.int32(1), np.bool_(True), np.array(1))] == [
        float,
        int,
        bool,
        int,
    ]


def test_a_check_does_not_import_numpy() -> None:
    code = "import sys, hopslite.core.plain_values as p; p.plain(1); p.listed([1]); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_suggestions_for_misspelled_names() -> None:
    names = ["accuracy", "loss", "lost"]
    assert closest("acuracy", names) == "accuracy"
    assert did_you_mean("acuracy", names) == "did you mean 'accuracy'?"
    assert did_you_mean("los", names, start=" Did you mean", limit=2) == " Did you mean 'lost' or 'loss'?"
    assert did_you_mean("x", names, "known: a, b") == "known: a, b"
