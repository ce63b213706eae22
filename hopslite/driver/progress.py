"""The progress of a run, as displays show it."""

from __future__ import annotations

import time
from collections import deque

from ..core.types import State
from ..display import Status
from ..display._curve_buffer import History
from ..pool import Pool
from ..result import Trial
from .plan import Plan
from .recorder import Recorder
from .trial_table import TrialTable

__all__ = ["Progress"]

RECENT = 5


class Progress:
    """The progress of one run; `history` has the reports and output of its trials."""

    def __init__(self, plan: Plan, recorder: Recorder, table: TrialTable, pool: Pool, started: float) -> None:
        self._plan, self._recorder, self._table, self._pool = plan, recorder, table, pool
        self._started = started
        self._ended_here = 0
        self._recent: deque[Trial] = deque(maxlen=RECENT)
        self.history = History(plan.direction, plan.ranked_by)

    def ended(self, trial: Trial) -> None:
        """Add a trial that has ended just now."""
        self._ended_here += 1
        self._recent.append(trial)
        self.history.ended(trial)

    def status(self) -> Status:
        """The state of the run at this moment."""
        plan, recorder, table = self._plan, self._recorder, self._table
        best, session = table.best, time.monotonic() - self._started
        counts = {**table.counts, State.RUNNING: sum(1 for trial in table.open_trials.values() if trial.started)}
        counts[State.PENDING] = len(table.open_trials) - counts[State.RUNNING]
        ended, total = len(table.trials), table.total
        return Status(
            name=plan.name,
            version=recorder.version,
            verb=plan.verb,
            logdir=recorder.directory.url,
            total=total,
            counts=counts,
            direction=plan.direction,
            best_trial=best.id if best else None,
            best_params=best.params if best else None,
            best_metric=best.metric if best else None,
            elapsed=table.seconds_worked + session,
            # trials of earlier drivers took none of this one's time
            remaining=session / self._ended_here * (total - ended) if self._ended_here else None,
            slots_used=self._pool.size,
            recent=tuple(self._recent),
            tensorboard_url=recorder.tensorboard_url,
            tensorboard_hint=recorder.hints.tensorboard_hint,
            mlflow_hint=recorder.hints.mlflow_hint,
            plots=recorder.hints.plots,
            resume_hint=recorder.hints.resume_hint,
            spark_url=recorder.hints.spark_url,
            dashboard_url=recorder.hints.dashboard_url,
            metric=plan.optimization_key,
            objectives=plan.objectives,
            front=tuple(trial.id for trial in table.front),
            **self.history.facts(),
        )
