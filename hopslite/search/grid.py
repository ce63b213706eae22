"""Grid search: every combination, the last hyperparameter changing fastest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.objectives import Directions
from ..core.types import Direction
from ..errors import InvalidArguments
from ..space import Space
from ..space.conditions import is_finite
from ._base import SequentialSearch
from ._points import unit_of

__all__ = ["Grid"]


class Grid(SequentialSearch):
    """All combinations of a finite space, generated one at a time."""

    multi_objective = True

    def __init__(self, space: Space, *, direction: Directions = Direction.MAX, seed: int = 0) -> None:
        if space.size is None:
            endless = ", ".join(repr(name) for name, dimension in space.items() if dimension.size is None)
            raise InvalidArguments(
                "grid_search", [f"{endless}: not a finite number of values; a grid needs a list of values"]
            )
        super().__init__(space.size)
        self._space = space
        self._cursor = 0
        self._initial: list[int] = []
        self._used: set[int] = set()  # numbers of combinations that are known, or were suggested first

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Suggest the `initial` combinations first and leave out the `known` ones.

        One that lacks parameters stands for the first combination of the grid that has its values.
        """
        for params, _ in known:
            self._used.update(number for number in self._matching(params, complete=True))
        self._total -= len(self._used)
        for params in initial:
            number = next((n for n in self._matching(params) if n not in self._used), None)
            if number is not None:
                self._used.add(number)
                self._initial.append(number)

    def _matching(self, params: dict[str, Any], complete: bool = False) -> list[int]:
        """Numbers of the combinations that have these values."""
        keys = [self._key(params, name) if name in params else None for name in self._space]
        numbers = []
        for number in range(self._space.size or 0):
            combination = self._space.key(self._space.units(number))
            pairs = zip(keys, combination, strict=True)
            if all(key == index or (key is None and (index == -1 or not complete)) for key, index in pairs):
                numbers.append(number)
        return numbers

    def _key(self, params: dict[str, Any], name: str) -> int:
        dimension = self._space[name]
        assert is_finite(dimension)
        return dimension.index(unit_of(dimension, params[name]))

    def _next(self) -> dict[str, Any]:
        if self._initial:
            return self._space.at(self._initial.pop(0))
        while self._cursor in self._used:
            self._cursor += 1
        self._cursor += 1
        return self._space.at(self._cursor - 1)
