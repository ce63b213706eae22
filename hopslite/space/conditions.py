"""Conditions of parameters, and the numbering of combinations of spaces with conditions.

A parameter depends on one other at most, so dimensions form trees. The number of combinations below a value is the
product over the parameters that the value brings in, and that of a dimension the sum over its values.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

from ..core.plain_values import listed, short
from ..core.suggestions import did_you_mean
from ..core.types import json_safe
from ..errors import InvalidArguments
from .choices import Choice
from .dimensions import Dimension, Finite

__all__ = ["Condition", "Numbering", "When", "is_finite", "parents_first", "resolve", "when"]


@dataclasses.dataclass(frozen=True, eq=False)
class When:
    """Dimension with a condition, as `when` returns it."""

    parent: str
    values: Any
    dimension: Any

    def __post_init__(self) -> None:
        problems = []
        parent: Any = self.parent
        if not isinstance(parent, str):
            problems.append(f"the parent is the name of another hyperparameter, a string; given {short(parent)}")
        if isinstance(self.dimension, When):
            problems.append(
                "a condition within a condition; a hyperparameter has one parent, which may have a condition of its own"
            )
        if problems:
            raise InvalidArguments("when", problems)


def when(parent: str, values: Any, dimension: Any) -> When:
    """Hyperparameter that exists only if `parent`, another one of the same dict, has one of these values.

    Elsewhere the training function does not get it, so that its own default holds.

    >>> from hopslite import space
    >>> grid = space.Space.grid(
    ...     {"optimizer": ["adam", "sgd"], "momentum": space.when("optimizer", "sgd", [0.0, 0.9])}
    ... )
    >>> [grid.at(number) for number in range(grid.size)]
    [{'optimizer': 'adam'}, {'optimizer': 'sgd', 'momentum': 0.0}, {'optimizer': 'sgd', 'momentum': 0.9}]

    Args:
        parent: a choice, a list in the same dict, an integer, or a uniform with a step; it may have a condition, too.
        values: one of its values or several of them in a list, tuple, range or set.
        dimension: what the dict would have without the condition: anything from `hopslite.space`, bounds or a list.
    """
    return When(parent, values, dimension)


@dataclasses.dataclass(frozen=True)
class Condition:
    """A parameter exists where `parent` exists and its value's index is one of `indices`."""

    parent: str
    indices: frozenset[int]

    def to_json(self, dimensions: Mapping[str, Dimension]) -> dict[str, Any]:
        parent = dimensions[self.parent]
        assert is_finite(parent)
        return {"parent": self.parent, "values": [json_safe(parent.at(index)) for index in sorted(self.indices)]}


def is_finite(dimension: Dimension) -> TypeGuard[Finite]:
    return dimension.size is not None


def resolve(
    dimensions: Mapping[str, Dimension], whens: Mapping[str, When], unknown: Collection[Any] = ()
) -> tuple[dict[str, Condition], dict[str, str]]:
    """Valid conditions by name, parents first, and the problems of the others.

    Names in `unknown` have dimensions that are wrong themselves; nothing is said about conditions on them.
    """
    conditions: dict[str, Condition] = {}
    problems: dict[str, str] = {}
    for name, conditional in whens.items():
        if conditional.parent in unknown:
            continue
        condition = _condition(name, conditional, dimensions)
        if isinstance(condition, str):
            problems[name] = condition
        else:
            conditions[name] = condition
    ordered: dict[str, Condition] = {}
    for start in conditions:
        path, name = [], start
        while name in conditions and name not in ordered and name not in path:
            path.append(name)
            name = conditions[name].parent
        if name in path:
            circle = path[path.index(name) :]
            if not any(member in problems for member in circle):
                shown = " → ".join(map(repr, [*circle, name]))
                problems[name] = f"its condition can never hold, since it depends on itself: {shown}"
        else:
            ordered |= {ancestor: conditions[ancestor] for ancestor in reversed(path)}
    return ordered, problems


