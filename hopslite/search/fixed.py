"""The combinations that the caller lists, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._trial import Direction
from ._common import InOrder

__all__ = ["Fixed"]


class Fixed(InOrder):
    """A list of combinations; `direction` and `seed` change nothing."""

    def __init__(
        self, combinations: Sequence[Mapping[str, Any]], *, direction: Direction = Direction.MAX, seed: int = 0
    ) -> None:
        super().__init__(len(combinations))
        self._combinations = tuple(dict(params) for params in combinations)

    def _next(self) -> dict[str, Any]:
        return dict(self._combinations[self._asked])
