"""Search spaces: what values each hyperparameter may take.

```python
from hopslite import experiment, space

experiment.random_search(train, {
    "learning_rate": space.loguniform(1e-5, 1e-1),
    "layers": space.integer(1, 8),                  # 1 and 8 included
    "optimizer": space.choice(["adam", "sgd"]),
    "dropout": [0.1, 0.6],                          # two numbers are bounds, in either order
})
```
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ._dimensions import (
    Choice,
    Dimension,
    Integer,
    LogUniform,
    Uniform,
    choice,
    integer,
    is_number,
    listed,
    loguniform,
    short,
    uniform,
)
from .errors import InvalidArguments

__all__ = [
    "Choice",
    "Dimension",
    "Integer",
    "LogUniform",
    "Space",
    "Uniform",
    "choice",
    "integer",
    "loguniform",
    "uniform",
]


class Space(Mapping[str, Dimension]):
    """Dimensions by name, in the order given; never changes.

    A point of the unit cube, one coordinate in [0, 1] per dimension, stands for a combination of values. In a finite
    space combinations are numbered as well, the last dimension counting fastest.
    """

    __slots__ = ("_dimensions", "size")

    size: int | None
    """The number of combinations; None when a dimension is continuous."""

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        self._dimensions = dict(dimensions)
        sizes = [dimension.size for dimension in self._dimensions.values()]
        self.size = None if None in sizes else math.prod(size for size in sizes if size is not None)

    @classmethod
    def parse(cls, mapping: Any, where: str = "search space") -> Space:
        """The space of a dict of dimensions, bounds and lists of strings.

        Two numbers are bounds, in either order: of integers, both included, when both are integers, otherwise of
        floats. A list of strings is a choice.

        Raises:
            InvalidArguments: with every problem of the dict.
        """
        return _build(mapping, where, _parse_dimension)

    @classmethod
    def grid(cls, mapping: Any, where: str = "grid") -> Space:
        """The space of a dict of lists: every value of a list is one choice, whatever it is.

        Raises:
            InvalidArguments: with every problem of the dict.
        """
        return _build(mapping, where, _grid_dimension)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"Space({self._dimensions!r})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._dimensions)

    def decode(self, units: Sequence[float]) -> dict[str, Any]:
        """The combination that a point of the unit cube stands for."""
        return {name: d.from_unit(float(u)) for (name, d), u in zip(self.items(), units, strict=True)}

    def key(self, units: Sequence[float]) -> tuple[float, ...]:
        """Equal for two points exactly when they stand for the same combination; usable in sets and dicts."""
        pairs = zip(self.values(), units, strict=True)
        return tuple(d.index(float(u)) if isinstance(d, Integer | Choice) else d.from_unit(float(u)) for d, u in pairs)

    def at(self, number: int) -> dict[str, Any]:
        """The combination of this number, from 0 to `size` - 1, of a finite space."""
        return {
            name: d.at(index) for (name, d), index in zip(self._finite().items(), self._indices(number), strict=True)
        }

    def units(self, number: int) -> list[float]:
        """A point of the unit cube that stands for the combination of this number of a finite space."""
        pairs = zip(self._finite().values(), self._indices(number), strict=True)
        return [(2 * index + 1) / (2 * dimension.size) for dimension, index in pairs]

    def _finite(self) -> dict[str, Integer | Choice]:
        return {name: d for name, d in self._dimensions.items() if isinstance(d, Integer | Choice)}

    def _indices(self, number: int) -> list[int]:
        if self.size is None or not 0 <= number < self.size:
            raise IndexError(f"combination {number} of a space with {self.size} combinations")
        indices = []
        for dimension in reversed(self._finite().values()):
            number, index = divmod(number, dimension.size)
            indices.append(index)
        return indices[::-1]

    def to_json(self) -> dict[str, Any]:
        return {name: dimension.to_json() for name, dimension in self.items()}


def _parse_dimension(given: Any) -> Dimension:
    if isinstance(given, Dimension):
        return given
    values = listed(given)
    allowed = "two numbers as bounds, a list of strings, or one of space.uniform, loguniform, integer, choice"
    if isinstance(values, str):
        raise InvalidArguments("", [f"{values}; allowed: {allowed}"])
    if values and all(isinstance(value, str) for value in values):
        return Choice(tuple(values))
    if len(values) == 2 and all(is_number(v) or isinstance(v, bool | np.bool_) for v in values):
        whole = all(isinstance(value, numbers.Integral) for value in values)
        return Integer(*values) if whole else Uniform(*values)
    if values and all(map(is_number, values)):
        problem = f"bounds are exactly two numbers, given {len(values)}: {short(given)}; to try just these values use "
        raise InvalidArguments("", [f"{problem}space.choice({short(given)})"])
    if not values:
        raise InvalidArguments("", [f"given an empty list; allowed: {allowed}"])
    kinds = ", ".join(dict.fromkeys(type(value).__name__ for value in values))
    advice = f"allowed: {allowed}; to choose among values of any type use space.choice([…])"
    raise InvalidArguments("", [f"given {short(given)} with values of type {kinds}; {advice}"])


def _grid_dimension(given: Any) -> Dimension:
    if isinstance(given, Choice | Integer):
        return given
    if isinstance(given, Dimension):
        raise InvalidArguments("", [f"given {given!r}, which has no end of values; a grid needs a list of them"])
    values = listed(given)
    if isinstance(values, str):
        raise InvalidArguments("", [values])
    if not values:
        raise InvalidArguments("", ["given an empty list; a grid needs at least one value"])
    return Choice(tuple(values))


def _build(mapping: Any, where: str, dimension_of: Callable[[Any], Dimension]) -> Space:
    if isinstance(mapping, Space):
        mapping = dict(mapping)
    if not isinstance(mapping, Mapping):
        example = "{'learning_rate': [0.001, 0.1]}"
        raise InvalidArguments(where, [f"expected a dict such as {example}, given {short(mapping)}"])
    if not mapping:
        raise InvalidArguments(where, ["the dict is empty; name at least one hyperparameter"])
    dimensions, problems = {}, []
    for name, given in mapping.items():
        if not isinstance(name, str):
            problems.append(f"the name {name!r} is of type {type(name).__name__}; names are strings")
        try:
            dimensions[name] = dimension_of(given)
        except InvalidArguments as error:
            problems += [f"{name!r}: {problem}" for problem in error.problems]
    if problems:
        raise InvalidArguments(where, problems)
    return Space(dimensions)
