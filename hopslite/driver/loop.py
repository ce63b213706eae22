"""The loop of a run: ask the search, submit trials, wait for events, record them, tell the search.

A verb builds a `Plan` and hands it over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from ..core.redaction import redact_value
from ..core.settings import Settings
from ..core.types import Event, Result, State
from ..display import GuardedDisplay
from ..errors import ReplayError, RunDeleted, RunTakenOver, StorageUnavailable
from ..executor.job_spec import Job
from ..pool import Pool, runs_in_process
from ..result import Run, Trial
from ..serialization.values import Values
from .checkpoint_cleanup import CheckpointCleanup
from .completion import complete_record
from .define_by_run import reply
from .interrupts import Interrupts
from .job import make_job
from .limits import Limits
from .messages import Messages
from .open_trial import OpenTrial
from .outcome import ending_record, is_interrupted, run_interrupted, run_result, trial_failed, verdict
from .plan import Plan
from .progress import Progress
from .recorder import Recorder
from .resume import Resumption
from .retries import RetryPolicy, final_result
from .run_callbacks import RunCallbacks
from .stopping import STOP_SECONDS, Stopping
from .storage_monitor import StorageMonitor, unavailable
from .trial_table import TrialTable

__all__ = ["RunLoop"]

POLL_SECONDS = 0.25  # between two checks of the limits and updates of the display when nothing happens


class RunLoop:
    """State of one run, used in the thread of the call and not shared with other runs."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        display: GuardedDisplay,
        pool: Pool,
        recorder: Recorder,
        values: Values,
        callbacks: Sequence[Any] | None = None,
    ) -> None:
        self._plan, self._display, self._pool, self._recorder = plan, display, pool, recorder
        self._settings, self._objects = settings, values.objects
        self._table = TrialTable(plan, recorder.directory, values, recorder.emit)
        self._started = time.monotonic()
        # trials to be run again: lost with their slot, or with an earlier driver
        self._retry_queue: deque[OpenTrial] = deque()
        self._progress = Progress(plan, recorder, self._table, pool, self._started)
        self._exhausted = False
        self._limits = Limits(plan, self._table, pool, self._started)
        self._abort_cause: Exception | None = None  # the reason why this driver no longer records the run
        self._storage = StorageMonitor(recorder, settings.storage_patience, display.line)
        self._storage_failure: StorageUnavailable | None = None  # the storage failure that has ended the run
        self._retries = RetryPolicy(plan, self._storage)
        self._messages = Messages(display)
        self._cleanup = CheckpointCleanup(recorder.directory, plan.search, self._table, recorder.unrecorded)
        self._stopping = Stopping(plan, self._table, pool, recorder, self._retry_queue, display.line, self._show_trial)
        self._interrupts = Interrupts()
        self._callbacks = RunCallbacks(callbacks)

    # --- the run as a whole

    def carry_out(self, resumption: Resumption | None) -> Run:
        """Carry out the run; returns its result or raises for a run that failed or was interrupted."""
        state, error = State.FAILED, "the run ended unexpectedly"
        try:
            self._interrupts.install()
            self._table.begin()
            if resumption:
                self._retry_queue += self._table.replay(resumption.past, resumption.retry_failed, resumption.fresh)
                for trial in self._table.trials.values():
                    self._progress.history.ended(trial)
            label = f"{self._plan.name} v{self._recorder.version} | {self._plan.title}"
            self._pool.start(self._make_job(), label, self._on_event)
            self._request_slots()  # Spark starts them while the record begins; trials are submitted after that
            self._recorder.start()
            self._stopping.start()
            self._display.start(self._progress.status())
            if resumption:
                self._messages.resumption(resumption, len(self._table.trials), len(self._retry_queue))
            self._callbacks.add("on_run_start", self._result(State.RUNNING, "", self._table.seconds_worked))
            self._loop()
            state, error = verdict(self._plan, self._table, self._limits.mistake, self._stopping)
        except KeyboardInterrupt as interrupt:
            state, error = State.KILLED, str(interrupt) or "interrupted"
        except StorageUnavailable as problem:
            self._storage_failure = problem
            state, error = State.KILLED, str(problem)
        except (RunTakenOver, ReplayError, RunDeleted) as problem:
            self._abort_cause = problem
            raise
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self._interrupts.ignore()  # cleaning up takes seconds and must not be cut short by a second Ctrl-C
            try:
                result = self._finish(state, error, resumption)
            finally:
                self._interrupts.restore()
            if result is not None:
                self._deliver_end(result, is_killed=state is State.KILLED)
        if self._abort_cause is not None:
            raise self._abort_cause
        assert result is not None
        if self._storage_failure is not None:
            raise unavailable(self._storage_failure, result, self._table.trials, self._recorder.hints.resume_hint)
        if is_interrupted(state, result):
            raise run_interrupted(result, self._table, self._recorder.hints.resume_hint) from None
        if state is State.FAILED:
            raise trial_failed(self._plan, self._table, self._limits.mistake, error, result)
        return result

    def _deliver_end(self, result: Run, is_killed: bool) -> None:
        """Call the callbacks for the last time; a second interrupt must not replace the first, which names the run."""
        self._callbacks.add("on_run_end", result)
        try:
            self._callbacks.deliver()
        except KeyboardInterrupt:
            if not is_killed:
                raise

    def _make_job(self) -> Job:
        in_process = runs_in_process(self._pool)
        shows_output = self._display.shows_output
        return make_job(self._plan, self._settings, self._recorder, in_process, self._objects, shows_output)

    # --- the loop

    def _loop(self) -> None:
        search = self._plan.search
        while True:
            self._recorder.renew()
            self._check_storage()
            self._stopping.check_requests()
            if not self._stopping.cause and (limit := self._limits.exceeded()):
                self._stopping.end_run(limit)
            self._submit_trials()
            with self._interrupts.interruptible():
                self._callbacks.deliver()
            is_done = search.done or self._stopping.cause or self._exhausted
            if (is_done and not self._table.open_trials) or self._stopping.is_overdue:
                return
            with self._interrupts.interruptible():
                events = self._pool.wait(POLL_SECONDS)
            for event in events:
                self._on_event(event)
            self._display.update(self._progress.status())

    def _request_slots(self) -> None:
        # at least one slot for an algorithm that is not done, whatever its total: without any it is never asked again
        is_over = self._stopping.cause or self._plan.search.done
        remaining = 0 if is_over else max(1, self._table.total - self._table.asked)
        self._pool.want(len(self._table.open_trials) + remaining)

    def _submit_trials(self) -> None:
        """Submit trials to all free slots, as long as the search has any and their outcome can be recorded."""
        self._request_slots()
        self._exhausted = False
        while self._pool.free and not self._stopping.cause and not self._storage.is_paused:
            trial = self._retry_queue.popleft() if self._retry_queue else self._table.ask()
            self._show_notes()
            if trial is None:
                self._exhausted = True  # if no trial runs either, the run is over
                return
            if not self._pool.submit(trial.spec):
                self._retry_queue.appendleft(trial)

    def _check_storage(self) -> None:
        waiting = len(self._retry_queue)
        is_over = not self._table.open_trials and (self._plan.search.done or bool(self._stopping.cause))
        self._storage.check(can_work=is_over or len(self._table.open_trials) > waiting or self._pool.free > 0)

    def _on_event(self, event: Event) -> None:
        if event.kind == "no_room":
            self._storage.slot_failed(event.data["slot"], event.data["host"], event.data["problem"])
            self._storage.check()  # a trial in this thread may wait for room
        elif event.kind == "room":
            self._storage.slot_recovered(event.data["slot"])
        trial = self._table.open_trials.get(event.trial or "")
        if trial is None:
            return  # of a trial that has ended meanwhile
        if event.kind == "polled":
            self._stopping.check_requests()
            return
        if event.kind == "output":
            self._progress.history.printed(trial.id, event.data["lines"])
            for line in () if self._display.shows_output else event.data["lines"]:
                self._display.line(f"[{event.trial}] {line}")
            return
        if event.kind == "ended":
            texts = {name: redact_value(event.data.get(name)) for name in ("error", "traceback", "warnings")}
            self._on_trial_ended(trial, Result.from_json({**event.data, **texts}))
            return
        if event.kind == "report":
            self._on_report(trial, event)
            return
        if event.kind == "ask":
            reply(self._pool, self._plan.search, trial, event, self._recorder.emit)
            return
        if event.kind == "started":
            event.data["attempt"] = trial.spec.attempt
            self._table.started(trial, event.time)
            self._progress.history.started(trial.id)
            self._callbacks.add("on_trial_start", trial)
        self._recorder.append(event)

    def _on_report(self, trial: OpenTrial, event: Event) -> None:
        if event.data["attempt"] != trial.spec.attempt:
            return  # a late message of a slot that was lost
        self._recorder.append(event)
        step, value, metrics = event.data["step"], event.data["value"], event.data.get("metrics")
        for name, number in (metrics or {trial.reported.key: value}).items():
            self._progress.history.report(trial.id, step, number, name)
        self._callbacks.add("on_report", trial, step, metrics or value)
        why = self._table.report(trial, event)
        if why is not None and trial.stop_reason is None and not self._stopping.cause:
            self._stopping.stop_trial(trial, why, step, value)

    def _on_trial_ended(self, trial: OpenTrial, result: Result) -> None:
        if trial.stop_reason and result.cause in ("lost", "storage"):  # it was to be stopped anyway
            result = self._table.as_stopped(trial, result)
        if self._retries.failed_for_storage(trial, result):
            self._retry_uncounted(trial, result)
            return
        is_ending = self._stopping.cause or trial.stop_reason
        last_attempt = 0 if is_ending else self._retries.last_attempt(trial, result)
        if result.state is State.FAILED and trial.spec.attempt < last_attempt:
            self._retry(trial, result)
            self._display.line(f"trial {trial.id}: {result.error}; it is run again")
            return
        result = final_result(trial, result, self._stopping.cause)
        self._show_trial(self._table.end(trial, result))
        self._cleanup.check()
        if self._plan.stopper and getattr(self._plan.stopper, "needs_reports", True):
            self._messages.warn_without_reports(trial, result)
        self._show_notes()

    def _retry_uncounted(self, trial: OpenTrial, result: Result) -> None:
        """Retry a trial without counting the attempt."""
        if self._stopping.cause:
            self._show_trial(self._table.abandon(trial, f"ended by {self._stopping.cause}"))
            return
        trial.first_attempt += 1
        self._retry(trial, result)
        self._display.line(f"trial {trial.id} could not write, and is run again when it can: {result.error}")

    def _retry(self, trial: OpenTrial, result: Result) -> None:
        """Queue a trial for another attempt."""
        failed = {"attempt": trial.spec.attempt, "cause": result.cause, "error": result.error}
        self._recorder.emit("retry", trial.id, failed)
        trial.reset(trial.spec.attempt + 1)
        self._retry_queue.append(trial)

    def _show_trial(self, trial: Trial) -> None:
        self._progress.ended(trial)
        self._callbacks.add("on_trial_end", trial)
        is_new_failure = self._limits.ended(trial)
        if trial.state is State.FAILED and is_new_failure:
            self._messages.failure(trial, self._table.counts[State.FAILED])
        for warning in trial.warnings:
            self._display.line(f"trial {trial.id}: {warning}")

    # --- the end

    def _show_notes(self) -> None:
        for line in self._plan.search.notes():
            self._display.line(line)

    def _finish(self, state: State, error: str, resumption: Resumption | None) -> Run | None:
        """Release all resources and complete the record, after any kind of end."""
        self._stopping.close()
        self._close_pool(ends_programs=state is State.KILLED and not self._stopping.cause)
        if self._abort_cause:
            self._abandon(resumption)
            return None
        for trial in list(self._table.open_trials.values()):
            self._show_trial(self._table.abandon(trial, "the run was ended"))
        duration = self._table.seconds_worked + time.monotonic() - self._started
        result = self._result(state, error, duration)
        final_record = ending_record(result, self._table, state, error)
        is_complete = self._complete_record(result, final_record)
        if self._abort_cause:
            self._abandon(resumption)
            return None
        self._cleanup.check()
        self._cleanup.close(STOP_SECONDS)
        self._recorder.close(result, is_complete)
        self._storage.close()
        if not is_complete:  # a call returns no more than the record contains
            result = self._result(State.KILLED, error, duration, without=self._recorder.unrecorded())
        self._display.close(self._progress.status(), result)
        return result

    def _abandon(self, resumption: Resumption | None) -> None:
        self._cleanup.close(0)
        record = resumption.record if isinstance(self._abort_cause, ReplayError) and resumption else None
        self._storage.close()
        self._recorder.abandon(record, is_deleted=isinstance(self._abort_cause, RunDeleted))
        self._display.close(self._progress.status(), None)

    def _complete_record(self, result: Run, final_record: dict[str, Any]) -> bool:
        """Complete the record; returns True if it is complete."""
        completion = complete_record(self._recorder, self._storage, result, final_record, self._wait)
        if isinstance(completion.problem, StorageUnavailable):
            self._storage_failure = completion.problem
        else:
            self._abort_cause = completion.problem
        if completion.failure is not None and not self._abort_cause:
            place = self._recorder.directory.shown
            self._display.line(f"the run's record in {place} is not complete: {completion.failure}")
        return completion.failure is None

    def _wait(self) -> None:
        """Wait a moment after the loop's end, during which an interrupt is raised."""
        with self._interrupts.interruptible():
            time.sleep(POLL_SECONDS)
        self._recorder.renew()

    def _close_pool(self, ends_programs: bool) -> None:
        try:
            try:
                for event in self._stopping.end_programs() if ends_programs else ():
                    self._on_event(event)
            finally:
                self._pool.close()
            for event in self._pool.wait(0):  # trials that had ended before
                self._on_event(event)
        except Exception as problem:  # noqa: BLE001 - the run's record comes first
            self._display.line(f"slots could not be given back: {type(problem).__name__}: {problem}")

    def _result(self, state: State, error: str, duration: float, without: Collection[str] = ()) -> Run:
        return run_result(self._plan, self._recorder, self._table, state, error, duration, without)
