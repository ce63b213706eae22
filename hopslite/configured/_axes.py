"""Search-space axes in a configuration: `{"$loguniform": [1e-4, 1e-1]}` in the place of a value.

An alternative of a `$choice` may be an object, in whose arguments there may be axes as well: these are parameters that
exist only where the choice has that alternative. In the search space such an alternative is a label, the object's name.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.plain_values import short
from ..core.types import BUDGET
from ..errors import InvalidArguments
from ..space.choices import Choice, GridValues
from ..space.conditions import When, when
from ..space.dimensions import Dimension
from ..space.notation import parse_mapping
from ._document import Document, Path

__all__ = ["Axes", "BUDGET_REFERENCE", "PREFIX", "collect_axes", "is_axis", "substitute"]

PREFIX = "$"
BUDGET_REFERENCE = f"${{{BUDGET}}}"  # stands for a trial's budget
NAME = "$name"
VALUES_OF = ("$choice", "$grid")
IN_AXES = (*VALUES_OF, "values")
SCALARS = (str, bool, int, float, type(None))
LONGEST_LABEL = 40


@dataclasses.dataclass(frozen=True)
class Axes:
    """The axes of a configuration.

    Attributes:
        dimensions: the search space, by the parameters' names.
        names: the parameter's name by the path of each axis.
        alternatives: by parameter, the values of a choice that are not scalars, by their labels.
    """

    dimensions: dict[str, Dimension | When]
    names: dict[Path, str]
    alternatives: dict[str, dict[Any, int]]


@dataclasses.dataclass
class _Found:
    path: Path
    mapping: dict[str, Any]
    parent: Path | None  # of the choice of whose alternative it is a part
    alternative: int = -1
    name: str = ""


def is_axis(value: Any) -> bool:
    """True if a value stands for an axis: a mapping with a name that begins with `$`."""
    return isinstance(value, dict) and any(key.startswith(PREFIX) and not key.startswith("${") for key in value)


def collect_axes(document: Document) -> tuple[Axes, list[str]]:
    """All axes of a configuration, and what is wrong with them."""
    axes = list(_walk(document.values, (), None, -1))
    _name(axes)
    by_path = {axis.path: axis for axis in axes}
    collected, problems = Axes({}, {}, {}), []
    written: dict[str, str] = {}
    for axis in axes:
        collected.names[axis.path] = axis.name
        text = json.dumps(_bare(axis.mapping), sort_keys=True)
        if not axis.name.isidentifier():
            problems.append(f"{document.place(axis.path)}: $name is {short(axis.name)}; give a name such as lr")
        elif axis.name in written:
            same = written[axis.name] == text and axis.parent is None
            if not same:
                problems.append(
                    f"{document.place(axis.path)}: $name {axis.name!r} is that of another axis; places share a "
                    "parameter where their axes are equal, and not parts of a choice"
                )
        else:
            written[axis.name] = text
            try:
                _add(axis, by_path, collected)
            except InvalidArguments as error:
                problems += [f"{document.place(axis.path)}: {problem}" for problem in error.problems]
    return collected, problems


def _walk(value: Any, path: Path, parent: Path | None, alternative: int) -> Iterator[_Found]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index), parent, alternative)
    elif is_axis(value):
        yield _Found(path, value, parent, alternative, str(value.get(NAME, "")))
        for index, (place, item) in enumerate(_alternatives(value)):
            yield from _walk(item, (*path, *place), path, index)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, key), parent, alternative)


def _alternatives(value: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    """The values of a choice, with their places below it."""
    for key in VALUES_OF:
        values, place = value.get(key), tuple[str, ...]((key,))
        if isinstance(values, dict):  # {"values": […], "weights": […]}
            values, place = values.get("values"), (key, "values")
        if isinstance(values, list):
            return [((*place, index), item) for index, item in enumerate(values)]
    return []


def _name(axes: list[_Found]) -> None:
    """Give each axis without `$name` the shortest end of its path that is no other's."""
    unnamed = [axis for axis in axes if not axis.name]
    used = {axis.name for axis in axes if axis.name}
    parts = {axis.path: _parts(axis.path) for axis in unnamed}
    length = dict.fromkeys(parts, 1)
    while True:
        names = {path: "_".join(words[-length[path] :]) for path, words in parts.items()}
        count = collections.Counter(names.values())
        longer = [p for p, name in names.items() if (count[name] > 1 or name in used) and length[p] < len(parts[p])]
        if not longer:
            break
        for path in longer:
            length[path] += 1
    for axis in unnamed:
        name, number = names[axis.path], 2
        while name in used:
            name, number = f"{names[axis.path]}_{number}", number + 1
        used.add(name)
        axis.name = name


