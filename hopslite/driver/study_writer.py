"""A study of Optuna's that gets the trials of a run while the run goes."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.types import DEFAULT_KEY
from ..result import Run, Trial
from ..result._optuna import RESULTS, add_trial, begin_trial, end_trial, frozen_trial, own_distributions

__all__ = ["StudyWriter"]

log = logging.getLogger(__name__)

RUNNING_AFTER = 1.0  # seconds for which a trial runs before the study has it: those that are over sooner cost less


class StudyWriter:
    """A callback of a run, which writes in a thread of its own: a database takes milliseconds for each value.

    A trial that runs for a second is in the study as RUNNING, and every one that ends has its result at once. What
    cannot be written is a warning; after the run `add_trials` adds what is missing.

    Args:
        initial: returns the values of the run's first trials.
    """

    def __init__(self, study: Any, initial: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._study, self._initial = study, initial
        self._run_id, self._key = "", DEFAULT_KEY
        self._reports: dict[str, dict[int, float]] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()  # optuna's trials; None at the end
        self._lock = threading.Lock()  # guards the next one
        self._running: dict[str, float] = {}  # trials that the study does not have yet, with their start
        self._places: dict[str, int] = {}  # running trials of the study, by trial
        self._thread = threading.Thread(target=self._write, name="hopslite-study", daemon=True)

    # --- the run's callbacks

    def on_run_start(self, run: Run) -> None:
        self._run_id, self._key = run.run_id, run.optimization_key or DEFAULT_KEY
        self._thread.start()

    def on_trial_start(self, trial: Trial) -> None:
        self._reports.pop(trial.id, None)  # those of an attempt that failed
        with self._lock:
            self._running.setdefault(trial.id, time.monotonic())

    def on_report(self, trial: Trial, step: float, value: Any) -> None:
        number = value.get(self._key) if isinstance(value, Mapping) else value
        if number is not None:
            self._reports.setdefault(trial.id, {})[int(step)] = number

    def on_trial_end(self, trial: Trial) -> None:
        with self._lock:
            self._running.pop(trial.id, None)
        reports = self._reports.pop(trial.id, None)
        self._ended.put((trial, frozen_trial(trial, self._run_id, own_distributions(trial), reports)))

    def close(self) -> None:
        """Wait until everything is written."""
        if self._thread.is_alive():
            self._ended.put(None)
            self._thread.join()

    # --- the thread

    def _write(self) -> None:
        due = time.monotonic() + RUNNING_AFTER / 2
        while True:
            if time.monotonic() >= due:  # also while trials end one after the other
                self._attempt(self._begin)
                due = time.monotonic() + RUNNING_AFTER / 2
            try:
                item = self._ended.get(timeout=RUNNING_AFTER / 2)
            except queue.Empty:
                continue
            if item is None:
                return
            self._attempt(self._end, *item)

    def _attempt(self, write: Callable[..., None], *args: Any) -> None:
        try:
            write(*args)
        except Exception as error:  # noqa: BLE001 - a database raises anything; the run's own record is elsewhere
            log.warning("the study cannot be written now: %s: %s", type(error).__name__, error)

    def _begin(self) -> None:
        """Add the trials that have run for a while."""
        due = time.monotonic() - RUNNING_AFTER
        with self._lock:
            begun = [trial_id for trial_id, started in self._running.items() if started <= due]
            for trial_id in begun:
                del self._running[trial_id]
        for trial_id in begun:
            if trial_id not in self._places:
                self._places[trial_id] = begin_trial(self._study, f"{self._run_id}/{trial_id}", self._initial())

    def _end(self, trial: Trial, frozen: Any) -> None:
        place = self._places.pop(trial.id, None)
        if place is not None:
            end_trial(self._study, place, frozen)
        elif trial.state in RESULTS:  # one that was killed has none: it can be resumed
            add_trial(self._study, frozen, self._initial())