def _condition(name: str, conditional: When, dimensions: Mapping[str, Dimension]) -> Condition | str:
    parent = dimensions.get(conditional.parent)
    possible = [other for other, dimension in dimensions.items() if is_finite(dimension) and other != name]
    allowed = f"allowed: {', '.join(map(repr, possible)) or 'none of this space'}"
    if conditional.parent == name:
        return f"its condition can never hold, since it depends on itself; {allowed}"
    if parent is None:
        hint = did_you_mean(conditional.parent, possible, start="; did you mean")
        return f"its condition is on {conditional.parent!r}, which the space does not have; {allowed}{hint}"
    if not is_finite(parent):
        return f"its condition is on {conditional.parent!r}, which has no end of values: {parent!r}; {allowed}"
    indices, missing = _places(parent, conditional.values)
    if missing:
        values = list(parent.values) if isinstance(parent, Choice) else parent
        return (
            f"its condition can never hold for {', '.join(map(short, missing))}, not among the values of "
            f"{conditional.parent!r}; allowed: {short(values)}"
        )
    if not indices:
        return f"its condition names no value of {conditional.parent!r}, so that it can never hold; give at least one"
    return Condition(conditional.parent, frozenset(indices))


def _places(parent: Finite, allowed: Any) -> tuple[list[int], list[Any]]:
    """The indices of the values that a condition names, and those that the parent does not have."""
    values = list(allowed) if isinstance(allowed, set | frozenset) else listed(allowed)
    whole = parent.places(allowed)
    if isinstance(values, str) or (whole and not all(map(parent.places, values))):  # lists may be values themselves
        values = [allowed]
    matches = [(value, parent.places(value)) for value in values]
    return [index for _, places in matches for index in places], [value for value, places in matches if not places]


def parents_first(names: Sequence[str], conditions: Mapping[str, Condition]) -> list[str]:
    """All names: those without a parent, or whose parent was named, in their order."""
    ordered: dict[str, None] = {}
    for name in names:
        path = [name]
        while path[-1] in conditions and conditions[path[-1]].parent not in ordered:
            path.append(conditions[path[-1]].parent)
        ordered |= dict.fromkeys(reversed(path))
    return list(ordered)


class Numbering:
    """The combinations of a finite space with conditions, numbered like words in a dictionary.

    Parents come before the parameters that depend on them; otherwise the order is that of the space.
    """

    __slots__ = ("_conditions", "_names", "_order", "_runs", "_sizes", "size")

    def __init__(self, dimensions: Mapping[str, Finite], conditions: Mapping[str, Condition]) -> None:
        self._names, self._conditions = tuple(dimensions), conditions
        self._order = parents_first(self._names, conditions)
        self._sizes: dict[str, int] = {}  # combinations of a parameter and of all that depend on it
        self._runs: dict[str, list[_Run]] = {}
        weights: dict[str, dict[int, int]] = {name: {} for name in dimensions}  # what each value of a parent brings in
        for name in reversed(self._order):
            self._runs[name], size = _runs(weights[name], dimensions[name].size or 0)
            self._sizes[name] = size
            if name in conditions:
                above = weights[conditions[name].parent]
                above |= {index: above.get(index, 1) * size for index in conditions[name].indices}
        self.size = math.prod(size for name, size in self._sizes.items() if name not in conditions)

    def indices(self, number: int) -> list[int | None]:
        """The index of each parameter's value, None for one that does not exist, in the order of the space."""
        index_of: dict[str, int | None] = {}
        left = self.size  # combinations of all parameters that follow
        for name in self._order:
            condition = self._conditions.get(name)
            if condition is not None and index_of[condition.parent] not in condition.indices:
                index_of[name] = None
                continue
            others = left // self._sizes[name]
            place, remainder = divmod(number, others)
            before, index, weight = _run_of(self._runs[name], place)
            further, below = divmod(place - before, weight)
            index_of[name] = index + further
            number, left = below * others + remainder, weight * others
        return [index_of[name] for name in self._names]


_Run = tuple[int, int, int]  # combinations before it, the index of its first value, combinations of each value


def _runs(weights: Mapping[int, int], size: int) -> tuple[list[_Run], int]:
    """The values of a parameter in runs that weigh the same, and the number of combinations."""
    runs, before, index = [], 0, 0
    for special in sorted(weights):
        if special > index:
            runs.append((before, index, 1))
            before += special - index
        runs.append((before, special, weights[special]))
        before, index = before + weights[special], special + 1
    if index < size:
        runs.append((before, index, 1))
    return runs, before + size - index


def _run_of(runs: Sequence[_Run], place: int) -> _Run:
    return runs[bisect.bisect_right(runs, place, key=lambda run: run[0]) - 1]
