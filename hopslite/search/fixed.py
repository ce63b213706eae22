"""Fixed list of combinations, in the caller's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.types import Direction
from ._base import SequentialSearch

__all__ = ["Fixed"]


class Fixed(SequentialSearch):
    """Suggest the combinations of a list; `direction` and `seed` are ignored."""

    def __init__(
        self, combinations: Sequence[Mapping[str, Any]], *, direction: Direction = Direction.MAX, seed: int = 0
    ) -> None:
        super().__init__(len(combinations))
        self._combinations = tuple(dict(params) for params in combinations)

    def _next(self) -> dict[str, Any]:
        return dict(self._combinations[self._asked])
