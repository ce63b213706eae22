"""Progress of a run that goes on, from its journal: ended trials, latest reports, elapsed and remaining time."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ..core.fidelity import best_of
from ..core.types import Direction
from ..result import Trial
from .history import RunHistory, TrialHistory

__all__ = ["RunProgress", "RunningTrial", "progress_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial that goes on: the seconds since it began, and the step and value of its latest report."""

    id: str
    elapsed: float
    step: float | None = None
    value: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RunProgress:
    """Progress of a run, in seconds.

    Attributes:
        total: number of trials expected; None if it is not known.
        elapsed: time that drivers worked on the run, as the duration will be at its end.
        remaining: estimate; None as long as this driver has ended no trial, or the total is not known.
        best: the best trial that has ended.
    """

    ended: int
    total: int | None
    elapsed: float
    remaining: float | None
    running: tuple[RunningTrial, ...]
    best: Trial | None

    def to_json(self) -> dict[str, Any]:
        facts = dataclasses.asdict(self)
        del facts["best"]
        return facts


def progress_of(history: RunHistory, now: float | None = None) -> RunProgress:
    """Progress of a run that a driver works on, at the time `now` (seconds since the epoch; default: this moment)."""
    now = time.time() if now is None else now
    begun = history.spans[-1][0] if history.spans else now
    session = max(0.0, now - begun)
    trials = history.trials.values()
    ended = [trial for trial in trials if trial.result is not None]
    here = sum(1 for trial in ended if trial.ended is not None and trial.ended >= begun)
    total = history.record.get("total")
    total = total if isinstance(total, int) else None
    left = None if total is None else max(0, total - len(ended))
    return RunProgress(
        ended=len(ended),
        total=total,
        elapsed=sum(end - begin for begin, end in history.spans[:-1]) + session,
        # trials of earlier drivers say nothing about the pace of this one, which may have other slots
        remaining=session / here * left if here and left is not None else None,
        running=tuple(_running(trial, now) for trial in trials if trial.is_running_since(begun)),
        best=_best(history, ended),
    )


def _running(trial: TrialHistory, now: float) -> RunningTrial:
    step, value = trial.reports[-1] if trial.reports else (None, None)
    return RunningTrial(trial.id, max(0.0, now - (trial.started or now)), step, value)


def _best(history: RunHistory, ended: list[TrialHistory]) -> Trial | None:
    name = str(history.record.get("direction"))
    direction = Direction(name) if name in Direction.__members__ else None
    trials = [trial.trial(trial.result, "") for trial in ended if trial.result is not None]
    return best_of(trials, direction, history.record.get("ranked_by"))
