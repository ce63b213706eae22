"""Checks of the bounds, steps and lists of dimensions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from ..core.plain_values import is_bool, is_integer, is_number

__all__ = [
    "bound_problems",
    "continuous_problems",
    "decimal",
    "log_problems",
    "step_problems",
    "whole_step_problems",
]

LARGEST_LOG = 2**40  # up to here a float tells the cells of a logarithmic integer apart
FINEST_STEP = 16  # units in the last place, so that a float tells the cells of all multiples apart


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def bound_problems(low: Any, high: Any) -> list[str]:
    shown = f"given {low!r} and {high!r}"
    if any(is_bool(bound) for bound in (low, high)):
        return [f"the bounds must be numbers, not bools, {shown}; for a flag use choice([True, False])"]
    if not (is_number(low) and is_number(high)):
        return [f"the bounds must be numbers, {shown}"]
    if low == high:
        return [f"the bounds are equal, {shown}; they must differ: give a fixed value to the function instead"]
    return []


def continuous_problems(low: Any, high: Any) -> list[str]:
    problems = bound_problems(low, high)
    if problems:
        return problems
    if not (math.isfinite(_as_float(low)) and math.isfinite(_as_float(high))):
        return [f"the bounds must be finite, given {low!r} and {high!r}"]
    if float(low) == float(high):
        return [f"the bounds are equal as floats, given {low!r} and {high!r}; use integer or bounds further apart"]
    return []


def step_problems(low: Any, high: Any, step: Any, bounds: list[str]) -> list[str]:
    if not is_number(step) or not 0 < _as_float(step) < math.inf:
        return [f"step must be a number above 0, given {step!r}"]
    if bounds:
        return []
    low, high = sorted((float(low), float(high)))
    if decimal(float(step)) > decimal(high) - decimal(low):
        return [f"step must not be larger than the interval from {low!r} to {high!r}, given {step!r}"]
    finest = FINEST_STEP * math.ulp(max(abs(low), abs(high)))
    if step < finest:
        return [f"step must be at least {finest:.1g}, or floats up to {high!r} could not show it, given {step!r}"]
    return []


def whole_step_problems(low: Any, high: Any, step: Any, others: list[str]) -> list[str]:
    if not is_integer(step, 1):
        return [f"step must be an integer of at least 1, given {step!r}"]
    if not others and int(step) > abs(int(high) - int(low)):
        low, high = sorted((low, high))
        return [f"step must not be larger than the interval from {low!r} to {high!r}, given {step!r}"]
    return []


def log_problems(low: Any, high: Any, step: Any, log: Any, bounds: list[str]) -> list[str]:
    if not is_bool(log):
        return [f"log must be True or False, given {log!r}"]
    if not log:
        return []
    problems = []
    if not bounds and min(low, high) < 1:
        problems = [f"with log=True the bounds must be at least 1, given {low!r} and {high!r}; raise the lower bound"]
    if not bounds and max(low, high) > LARGEST_LOG:
        problems += [
            f"with log=True the bounds must be at most 2**40, given {low!r} and {high!r}; "
            "use loguniform and round in the function"
        ]
    if step != 1:
        problems += [f"step={step!r} and log=True exclude each other; leave out one of them"]
    return problems


def decimal(value: float) -> Fraction:
    """Exact value of a float's decimal notation: 1/10 for 0.1."""
    return Fraction(repr(value))
