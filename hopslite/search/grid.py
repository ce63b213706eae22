"""Grid search: every combination, the last hyperparameter changing fastest."""

from __future__ import annotations

from typing import Any

from .._trial import Direction
from ..errors import InvalidArguments
from ..space import Space
from ._common import InOrder

__all__ = ["Grid"]


class Grid(InOrder):
    """All combinations of a finite space, made one at a time."""

    def __init__(self, space: Space, *, direction: Direction = Direction.MAX, seed: int = 0) -> None:
        if space.size is None:
            endless = ", ".join(repr(name) for name, dimension in space.items() if dimension.size is None)
            raise InvalidArguments("grid_search", [f"{endless}: no end of values; a grid needs a list of them"])
        super().__init__(space.size)
        self._space = space

    def _next(self) -> dict[str, Any]:
        return self._space.at(self._asked)
