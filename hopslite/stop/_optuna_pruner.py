"""Optuna's pruners as stoppers: a study in memory holds the reports, as a pruner expects it."""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

from ..core.optuna_study import new_study
from ..core.types import Direction, Result, State

__all__ = ["OptunaPruner", "is_pruner"]


def is_pruner(pruner: Any) -> bool:
    """True for an Optuna pruner; Optuna is not imported for this check."""
    optuna = sys.modules.get("optuna")
    return optuna is not None and isinstance(pruner, optuna.pruners.BasePruner)


class OptunaPruner:
    """Stops trials that a pruner would prune. Steps are rounded down to integers, since Optuna has no others.

    Without `needs_reports` trials that report nothing are no reason for a warning.
    """

    def __init__(self, pruner: Any, needs_reports: bool = True) -> None:
        self._pruner, self.needs_reports = pruner, needs_reports
        self._study: Any = None
        self._trials: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"OptunaPruner({type(self._pruner).__name__})"

    def begin(self, direction: Direction) -> None:
        from optuna.samplers import RandomSampler

        self._study = new_study(direction, RandomSampler(), copy.deepcopy(self._pruner))
        self._trials = {}

    def started(self, trial_id: str) -> None:
        if earlier := self._trials.pop(trial_id, None):
            self._tell(earlier, State.FAILED)
        self._trials[trial_id] = self._study.ask()

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        if trial_id not in self._trials:
            self.started(trial_id)
        trial = self._trials[trial_id]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about steps that are equal when rounded, and medians of NaN
            trial.report(value, int(step))
            is_pruned = trial.should_prune()
        return f"{type(self._pruner).__name__} prunes it at step {step:g}" if is_pruned else None

    def ended(self, result: Result) -> None:
        if trial := self._trials.pop(result.trial_id, None):
            self._tell(trial, result.state, result.metric)

    def _tell(self, trial: Any, state: State, metric: float | None = None) -> None:
        from optuna.trial import TrialState

        if state is State.FINISHED and metric is not None:
            self._study.tell(trial, metric)
        else:
            self._study.tell(trial, state=TrialState.PRUNED if state is State.STOPPED else TrialState.FAIL)
