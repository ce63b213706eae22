"""What the search algorithms share."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._trial import Result
from . import Suggestion

__all__ = ["InOrder", "random_below", "whole_number"]


class InOrder:
    """Combinations one after the other, whatever it is told; subclasses say which comes next."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._asked = 0

    @property
    def total(self) -> int:
        return self._total

    @property
    def done(self) -> bool:
        return self._asked >= self._total

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done:
            return None
        params = self._next()
        if params is None:
            self._total = self._asked
            return None
        self._asked += 1
        return Suggestion(params)

    def tell(self, result: Result) -> None:
        """Nothing is learned from results."""

    def notes(self) -> list[str]:
        return []

    def _next(self) -> dict[str, Any] | None:
        """The combination after the first `_asked` ones, or None when there is no other."""
        raise NotImplementedError


def whole_number(name: str, value: Any, least: int) -> list[str]:
    """What is wrong with an option that must be an integer of at least `least`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return []
    return [f"{name} must be an integer of at least {least}, given {value!r}"]


def random_below(rng: np.random.Generator, bound: int) -> int:
    """A random integer below a bound of any size; 64 spare bits make the rounding of `%` invisible."""
    return int.from_bytes(rng.bytes(bound.bit_length() // 8 + 9), "little") % bound
