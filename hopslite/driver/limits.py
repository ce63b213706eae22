"""Limits that end a run before its search is done.

Time, failures, mistakes that every trial would repeat, a metric that is good enough or does not improve any more.
"""

from __future__ import annotations

import time

from ..core.types import State, is_better
from ..pool import Pool
from ..result import Trial
from .plan import Plan
from .systematic_failures import Mistake, MistakeDetector
from .trial_table import TrialTable

__all__ = ["Limits"]


class Limits:
    """The limits of one run, checked by its loop. `mistake` is the one for which the run is ended."""

    def __init__(self, plan: Plan, table: TrialTable, pool: Pool, started: float) -> None:
        self._direction, options = plan.direction, plan.options
        self._timeout, self._max_failures = options["timeout"], options["max_failures"]
        self._target, self._patience = options["target_metric"], options["no_improvement"]
        self._table, self._pool, self._started = table, pool, started
        self._mistake_detector = MistakeDetector()
        self.mistake: Mistake | None = None

    def ended(self, trial: Trial) -> bool:
        """Note the end of a trial; False if its failure repeats an earlier one and need not be shown."""
        return self._mistake_detector.ended(trial) if self._ends_at_mistakes() else True

    def exceeded(self) -> str | None:
        """The limit that is exceeded, for messages; None as long as the run may go on."""
        if self._timeout is not None and time.monotonic() - self._started >= self._timeout:
            return f"timeout={self._timeout:g} s"
        if self._max_failures is not None and self._table.counts[State.FAILED] > self._max_failures:
            return f"max_failures={self._max_failures}"
        if goal := self._goal():
            return goal
        if self._ends_at_mistakes():
            self.mistake = self._mistake_detector.detect(self._table.open_trials, self._slot_count())
        return self.mistake.why if self.mistake else None

    def _goal(self) -> str | None:
        """The target that is reached, or the patience with trials that is exhausted."""
        target, direction, best = self._target, self._direction, self._table.best
        if target is not None and direction and best and not is_better(target, best.metric, direction):
            shown = f"{best.metric:g} (direction {direction})"
            return f"target_metric={target:g} is reached by trial {best.id} with {shown}"
        if self._patience is not None and not self._table.has_improved(self._patience):
            return f"no_improvement={self._patience}: the last {self._patience} trials were not better"
        return None

    def _ends_at_mistakes(self) -> bool:
        return self._max_failures is None and not self._table.has_results

    def _slot_count(self) -> int:
        width: int = getattr(self._pool, "width", self._pool.size)  # a user's own pool may not have it
        return width
