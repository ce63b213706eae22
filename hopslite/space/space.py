"""The search space: named dimensions with conditions, and the numbering of their combinations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from ..core.plain_values import is_bool, is_integer, is_number, listed, short
from ..errors import InvalidArguments
from .choices import Choice
from .conditions import Condition, Numbering, When, is_finite, resolve
from .dimensions import Dimension, Integer, Uniform

__all__ = ["Space"]


class Space(Mapping[str, Dimension]):
    """Dimensions by name, in the order given; never changes.

    A point of the unit cube, one coordinate in [0, 1] per dimension, stands for a combination of values. Where the
    condition of a parameter does not hold the combination lacks it, and its coordinate says nothing. In a finite space
    combinations are numbered as well, the last dimension counting fastest, a parent before what depends on it.

    >>> from hopslite.space import choice, when
    >>> space = Space({"net": choice(["mlp", "cnn"]), "kernel": when("net", "cnn", choice([3, 5]))})
    >>> [space.at(number) for number in range(space.size)]
    [{'net': 'mlp'}, {'net': 'cnn', 'kernel': 3}, {'net': 'cnn', 'kernel': 5}]

    Raises:
        InvalidArguments: with every condition that can never hold.
    """

    __slots__ = (
        "_checks", "_decoders", "_dimensions", "_finite", "_keys", "_mapping", "_numbering", "conditional",
        "conditions", "even", "size",
    )  # fmt: skip

    size: int | None
    """The number of distinct combinations; None when a dimension is continuous."""

    conditional: tuple[str, ...]
    """The names of the parameters that a combination may lack."""

    conditions: dict[str, Condition]
    """The conditions by name, parents first. A space gives a parameter's dimension whether it has one or not."""

    even: bool
    """Whether all combinations of a finite space have the same share of the unit cube."""

    def __init__(self, dimensions: Mapping[str, Dimension | When], where: str = "search space") -> None:
        self._mapping = dict(dimensions)
        whens = {name: dimension for name, dimension in self._mapping.items() if isinstance(dimension, When)}
        self._dimensions: dict[str, Dimension] = {
            name: dimension.dimension if isinstance(dimension, When) else dimension
            for name, dimension in self._mapping.items()
        }
        self.conditions, problems = resolve(self._dimensions, whens)
        if problems:
            raise InvalidArguments(where, [f"{name!r}: {problem}" for name, problem in problems.items()])
        self._decoders = tuple((name, dimension.from_unit) for name, dimension in self.items())
        self._keys = tuple(d.index if is_finite(d) else d.from_unit for d in self.values())
        self._checks = tuple(self._check(name, condition) for name, condition in self.conditions.items())
        self.conditional = self._conditional()
        self._finite = {name: dimension for name, dimension in self.items() if is_finite(dimension)}
        self._numbering = None
        self.size = None
        if len(self._finite) == len(self._dimensions):
            if self.conditional:
                self._numbering = Numbering(self._finite, self.conditions)
            self.size = (
                self._numbering.size if self._numbering else math.prod(d.size or 0 for d in self._finite.values())
            )
        self.even = not self.conditional and not any(map(_is_uneven, self.values()))

    def _check(self, name: str, condition: Condition) -> tuple[int, int, Callable[[float], int], frozenset[int]]:
        """The places of the parameter and of its parent, how to find the index of a value, the indices allowed."""
        parent = self._dimensions[condition.parent]
        assert is_finite(parent)
        return self.names.index(name), self.names.index(condition.parent), parent.index, condition.indices

    def _conditional(self) -> tuple[str, ...]:
        missing: set[str] = set()
        for name, condition in self.conditions.items():
            if condition.parent in missing or len(condition.indices) < (self._dimensions[condition.parent].size or 0):
                missing.add(name)
        return tuple(name for name in self._dimensions if name in missing)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._mapping,))

    @classmethod
    def parse(cls, mapping: Any, where: str = "search space") -> Space:
        """The space of a dict of dimensions, bounds and lists of strings.

        Two numbers are bounds, in either order: of integers, both included, when both are integers, otherwise of
        floats. A list of strings is a choice. `when` may be around any of these.

        Raises:
            InvalidArguments: with every problem of the dict.
        """
        return _build(mapping, where, _parse_dimension)

    @classmethod
    def grid(cls, mapping: Any, where: str = "grid") -> Space:
        """The space of a dict of lists: every value of a list is one choice, whatever it is.

        `when` may be around a list; dimensions with finitely many values do as well.

        Raises:
            InvalidArguments: with every problem of the dict.
        """
        return _build(mapping, where, _grid_dimension)

    def only(self, names: Collection[str]) -> Space:
        """The space of some of the parameters, which depend on none of the others."""
        return Space({name: dimension for name, dimension in self._mapping.items() if name in names})

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"Space({self._mapping!r})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._dimensions)

    def exists(self, units: Sequence[float]) -> list[bool]:
        """Existence of each parameter at a point of the unit cube, in the order of the space."""
        exists = [True] * len(self._dimensions)
        for place, parent, index, allowed in self._checks:
            exists[place] = exists[parent] and index(float(units[parent])) in allowed
        return exists

    def decode(self, units: Sequence[float]) -> dict[str, Any]:
        """The combination that a point of the unit cube stands for; it has only the parameters that exist there."""
        if self.conditional:
            exists = self.exists(units)
            triples = zip(self._decoders, units, exists, strict=True)
            return {name: from_unit(float(u)) for (name, from_unit), u, there in triples if there}
        return {name: from_unit(float(u)) for (name, from_unit), u in zip(self._decoders, units, strict=True)}

    def key(self, units: Sequence[float]) -> tuple[float, ...]:
        """Hashable key that is equal for two points exactly if they mean the same combination."""
        if self.conditional:  # the parent's entry tells a missing parameter from one with the value -1
            triples = zip(self._keys, units, self.exists(units), strict=True)
            return tuple(place(float(u)) if there else -1 for place, u, there in triples)
        return tuple(place(float(u)) for place, u in zip(self._keys, units, strict=True))

    def at(self, number: int) -> dict[str, Any]:
        """The combination of this number, from 0 to `size` - 1, of a finite space."""
        pairs = zip(self._finite.items(), self._indices(number), strict=True)
        return {name: dimension.at(index) for (name, dimension), index in pairs if index is not None}

    def units(self, number: int) -> list[float]:
        """A point of the unit cube that stands for the combination of this number of a finite space."""
        pairs = zip(self._finite.values(), self._indices(number), strict=True)
        return [0.5 if index is None else dimension.middle(index) for dimension, index in pairs]

    def _indices(self, number: int) -> Sequence[int | None]:
        if self.size is None or not 0 <= number < self.size:
            raise IndexError(f"combination {number} of a space with {self.size} combinations")
        if self._numbering is not None:
            return self._numbering.indices(number)
        indices = []
        for dimension in reversed(self._finite.values()):
            number, index = divmod(number, dimension.size or 1)
            indices.append(index)
        return indices[::-1]

    def to_json(self) -> dict[str, Any]:
        """Every dimension by name, with its condition under "when"."""
        described = {name: dimension.to_json() for name, dimension in self.items()}
        for name, condition in self.conditions.items():
            described[name]["when"] = condition.to_json(self._dimensions)
        return described