def _parts(path: Path) -> list[str]:
    """The words of a path: the last part of a dotted name, lists with the place in them, cycles from 1."""
    words = [f"cycle_{path[0] + 1}" if isinstance(path[0], int) else path[0]]
    for before, part in itertools.pairwise(path):
        if isinstance(part, int):
            if before not in IN_AXES:  # the alternative's own name follows
                words[-1] += f"_{part}"
        elif part not in IN_AXES:
            words.append(re.sub(r"\W", "_", part.rpartition(".")[2]) or "value")
    return words


def _bare(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != NAME}


def _add(axis: _Found, by_path: Mapping[Path, _Found], collected: Axes) -> None:
    """Add an axis to the search space.

    Raises:
        InvalidArguments: it is not one of the axes that there are.
    """
    parsed = parse_mapping(_bare(axis.mapping), prefix=PREFIX)
    if parsed is None:
        raise InvalidArguments("search space", [f"{axis.mapping} is no axis; write such as {{'$choice': [1, 2]}}"])
    dimension = parsed.dimension
    if isinstance(dimension, Choice) and not all(isinstance(value, SCALARS) for value in dimension.values):
        labels = _labels(dimension.values)
        collected.alternatives[axis.name] = {label: index for index, label in enumerate(labels)}
        kind = GridValues if isinstance(dimension, GridValues) else Choice
        dimension = kind(tuple(labels), dimension.weights)
    if axis.parent is not None:
        parent = by_path[axis.parent]
        label = next(name for name, index in collected.alternatives[parent.name].items() if index == axis.alternative)
        dimension = when(parent.name, label, dimension)
    collected.dimensions[axis.name] = dimension


def _labels(values: tuple[Any, ...]) -> list[Any]:
    """A label for each alternative: a scalar itself, an object's name where no other has it, or its JSON."""
    names = [_label(value) for value in values]
    count = collections.Counter(names)
    labels = [
        value if isinstance(value, SCALARS) else name if count[name] == 1 else json.dumps(value, sort_keys=True)
        for name, value in zip(names, values, strict=True)
    ]
    if len(set(labels)) == len(labels) and all(len(str(label)) <= LONGEST_LABEL for label in labels):
        return labels
    return [name if count[name] == 1 else f"{name} {index + 1}" for index, name in enumerate(names)]


def _label(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        return str(next(iter(value))).rpartition(".")[2]
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= LONGEST_LABEL else "value"


_ABSENT: Any = object()


def substitute(values: Any, axes: Axes, params: Mapping[str, Any]) -> Any:
    """A copy of a configuration with a trial's parameters in the places of its axes.

    An axis whose condition does not hold is left out of its mapping or list.
    """
    return _substituted(values, (), axes, params)


def _substituted(value: Any, path: Path, axes: Axes, params: Mapping[str, Any]) -> Any:
    if path in axes.names:
        name = axes.names[path]
        if name not in params or params[name] is _ABSENT:
            return _ABSENT
        if name not in axes.alternatives:
            return params[name]
        place, item = _alternatives(value)[axes.alternatives[name][params[name]]]
        return _substituted(item, (*path, *place), axes, params)
    if isinstance(value, list):
        items = [_substituted(item, (*path, index), axes, params) for index, item in enumerate(value)]
        return [item for item in items if item is not _ABSENT]
    if isinstance(value, dict):
        named = {key: _substituted(item, (*path, key), axes, params) for key, item in value.items()}
        return {key: item for key, item in named.items() if item is not _ABSENT}
    return params[BUDGET] if value == BUDGET_REFERENCE and BUDGET in params else value
