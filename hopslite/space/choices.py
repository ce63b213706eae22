"""Dimensions with listed values: a choice, and a grid whose values are all tried."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

from ..core.plain_values import is_number, listed
from ..core.types import json_safe
from ..errors import InvalidArguments
from .cells import cell_index, cell_middle

__all__ = ["Choice", "GridValues", "choice", "grid"]


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """One of `values`: any objects, told apart by their place, so that they need no hash and no `==`.

    With `weights`, which add up to 1, values are drawn in these proportions.
    """

    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        values = listed(self.values)
        if isinstance(values, str) or not values:
            raise InvalidArguments("choice", [str(values) if values else "given no values; at least one is needed"])
        object.__setattr__(self, "values", tuple(values))
        if self.weights is not None:
            object.__setattr__(self, "weights", _shares(self.weights, len(values)))

    @property
    def size(self) -> int:
        return len(self.values)

    def at(self, index: int) -> Any:
        return self.values[index]

    @functools.cached_property
    def _ends(self) -> tuple[float, ...]:
        """The ends of the cells of values with weights."""
        return tuple(itertools.accumulate(self.weights or ()))

    def index(self, u: float) -> int:
        if self.weights is not None:
            return min(bisect.bisect_right(self._ends, u), self.size - 1)
        return cell_index(u, self.size)

    def middle(self, index: int) -> float:
        """The middle of the cell that stands for the value of this index."""
        if self.weights is not None:
            return self._ends[index] - self.weights[index] / 2
        return cell_middle(index, self.size)

    def places(self, value: Any) -> list[int]:
        """The indices of the values that equal `value`; where some are of its type (True is not 1), only those."""
        equal = [index for index, candidate in enumerate(self.values) if candidate is value or _equal(candidate, value)]
        return [index for index in equal if type(self.values[index]) is type(value)] or equal

    def from_unit(self, u: float) -> Any:
        """The value, as the caller's own object, of the cell of the unit interval that holds `u`."""
        return self.at(self.index(u))

    def to_unit(self, value: Any) -> float:
        """The middle of the cell that stands for `value`: that very object, else the first that equals it."""
        places = [index for index, candidate in enumerate(self.values) if candidate is value] or self.places(value)
        if not places:
            raise InvalidArguments("choice", [f"{value!r} is not one of the values {list(self.values)!r}"])
        return self.middle(places[0])

    def to_json(self) -> dict[str, Any]:
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return {"type": "choice", "values": [json_safe(value) for value in self.values], **weights}

    def __repr__(self) -> str:
        weights = "" if self.weights is None else f", weights={self.weights!r}"
        return f"{type(self).__name__}(values={self.values!r}{weights})"


class GridValues(Choice):
    """Values that are all tried, each with every sample of the other parameters."""

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "grid": True}


def choice(values: Sequence[Any], weights: Sequence[float] | None = None) -> Choice:
    """One of the values of a list, tuple, range or one-dimensional array.

    With weights, one number above 0 for each value, values are drawn in these proportions.

    >>> choice(["adam", "sgd"], weights=[3, 1]).from_unit(0.7)
    'adam'
    """
    return Choice(values, weights)  # type: ignore[arg-type]


def grid(values: Sequence[Any]) -> GridValues:
    """Values that are all tried: each with every suggestion for the other parameters, in any search.

    >>> grid([1, 2, 3]).size
    3
    """
    return GridValues(values)  # type: ignore[arg-type]


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # arrays have no single truth value
        return False


def _shares(weights: Any, count: int) -> tuple[float, ...]:
    """The weights, scaled so that they add up to 1.

    Raises:
        InvalidArguments: they are not one number above 0 for each value.
    """
    numbers = listed(weights)
    if isinstance(numbers, str) or len(numbers) != count:
        raise InvalidArguments("choice", [f"weights={weights!r}; give one for each of the {count} values"])
    if not all(is_number(number) and 0 < number < math.inf for number in numbers):
        raise InvalidArguments("choice", [f"weights={weights!r}; weights are finite numbers above 0"])
    total = math.fsum(numbers)
    return tuple(float(number / total) for number in numbers)