def _is_uneven(dimension: Dimension) -> bool:
    if isinstance(dimension, Choice):
        return dimension.weights is not None
    return isinstance(dimension, Integer) and dimension.log


def _parse_dimension(value: Any) -> Dimension:
    if isinstance(value, Dimension):
        return value
    values = listed(value)
    allowed = (
        "two numbers as bounds, a list of strings, or one of space.uniform, loguniform, normal, lognormal, integer, "
        "choice, grid, when"
    )
    if isinstance(values, str):
        raise InvalidArguments("", [f"{values}; allowed: {allowed}"])
    if values and all(isinstance(value, str) for value in values):
        return Choice(tuple(values))
    if len(values) == 2 and all(is_number(v) or is_bool(v) for v in values):
        whole = all(map(is_integer, values))
        return Integer(*values) if whole else Uniform(*values)
    if values and all(map(is_number, values)):
        problem = f"bounds are exactly two numbers, given {len(values)}: {short(value)}; to try just these values use "
        raise InvalidArguments("", [f"{problem}space.choice({short(value)})"])
    if not values:
        raise InvalidArguments("", [f"given an empty list; allowed: {allowed}"])
    kinds = ", ".join(dict.fromkeys(type(value).__name__ for value in values))
    advice = f"allowed: {allowed}; to choose among values of any type use space.choice([…])"
    raise InvalidArguments("", [f"given {short(value)} with values of type {kinds}; {advice}"])


def _grid_dimension(value: Any) -> Dimension:
    if isinstance(value, Dimension):
        if isinstance(value, Choice) and value.weights is not None:
            raise InvalidArguments("", ["a choice with weights; a grid tries every value once, so leave them out"])
        if is_finite(value):
            return value
        raise InvalidArguments("", [f"given {value!r}, which has no end of values; a grid needs a list of them"])
    values = listed(value)
    if isinstance(values, str):
        raise InvalidArguments("", [values])
    if not values:
        raise InvalidArguments("", ["given an empty list; a grid needs at least one value"])
    return Choice(tuple(values))


def _build(mapping: Any, where: str, dimension_of: Callable[[Any], Dimension]) -> Space:
    if isinstance(mapping, Space):
        mapping = mapping._mapping
    if not isinstance(mapping, Mapping):
        example = "{'learning_rate': [0.001, 0.1]}"
        raise InvalidArguments(where, [f"expected a dict such as {example}, given {short(mapping)}"])
    if not mapping:
        raise InvalidArguments(where, ["the dict is empty; name at least one hyperparameter"])
    dimensions: dict[str, Dimension | When] = {}
    problems: dict[Any, list[str]] = {name: [] for name in mapping}
    for name, value in mapping.items():
        if not isinstance(name, str):
            problems[name] = [f"the name {name!r} is of type {type(name).__name__}; names are strings"]
        try:
            if isinstance(value, When):
                dimensions[name] = dataclasses.replace(value, dimension=dimension_of(value.dimension))
            else:
                dimensions[name] = dimension_of(value)
        except InvalidArguments as error:
            problems[name] += [f"{name!r}: {problem}" for problem in error.problems]
    if not any(problems.values()):
        return Space(dimensions, where)
    whens = {name: value for name, value in mapping.items() if isinstance(value, When)}
    plain = {name: value.dimension if isinstance(value, When) else value for name, value in dimensions.items()}
    for name, problem in resolve(plain, whens, unknown=mapping.keys() - plain.keys())[1].items():
        problems[name].append(f"{name!r}: {problem}")
    raise InvalidArguments(where, [problem for listed_problems in problems.values() for problem in listed_problems])
