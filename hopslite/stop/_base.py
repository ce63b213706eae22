"""Base class, score and checks of the stoppers."""

from __future__ import annotations

import math
from typing import Any

from ..core.plain_values import is_integer, is_number
from ..core.types import Direction

__all__ = ["Described", "WORST", "not_a_count", "not_a_number", "score"]

WORST = -math.inf


def score(value: float, direction: Direction) -> float:
    """Value with the sign such that larger is better; NaN is worst."""
    if math.isnan(value):
        return WORST
    return value if direction is Direction.MAX else -value


def not_a_count(name: str, value: Any, least: int) -> list[str]:
    """Problems of an option that must be an integer of at least `least`."""
    return [] if is_integer(value, least) else [f"{name} must be an integer of at least {least}, given {value!r}"]


def not_a_number(name: str, value: Any, least: float = -math.inf, open_end: bool = False) -> list[str]:
    """Problems of an option that must be a finite number of at least (`open_end`: above) `least`."""
    if is_number(value) and math.isfinite(value) and (value > least or (value == least and not open_end)):
        return []
    bound = "" if least == -math.inf else f" above {least:g}" if open_end else f" of at least {least:g}"
    return [f"{name} must be a finite number{bound}, given {value!r}"]


class Described:
    """`repr` with the options named in `OPTIONS`, which are attributes with a leading underscore."""

    OPTIONS: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, '_' + name)!r}" for name in self.OPTIONS)
        return f"{type(self).__name__}({shown})"
