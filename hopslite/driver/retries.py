"""Retries of failed trials: which failures are retried, and how often."""

from __future__ import annotations

import dataclasses

from ..core.types import Result, State
from .open_trial import OpenTrial
from .plan import Plan
from .storage_monitor import StorageMonitor

__all__ = ["RetryPolicy", "final_result"]

# a retry would end the same way, or is not wanted
NOT_RETRIED = ("return-value", "not-a-number", "checkpoints", "killed")
STORAGE_RELATED_CAUSES = ("exception", "exit", "signal", "segfault", "inputs", "lost")  # may result from a full disk
MAX_STORAGE_FAILURES = 10  # of a trial, with free space before and after it: it needs more space than there is


class RetryPolicy:
    """The limits of a plan for retries; failures of the storage are not counted."""

    def __init__(self, plan: Plan, storage: StorageMonitor) -> None:
        self._plan, self._storage = plan, storage

    def failed_for_storage(self, trial: OpenTrial, result: Result) -> bool:
        """True if a trial failed because it, or the run, could not be written, which is no failure of its own."""
        if result.state is not State.FAILED:
            return False
        if result.cause == "storage" and not self._storage.is_paused:
            trial.storage_failures += trial.started is not None
            return trial.storage_failures < MAX_STORAGE_FAILURES
        return result.cause == "storage" or (
            result.cause in STORAGE_RELATED_CAUSES and self._storage.may_explain_failure(result.duration)
        )

    def last_attempt(self, trial: OpenTrial, result: Result) -> int:
        """The number of the last attempt that is allowed for a trial with this result."""
        if result.cause in NOT_RETRIED:
            return 0
        retries = self._plan.options["max_retries"] if result.cause == "lost" else 0
        return trial.first_attempt + max(retries, self._plan.max_restarts)


def final_result(trial: OpenTrial, result: Result, stop_cause: str | None) -> Result:
    """The result of a trial's last attempt, with the number of attempts and the reason of its end.

    Args:
        stop_cause: the reason why the run is ending; None while it goes on.
    """
    if result.cause == "lost" and (times := trial.spec.attempt - trial.first_attempt + 1) > 1:
        result = dataclasses.replace(result, error=f"{result.error}, {times} times")
    if result.cause == "lost":
        result = dataclasses.replace(result, started=trial.started or result.started)
    if stop_cause and result.cause == "killed":
        result = dataclasses.replace(result, error=f"ended by {stop_cause}")
    if trial.stop_reason and result.state is State.STOPPED:
        result = dataclasses.replace(result, error=trial.stop_reason, cause=trial.cut_off_cause)
    return result
