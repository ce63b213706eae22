"""Random search: distinct combinations, distributed as their dimensions say."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.objectives import Directions
from ..core.plain_values import plain
from ..core.types import Direction
from ..errors import InvalidArguments
from ..space import Space
from ._base import SequentialSearch, random_below, whole_number
from ._points import unit_of

__all__ = ["Random"]

MAX_REPEATS = 1000  # known combinations in a row, after which only very unlikely ones can be left


class Random(SequentialSearch):
    """`samples` distinct combinations, or all of a smaller space, which `notes` then mentions.

    Combinations are equally likely, except that a logarithmic dimension and one with conditions on it keep their
    values' shares: if ten combinations have "sgd" and one has "adam", both values are
    drawn equally often as long as there are new combinations with them.

    Time and memory are proportional to `samples`, whatever the size of the space.
    """

    multi_objective = True

    def __init__(
        self, space: Space, *, direction: Directions = Direction.MAX, seed: int = 0, samples: int = 10
    ) -> None:
        samples, seed = plain(samples), plain(seed)
        problems = self.option_problems(samples=samples) + whole_number("seed", seed, 0)
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
        self._initial: deque[dict[str, Any]] = deque()

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Suggest the `initial` combinations first, and never the `known` ones.

        Parameters that an initial combination lacks are drawn.
        """
        self._initial.extend(initial)
        self._seen.update(self._space.key(self._completed(params, [0.5] * len(self._space))) for params, _ in known)
        if self._space.size is not None:
            self._total = min(self._samples, self._space.size - len(self._seen))

    def _completed(self, params: dict[str, Any], units: list[float]) -> list[float]:
        """A point of the unit cube with these values, and otherwise those of `units`."""
        pairs = zip(self._space, units, strict=True)
        return [unit_of(self._space[name], params[name]) if name in params else unit for name, unit in pairs]

    def _next_initial(self) -> dict[str, Any] | None:
        """The next initial combination; None if there is none that is new."""
        while self._initial:
            params = self._initial.popleft()
            units = self._completed(params, self._rng.random(len(self._space)).tolist())
            key = self._space.key(units)
            if key not in self._seen:
                self._seen.add(key)
                return {**self._space.decode(units), **params}
        return None

    @staticmethod
    def option_problems(*, samples: Any = 10) -> list[str]:
        """Problems with the options, whatever the space."""
        return whole_number("samples", plain(samples), 1)

    def notes(self) -> list[str]:
        if self._noted or self.total == self._samples:
            return []
        self._noted = True
        new = "" if self.total == self._space.size else "new "
        return [
            f"the space has only {self.total} {new}combinations: {self.total} trials instead of {self._samples} samples"
        ]

    def _next(self) -> dict[str, Any] | None:
        space = self._space
        if (initial := self._next_initial()) is not None:
            return initial
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
        """Draw one of the `left` remaining numbers, by a Fisher-Yates shuffle that stores only moved items."""
        at, last = random_below(self._rng, left), left - 1
        drawn = self._moved.pop(at, at)
        if at != last:
            self._moved[at] = self._moved.pop(last, last)
        return drawn
