"""Combinations that a caller gives: their values in the space, and the problems with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.plain_values import plain, short
from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments
from ..space import Choice, Dimension, Space
from ..space.conditions import is_finite
from ._base import recorded

__all__ = ["is_complete", "point_problems", "unit_of", "values_in"]


def unit_of(dimension: Dimension, value: Any) -> float:
    """A place in the unit interval that stands for a value, which may be in the form that a journal gives it.

    Raises:
        InvalidArguments: the dimension does not have the value.
    """
    if not isinstance(dimension, Choice):
        return dimension.to_unit(plain(value))
    try:
        return dimension.to_unit(value)
    except InvalidArguments:
        record = recorded(value)
        places = [index for index, known in enumerate(dimension.values) if recorded(known) == record]
        if not places:
            raise
        return dimension.middle(places[0])


def values_in(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the space for these parameters, or for some of them, in the order of the space.

    Raises:
        InvalidArguments: with every problem.
    """
    values, problems = {}, _unknown(space, params)
    for name in space:
        if name in params:
            try:
                unit = unit_of(space[name], params[name])
            except InvalidArguments as error:
                problems += [f"{name!r}: {problem}" for problem in error.problems]
            else:
                dimension, value = space[name], plain(params[name])
                values[name] = dimension.from_unit(unit) if is_finite(dimension) else float(value)
    problems += [] if problems else _never(space, values)
    if problems:
        raise InvalidArguments("space", problems)
    return values


def is_complete(space: Space, values: Mapping[str, Any]) -> bool:
    """True if these are all parameters of a combination."""
    units = [space[name].to_unit(values[name]) if name in values else 0.5 for name in space]
    return all((name in values) == exists for name, exists in zip(space, space.exists(units), strict=True))


def point_problems(space: Space, points: Any, num_trials: int) -> list[str]:
    """Problems of `initial_params`, with at most this number of trials."""
    if not isinstance(points, (list, tuple)):
        return [f"initial_params={short(points)}; give a list of dicts, each with the values of some hyperparameters"]
    problems = []
    for number, point in enumerate(points):
        if not isinstance(point, Mapping):
            problems.append(f"initial_params[{number}]={short(point)}; give a dict of values by name")
            continue
        try:
            values_in(space, point)
        except InvalidArguments as error:
            problems += [f"initial_params[{number}]: {problem}" for problem in error.problems]
    if len(points) > num_trials:
        problems.append(f"initial_params has {len(points)} combinations for {num_trials} trials; give fewer")
    return problems


def _unknown(space: Space, params: Mapping[str, Any]) -> list[str]:
    unknown = [name for name in params if name not in space.names]
    known = f"it has {', '.join(space.names)}"
    return [f"{name!r} is not in the space; {did_you_mean(str(name), space.names, known)}" for name in unknown]


def _never(space: Space, values: Mapping[str, Any]) -> list[str]:
    """Problems of parameters whose condition does not hold with these values, or depends on one that is not given."""
    problems = []
    for name, condition in space.conditions.items():
        if name not in values:
            continue
        parent = space[condition.parent]
        assert is_finite(parent)
        if condition.parent not in values:
            problems.append(f"{name!r} depends on {condition.parent!r}; give this, too")
        elif parent.index(parent.to_unit(values[condition.parent])) not in condition.indices:
            problems.append(f"{name!r} does not exist with {condition.parent}={values[condition.parent]!r}")
    return problems
