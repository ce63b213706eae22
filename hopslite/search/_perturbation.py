"""Changed copies of a combination: each value is perturbed or drawn again, within the limits of its space."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from typing import Any

from ..core.plain_values import is_number
from ..space import Space
from ..space.choices import Choice
from ..space.dimensions import Dimension, Integer, LogUniform, Uniform
from ..space.normal_distribution import Normal

__all__ = ["perturbed", "perturbed_value"]


def perturbed(
    space: Space,
    params: dict[str, Any],
    rng: random.Random,
    *,
    factors: tuple[float, float],
    resample_probability: float,
    fixed: Collection[str] = (),
) -> dict[str, Any]:
    """A changed copy of a combination of the space.

    Each value is drawn again from the space with probability `resample_probability`, and otherwise perturbed by one of
    the factors (`perturbed_value`). Values of `fixed` parameters are kept. Parameters whose condition no longer holds
    are left out, and those whose condition now holds are drawn.
    """
    changed: dict[str, Any] = {}
    independent = [name for name in space if name not in space.conditions]
    for name in (*independent, *space.conditions):  # parents first
        if not _exists(space, name, changed):
            continue
        dimension = space[name]
        if name in params and name in fixed:
            changed[name] = params[name]
        elif name not in params or rng.random() < resample_probability:
            changed[name] = dimension.from_unit(rng.random())
        else:
            changed[name] = perturbed_value(dimension, params[name], rng.choice(factors))
    return {name: changed[name] for name in space if name in changed}


def perturbed_value(dimension: Dimension, value: Any, factor: float) -> Any:
    """The value times `factor`, within the limits of its dimension.

    - Where the range has both signs, and for a normal distribution, multiplication would leave values near 0 as they
      are. Such a value moves by `factor` - 1 times half the width of the range, or two standard deviations.
    - Of listed numbers and of values in steps it is the nearest one, and at least the next one in this direction.
    - Of choices that are not numbers, none is near another: the value is kept.
    """
    if isinstance(dimension, Choice):
        return _next_choice(dimension, value, upwards=factor > 1)
    low, high = _limits(dimension)
    moved = _moved(dimension, value, factor)
    moved = min(max(moved, low), high)
    if isinstance(dimension, Integer) or (isinstance(dimension, Uniform) and dimension.step is not None):
        place = dimension.places(value)[0]
        nearest = round((moved - low) / (dimension.step or 1.0))
        if nearest == place:
            upwards = moved > value or (moved == value and factor > 1)
            nearest += 1 if upwards else -1
        return dimension.at(min(max(nearest, 0), (dimension.size or 1) - 1))
    return moved


def _exists(space: Space, name: str, params: dict[str, Any]) -> bool:
    """True if the condition of a parameter holds among those that have been decided."""
    condition = space.conditions.get(name)
    if condition is None:
        return True
    if condition.parent not in params:
        return False
    parent = space[condition.parent]
    assert not isinstance(parent, LogUniform | Normal)
    return parent.index(parent.to_unit(params[condition.parent])) in condition.indices


def _limits(dimension: Uniform | LogUniform | Normal | Integer) -> tuple[float, float]:
    low = dimension.low if dimension.low is not None else -math.inf
    return low, dimension.high if dimension.high is not None else math.inf


def _moved(dimension: Uniform | LogUniform | Normal | Integer, value: float, factor: float) -> float:
    if isinstance(dimension, Normal):
        return value * factor if dimension.log else value + (factor - 1) * 2 * dimension.sd
    if dimension.low < 0 < dimension.high:
        return value + (factor - 1) * (dimension.high / 2 - dimension.low / 2)  # the width might overflow
    return value * factor


def _next_choice(dimension: Choice, value: Any, *, upwards: bool) -> Any:
    """The next larger or smaller number among the values of a choice; the same value if there is none."""
    if not all(map(is_number, dimension.values)):
        return value
    if upwards:
        return min((other for other in dimension.values if other > value), default=value)
    return max((other for other in dimension.values if other < value), default=value)
