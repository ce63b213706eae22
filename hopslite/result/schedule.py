"""Schedules of hyperparameters: those that a trial was trained with, step by step, and their replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core import formatting
from ..core.plain_values import is_number
from ..core.types import BUDGET
from ..errors import InvalidArguments
from .trial import Trial

__all__ = ["Schedule", "Stretch", "schedule_of"]


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Steps of a training, from `start` up to `stop`, that had the same hyperparameters.

    Steps are counted from 0, in the unit of `budget`; `stop` is not one of them, as in `range`. `trial` is the id of
    the trial that trained the last of them.
    """

    start: float
    stop: float
    params: dict[str, Any] = dataclasses.field(hash=False)
    trial: str | None = None


class Schedule(tuple[Stretch, ...]):
    """The hyperparameters of a training, as stretches of steps that follow each other.

    >>> schedule = Schedule([Stretch(0, 4, {"lr": 0.1}), Stretch(4, 6, {"lr": 0.08})])
    >>> schedule.at(3), schedule.at(4)
    ({'lr': 0.1}, {'lr': 0.08})
    >>> schedule.steps
    6
    """

    def __str__(self) -> str:
        """The stretches in one line, with shortened values."""
        return "; ".join(f"{formatting.params(stretch.params)} to {stretch.stop:g}" for stretch in self)

    @property
    def steps(self) -> float:
        """The length of the training."""
        return self[-1].stop if self else 0

    def at(self, step: float) -> dict[str, Any]:
        """The hyperparameters of a step, counted from 0; after the end, those of the last step.

        Raises:
            InvalidArguments: the step is below 0, or the schedule is empty.
        """
        if not self or not is_number(step) or step < 0:
            problem = f"step must be a number of at least 0, given {step!r}" if self else "the schedule is empty"
            raise InvalidArguments("schedule.at", [problem])
        return dict(next((stretch for stretch in self if step < stretch.stop), self[-1]).params)

    def replay(self, train_fn: Callable[..., Any], **changes: Any) -> Any:
        """Train a new model along the schedule, in a trial; returns what the last call of the function returned.

        The function is that of the search: it is called once for each stretch, with its parameters and the step at
        which it ends as `budget`, and goes on from what it has saved in `checkpoint_dir()`.

        Example:
            ```python
            experiment.launch(lambda: run.best_schedule.replay(train))
            ```

        Args:
            train_fn: the training function.
            changes: arguments that replace those of the schedule, or are added to them.
        """
        returned = None
        for stretch in self:
            returned = train_fn(**{**stretch.params, BUDGET: stretch.stop, **changes})
        return returned

    def to_json(self) -> list[dict[str, Any]]:
        """The stretches as dicts, for a file."""
        return [dataclasses.asdict(stretch) for stretch in self]

    @classmethod
    def from_json(cls, stretches: Iterable[Mapping[str, Any]]) -> Schedule:
        """The schedule that `to_json` has described."""
        return cls(Stretch(**stretch) for stretch in stretches)


def schedule_of(trials: Iterable[Trial], last: Trial) -> Schedule | None:
    """Schedule of the training that ended with trial `last`; None if its trials do not say how long they were."""
    by_id = {trial.id: trial for trial in trials}
    lineage: list[Trial] = []
    trial: Trial | None = last
    while trial is not None and trial not in lineage:  # a damaged journal might have a circle
        lineage.insert(0, trial)
        trial = by_id.get(trial.continues or "")
    stretches: list[Stretch] = []
    for trial in lineage:
        stop: Any = trial.params.get(BUDGET)
        if not is_number(stop):
            return None
        params = {name: value for name, value in trial.params.items() if name != BUDGET}
        start = stretches[-1].stop if stretches else 0
        if stretches and stretches[-1].params == params:
            start = stretches.pop().start
        stretches.append(Stretch(start, stop, params, trial.id))
    return Schedule(stretches)
