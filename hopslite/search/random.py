"""Random search: distinct combinations, each with the likelihood that its dimensions give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._trial import Direction
from ..errors import InvalidArguments
from ..space import Space
from ._common import InOrder, random_below, whole_number

__all__ = ["Random"]

MAX_REPEATS = 1000  # draws in a row that were seen before, after which hardly any is left, except very unlikely ones


class Random(InOrder):
    """`samples` distinct combinations, or all of them when the space has fewer, which `notes` then says.

    Combinations are equally likely, except that a logarithmic dimension and one with conditions on it keep their
    values' shares: where ten combinations have "sgd" and one has "adam", both are drawn as often while there are any.

    Time and memory are proportional to `samples`, whatever the size of the space.
    """

    def __init__(self, space: Space, *, direction: Direction = Direction.MAX, seed: int = 0, samples: int = 10) -> None:
        problems = whole_number("samples", samples, 1) + whole_number("seed", seed, 0)
        if problems:
            raise InvalidArguments("random_search", problems)
        super().__init__(samples if space.size is None else min(samples, space.size))
        self._space = space
        self._samples = samples
        self._rng = np.random.default_rng(seed)
        self._moved: dict[int, int] = {}
        self._drawn = 0  # of the numbers of a finite space
        self._by_number = space.even and space.size is not None
        self._seen: set[tuple[float, ...]] = set()
        self._noted = False

    def notes(self) -> list[str]:
        if self._noted or self.total == self._samples:
            return []
        self._noted = True
        return [f"the space has only {self.total} combinations: {self.total} trials instead of {self._samples} samples"]

    def _next(self) -> dict[str, Any] | None:
        space = self._space
        for _ in range(0 if self._by_number else MAX_REPEATS):
            units = self._rng.random(len(space)).tolist()
            key = space.key(units)
            if key not in self._seen:
                self._seen.add(key)
                return space.decode(units)
        if space.size is None:
            return None
        self._by_number = True
        while True:
            number = self._draw(space.size - self._drawn)
            self._drawn += 1
            if not self._seen or space.key(space.units(number)) not in self._seen:
                return space.at(number)

    def _draw(self, left: int) -> int:
        """A number of the `left` not yet drawn: a Fisher-Yates shuffle that stores only what it has moved."""
        at, last = random_below(self._rng, left), left - 1
        drawn = self._moved.pop(at, at)
        if at != last:
            self._moved[at] = self._moved.pop(last, last)
        return drawn
