"""The optimised metric of a call, or several, and what does not go together with several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core.objectives import Directions, Objective
from ..core.types import DEFAULT_KEY, Direction

if TYPE_CHECKING:
    from .arguments import Call

__all__ = ["Goal", "goal_of"]

SINGLE = {
    "stopper": "a stopper compares the reports of one metric",
    "target_metric": "a target is the value of one metric",
    "no_improvement": "there is no best trial that others could be better than",
    "warm_start": "earlier trials are known by one metric",
}


@dataclasses.dataclass(frozen=True)
class Goal:
    """The direction and the key of one metric, or the `objectives` of several."""

    direction: Direction | None
    key: Any
    objectives: tuple[Objective, ...] = ()

    @property
    def directions(self) -> Directions:
        """The direction, or that of each objective, for algorithms."""
        return self.direction or tuple(objective.direction for objective in self.objectives)


def goal_of(call: Call, direction: Any, key: Any, by_trial: bool = False) -> Goal:
    """The goal of a search; the problems of one that cannot be are added to the call's.

    Args:
        by_trial: the trials ask for their parameters; as in Optuna the metrics then need no names.
    """
    if not _is_list(direction) and not _is_list(key):
        return Goal(call.direction(direction), key)
    if by_trial and key == DEFAULT_KEY and _is_list(direction):
        key = [f"value_{number}" for number in range(len(direction))]
    call.check(
        _is_list(direction) and _is_list(key) and len(direction) == len(key) > 0,
        f"direction={direction!r:.80} and optimization_key={key!r:.80}; for several metrics give a list of both, with "
        "a direction for each key",
    )
    names = list(key) if _is_list(key) else []
    for name in names:
        call.check(isinstance(name, str) and bool(name), f"optimization_key={key!r:.80}; {name!r} is not a text")
    call.check(
        not all(isinstance(name, str) for name in names) or len(set(names)) == len(names),
        f"optimization_key={key!r:.80} has a name twice",
    )
    directions = [call.direction(one) for one in direction] if _is_list(direction) else []
    if len(names) <= 1:
        return Goal(directions[0] if directions else Direction.MAX, names[0] if names else DEFAULT_KEY)
    for option, why in SINGLE.items():
        value = call.options.get(option)
        call.check(value is None, f"{option}={value!r:.60} with several metrics; {why}. Leave it out")
    return Goal(None, None, tuple(Objective(*pair) for pair in zip(names, directions, strict=False)))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
