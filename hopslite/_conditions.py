"""Conditions: which parameters exist, and how many combinations that leaves.

A parameter depends on one other at most, so dimensions form trees. The number of combinations below a value is the
product over the parameters that the value brings in, and that of a dimension the sum over its values.
"""

from __future__ import annotations

import bisect
import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

from ._bounds import listed, short
from ._dimensions import Choice, Dimension, Finite
from ._trial import json_safe
from .errors import InvalidArguments

__all__ = ["Condition", "Numbering", "When", "is_finite", "parents_first", "resolve", "when"]


@dataclasses.dataclass(frozen=True, eq=False)
class When:
    """A dimension as it is given to a space, with its condition; `when` says more."""

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
    """A hyperparameter that exists only where `parent`, another one of the same dict, has one of these values.

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
    """Conditions by name, parents before the parameters that depend on them, and what is wrong with the others.

    Names in `unknown` have dimensions that are wrong themselves; nothing is said about conditions on them.
    """
    conditions: dict[str, Condition] = {}
    problems: dict[str, str] = {}
    for name, given in whens.items():
        if given.parent in unknown:
            continue
        found = _condition(name, given, dimensions)
        if isinstance(found, str):
            problems[name] = found
        else:
            conditions[name] = found
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
            ordered |= {each: conditions[each] for each in reversed(path)}
    return ordered, problems


def _condition(name: str, given: When, dimensions: Mapping[str, Dimension]) -> Condition | str:
    parent = dimensions.get(given.parent)
    possible = [other for other, dimension in dimensions.items() if is_finite(dimension) and other != name]
    allowed = f"allowed: {', '.join(map(repr, possible)) or 'none of this space'}"
    if given.parent == name:
        return f"its condition can never hold, since it depends on itself; {allowed}"
    if parent is None:
        near = difflib.get_close_matches(given.parent, possible, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"its condition is on {given.parent!r}, which the space does not have; {allowed}{hint}"
    if not is_finite(parent):
        return f"its condition is on {given.parent!r}, which has no end of values: {parent!r}; {allowed}"
    indices, missing = _places(parent, given.values)
    if missing:
        values = list(parent.values) if isinstance(parent, Choice) else parent
        return (
            f"its condition can never hold for {', '.join(map(short, missing))}, not among the values of "
            f"{given.parent!r}; allowed: {short(values)}"
        )
    if not indices:
        return f"its condition names no value of {given.parent!r}, so that it can never hold; give at least one"
    return Condition(given.parent, frozenset(indices))


def _places(parent: Finite, given: Any) -> tuple[list[int], list[Any]]:
    """The indices of the values that a condition names, and those that the parent does not have."""
    values = list(given) if isinstance(given, set | frozenset) else listed(given)
    whole = parent.places(given)
    if isinstance(values, str) or (whole and not all(map(parent.places, values))):  # lists may be values themselves
        values = [given]
    found = [(value, parent.places(value)) for value in values]
    return [index for _, places in found for index in places], [value for value, places in found if not places]


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
        found: dict[str, int | None] = {}
        left = self.size  # combinations of all parameters that follow
        for name in self._order:
            condition = self._conditions.get(name)
            if condition is not None and found[condition.parent] not in condition.indices:
                found[name] = None
                continue
            others = left // self._sizes[name]
            place, rest = divmod(number, others)
            before, index, weight = _run_of(self._runs[name], place)
            further, below = divmod(place - before, weight)
            found[name] = index + further
            number, left = below * others + rest, weight * others
        return [found[name] for name in self._names]


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
