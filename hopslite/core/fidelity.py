"""The best trial of a run, also where trials were trained with different budgets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from .plain_values import is_number
from .types import Direction, State, finite, is_better

__all__ = ["best_of", "level", "outranks"]


class Ranked(Protocol):
    """A trial with its hyperparameters and metric."""

    @property
    def state(self) -> State: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def metric(self) -> float | None: ...


T = TypeVar("T", bound=Ranked)


def level(state: State, params: Mapping[str, Any], budget: str | None) -> float:
    """The budget that a trial was trained with, among those that are compared by the argument `budget`.

    A trial that was stopped early has not had its budget, and is below all others. None: all trials are on one level.
    """
    value = params.get(budget) if budget is not None and state is State.FINISHED else None
    if budget is None:
        return 0.0
    return float(value) if value is not None and is_number(value) else -math.inf


def outranks(trial: Ranked, other: Ranked | None, direction: Direction, budget: str | None) -> bool:
    """True if a trial is better than another: trained with a larger budget or, with the same one, by its metric.

    A trial without a finite metric is never better; with one, it is better than None.
    """
    if trial.state not in (State.FINISHED, State.STOPPED) or trial.metric is None or not finite(trial.metric):
        return False
    if other is None:
        return True
    own, others = (level(one.state, one.params, budget) for one in (trial, other))
    return own > others or (own == others and is_better(trial.metric, other.metric, direction))


def best_of(trials: Iterable[T], direction: Direction | None, budget: str | None) -> T | None:
    """The best trial, the first of equal ones; None if none has a metric, or nothing is optimised."""
    best: T | None = None
    if direction is None:
        return None
    for trial in trials:
        if outranks(trial, best, direction, budget):
            best = trial
    return best
