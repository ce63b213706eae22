"""The metrics of a run that optimises several, and the trials between which it leaves the choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from .plain_values import is_number
from .types import Direction, State

__all__ = [
    "Directions",
    "Objective",
    "described",
    "dominates",
    "metrics_in",
    "objectives_in",
    "pareto_front",
    "with_trial",
]

Directions = Direction | tuple[Direction, ...]  # several for several metrics


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """A metric that is optimised together with others."""

    name: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.name} ({self.direction.lower()})"

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "direction": self.direction.value}


class Scored(Protocol):
    """A trial with a value for each objective, by name, if it has finished."""

    @property
    def state(self) -> State: ...
    @property
    def metrics(self) -> dict[str, float] | None: ...


T = TypeVar("T", bound=Scored)


def objectives_in(record: Any) -> tuple[Objective, ...]:
    """The objectives of a run's record; none if it optimises one metric, or nothing."""
    return tuple(Objective(item["name"], Direction(item["direction"])) for item in record or ())


def metrics_in(outputs: Mapping[str, Any] | None, objectives: Sequence[Objective]) -> dict[str, float] | None:
    """The metrics among a trial's outputs; None without objectives, or if one of them is not a number."""
    values: dict[str, Any] = {objective.name: (outputs or {}).get(objective.name) for objective in objectives}
    return (
        {name: float(value) for name, value in values.items()}
        if values and all(map(is_number, values.values()))
        else None
    )


def described(objectives: Iterable[Objective]) -> str:
    return ", ".join(map(str, objectives))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """True if costs `a` are nowhere above `b`, and somewhere below."""
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def with_trial(front: list[T], trial: T, objectives: Sequence[Objective]) -> list[T]:
    """The Pareto front after one more trial: the trials than which none is better in every metric.

    Only finished trials with all metrics are on it. Equal ones are on it together.
    """
    costs = _costs(trial, objectives)
    if costs is None or any(dominates(_costs(other, objectives) or costs, costs) for other in front):
        return front
    return [*(other for other in front if not dominates(costs, _costs(other, objectives) or costs)), trial]


def pareto_front(trials: Iterable[T], objectives: Sequence[Objective]) -> list[T]:
    """The trials on the Pareto front, in their order."""
    front: list[T] = []
    for trial in trials if objectives else ():
        front = with_trial(front, trial, objectives)
    return front


def _costs(trial: Scored, objectives: Sequence[Objective]) -> list[float] | None:
    """Values of which smaller ones are better, in the order of the objectives."""
    metrics = trial.metrics or {}
    if trial.state is not State.FINISHED or not all(objective.name in metrics for objective in objectives):
        return None
    return [
        -metrics[objective.name] if objective.direction is Direction.MAX else metrics[objective.name]
        for objective in objectives
    ]
