"""Trials and runs that are stopped before their end: by a stopper, by a limit, or by a user (`hopslite stop`)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..core.types import RUN_STOPPED, Event
from ..pool import Pool
from ..result import Trial
from ..storage.run_directory import RunDir
from ..storage.stop_requests import StopRequest, new_requests
from .open_trial import OpenTrial, stopped_result
from .plan import Plan
from .recorder import Recorder
from .trial_table import TrialTable

__all__ = ["Stopping"]

STOP_SECONDS = 10.0  # for slots to end their trials; then the pool is closed on them
PROGRAM_SECONDS = 0.2  # between two looks whether programs have ended
LOCAL_SECONDS, REMOTE_SECONDS = 0.5, 2.0  # between two looks for requests


class Stopping:
    """The end of a run and of its trials before their time, in the thread of the run's loop.

    Attributes:
        cause: the reason for which the run is ending; None while it goes on.
        by_user: the run is ending because a user has asked for it.
    """

    def __init__(
        self,
        plan: Plan,
        table: TrialTable,
        pool: Pool,
        recorder: Recorder,
        retry_queue: deque[OpenTrial],
        tell: Callable[[str], None],
        show_trial: Callable[[Trial], None],
    ) -> None:
        self._table, self._pool, self._recorder, self._grace = table, pool, recorder, plan.options["stop_grace"]
        self._term_seconds = plan.term_seconds
        self._retry_queue, self._tell, self._show_trial = retry_queue, tell, show_trial
        self._requests = RequestReader(recorder.directory, recorder.session)
        self._deadline = float("inf")
        self.cause: str | None = None
        self.by_user = False

    def start(self) -> None:
        """Begin to look for requests of users."""
        self._requests.start()

    def close(self) -> None:
        self._requests.close()

    @property
    def is_overdue(self) -> bool:
        """True if trials that were to end are still running; closing the pool ends them."""
        return time.monotonic() >= self._deadline

    def check_requests(self) -> None:
        """Carry out the requests of users that have arrived; never waits for a disk."""
        for request in self._requests.take():
            why = f"stopped by {request.by}"
            trial = self._table.open_trials.get(request.trial or "")
            if request.trial is None and not self.cause:
                self.end_run(why, by_user=True)
            elif trial is not None and trial in self._retry_queue:
                self._retry_queue.remove(trial)
                self._show_trial(self._table.end(trial, stopped_result(trial, why)))
            elif trial is not None and trial.stop_reason is None:
                self.stop_trial(trial, why)

    def stop_trial(self, trial: OpenTrial, why: str, step: Any = None, value: Any = None) -> None:
        """Stop a trial at its next report; one that makes none is ended after `stop_grace`."""
        trial.stop_reason = why
        self._recorder.emit("stop", trial.id, {"why": why, "step": step, "value": value})
        self._pool.stop(trial.id, why)

    def end_run(self, why: str, by_user: bool = False) -> None:
        """End the run: a limit kills its trials, a user's request lets them save what they have."""
        self.cause, self.by_user = why, by_user
        self._tell(f"ending the run: {why}")
        while self._retry_queue:
            self._show_trial(self._table.abandon(self._retry_queue.popleft(), f"ended by {why}"))
        grace = max(self._grace if by_user else 0.0, self._term_seconds)
        self._deadline = time.monotonic() + grace + STOP_SECONDS
        for trial in self._table.open_trials.values():
            if not by_user:
                self._pool.kill(trial.id, why)
            elif trial.stop_reason is None:
                trial.cut_off_cause = RUN_STOPPED
                self.stop_trial(trial, why)

    def end_programs(self) -> list[Event]:
        """After an interrupt, have programs save what they have; trials that run functions are ended with the pool.

        Returns:
            Events that came meanwhile, without the ends of trials that were ended by this.
        """
        events: list[Event] = []
        if not self._term_seconds:
            return events
        running = set(self._table.open_trials)
        for trial_id in running:
            self._pool.kill(trial_id, "interrupted")
        deadline = time.monotonic() + self._term_seconds + STOP_SECONDS
        while running and time.monotonic() < deadline:
            for event in self._pool.wait(PROGRAM_SECONDS):
                if event.kind == "ended":
                    running.discard(event.trial or "")
                if event.kind != "ended" or event.data.get("cause") != "killed":
                    events.append(event)
        return events


class RequestReader:
    """Thread that reads requests from the run's directory, which may be far away."""

    def __init__(self, run: RunDir, session: int) -> None:
        self._run, self._session = run, session
        self._period = LOCAL_SECONDS if run.is_local else REMOTE_SECONDS
        self._requests: list[StopRequest] = []
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hopslite-requests", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread soon; does not wait for a store that does not answer."""
        self._closing.set()

    def take(self) -> list[StopRequest]:
        with self._lock:
            requests, self._requests = self._requests, []
        return requests

    def _work(self) -> None:
        while not self._closing.wait(self._period):
            try:
                requests = new_requests(self._run, self._session, self._seen)
            except (OSError, ValueError):
                continue  # it is looked for again; the storage monitor speaks of stores that fail
            with self._lock:
                self._requests += requests.values()
            self._seen.update(requests)
