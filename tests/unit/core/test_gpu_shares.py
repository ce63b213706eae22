"""Shares of a GPU, which Spark gives as 1/n."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hopslite.core.gpu_shares import gpu_amount, problem, trials_per_gpu


@pytest.mark.parametrize(
    ("value", "amount", "trials"),
    [
        (0, 0, 1),
        (2, 2, 1),
        (1.0, 1, 1),
        (0.5, 0.5, 2),
        (0.25, 0.25, 4),
        (0.33, 1 / 3, 3),
        (0.333, 1 / 3, 3),
        (0.1, 0.1, 10),
        (1 / 49, 1 / 49, 49),
        (np.float32(0.2), 0.2, 5),
        (Fraction(1, 6), 1 / 6, 6),
    ],
)
def test_amounts_that_spark_can_give(value: Any, amount: float, trials: int) -> None:
    assert problem(value) is None
    assert gpu_amount(value) == amount
    assert type(gpu_amount(value)) is type(amount)
    assert trials_per_gpu(amount) == trials


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.3, ["0.333 (3 trials", "0.25 (4 trials"]),
        (0.75, ["give 0.5 (2 trials on each GPU)"]),
        (1.5, ["1 or 2", "whole"]),
        (-1, ["at least 0"]),
        (-0.25, ["at least 0"]),
        (float("nan"), ["0.25"]),
        (float("inf"), ["0.25"]),
        (True, ["whole number"]),
        ("0.25", ["whole number"]),
    ],
)
def test_amounts_that_spark_cannot_give(value: Any, words: list[str]) -> None:
    assert [word for word in words if word not in (problem(value) or "")] == [], problem(value)


def test_no_request_stays_none() -> None:
    assert (gpu_amount(None), trials_per_gpu(None)) == (None, 1)


def test_a_share_that_is_next_to_nothing_is_none() -> None:
    assert problem(1e-320)
