"""Shares of a GPU: how many trials use one together."""

from __future__ import annotations

import math
from typing import Any

from .plain_values import is_integer, is_number

__all__ = ["gpu_amount", "problem", "trials_per_gpu"]

TOLERANCE = 0.015  # 0.33 is a third
SMALLEST = 1e-6


def trials_per_gpu(gpus: float | None) -> int:
    """Number of trials that use one GPU together if each requests this amount.

    >>> trials_per_gpu(0.25), trials_per_gpu(0.33), trials_per_gpu(2)
    (4, 3, 1)
    """
    return max(1, round(1 / gpus)) if gpus else 1


def gpu_amount(value: Any) -> int | float | None:
    """An amount that has no `problem`, as an int or a share of 1/n."""
    return value if value is None else int(value) if value == int(value) else 1 / trials_per_gpu(float(value))


def problem(value: Any) -> str | None:
    """Reason why trials cannot have this amount of GPUs, and what to give; None if they can.

    Spark gives a task whole GPUs, or the same share of one GPU to each of n tasks.
    """
    if not is_number(value) or not math.isfinite(value) or value < 0 or 0 < value < SMALLEST:
        return "give a whole number of at least 0, or a share of one GPU, such as 0.5 or 0.25"
    if is_integer(value) or value == int(value) or abs(value * trials_per_gpu(value) - 1) <= TOLERANCE:
        return None
    if value > 1:
        return f"several GPUs are given whole: {math.floor(value)} or {math.ceil(value)}; a share is below 1, as 0.5"
    more = math.ceil(1 / value)
    shares = [f"{1 / trials:.3g} ({trials} trials on each GPU)" for trials in (more - 1, more) if trials > 1]
    return f"n trials share a GPU with 1/n each: give {' or '.join(shares)}"
