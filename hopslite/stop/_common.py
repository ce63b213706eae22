"""What the stoppers share."""

from __future__ import annotations

import math
import numbers
from typing import Any

from .._trial import Direction

__all__ = ["Described", "WORST", "not_a_count", "not_a_number", "score"]

WORST = -math.inf


def score(value: float, direction: Direction) -> float:
    """A value such that larger is better; NaN is as bad as can be."""
    if math.isnan(value):
        return WORST
    return value if direction is Direction.MAX else -value


def not_a_count(name: str, value: Any, least: int) -> list[str]:
    """What is wrong with an option that must be an integer of at least `least`."""
    if _is(value, numbers.Integral) and value >= least:
        return []
    return [f"{name} must be an integer of at least {least}, given {value!r}"]


def not_a_number(name: str, value: Any, least: float = -math.inf, open_end: bool = False) -> list[str]:
    """What is wrong with an option that must be a finite number of at least (`open_end`: above) `least`."""
    if _is(value, numbers.Real) and math.isfinite(value) and (value > least or (value == least and not open_end)):
        return []
    bound = "" if least == -math.inf else f" above {least:g}" if open_end else f" of at least {least:g}"
    return [f"{name} must be a finite number{bound}, given {value!r}"]


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


class Described:
    """Shows the options, for messages and for the record: what `OPTIONS` names, kept under `_` and the name."""

    OPTIONS: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, '_' + name)!r}" for name in self.OPTIONS)
        return f"{type(self).__name__}({shown})"
