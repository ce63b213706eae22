"""The only loop: ask, submit, wait, journal, tell, track. A verb builds a `Plan` and hands it over."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections import deque
from typing import Any

from ._interrupts import Interrupts
from ._ledger import Ledger, OpenTrial
from ._plan import Plan
from ._recorder import Recorder
from ._resume import Resumption
from ._trial import Event, Result, State
from .config import Settings
from .display import Display, Guarded, Status
from .display.history import History
from .errors import ReplayError, RunInterrupted, RunTakenOver, TrialFailed
from .pool import Pool, make
from .result import Run, Trial
from .runtime.job import Job
from .runtime.preload import predicted
from .runtime.values import Values, serialize
from .store import Project
from .store.filesystems import access_variables

__all__ = ["Plan", "run"]

STOP_SECONDS = 10.0  # for slots to end their trials; then the pool is closed on them
PATIENCE_SECONDS = 0.25  # the display and the limits are looked at this often when nothing happens
RECENT = 5
NOT_REPEATED = ("return-value", "not-a-number", "killed")  # a restart would end the same way, or is not wanted
SHOWN_FAILURES = 10


def run(
    plan: Plan,
    settings: Settings,
    display: Display,
    pool: str | Pool = "spark",
    spark: Any = None,
    resumption: Resumption | None = None,
) -> Run:
    """Carry out a plan, or what is left of it.

    Raises:
        RunTakenOver: another driver has resumed the run while this one did not answer.
        TrialFailed: every trial failed, or more than `max_failures`; the first failure's cause is in the message.
        RunInterrupted: an interrupt ended the run, which is KILLED.
    """
    values = Values(plan.choices)
    payload = serialize(plan.train_fn, values.objects)
    slots = make(pool, plan.resources, spark, settings.channel_port) if isinstance(pool, str) else pool
    try:
        recorder = Recorder(plan, settings, Project(settings.project), slots.facts, display.line, resumption)
    except BaseException:
        slots.close()
        raise
    return _Study(plan, settings, Guarded(display), slots, recorder, values, payload).carry_out(resumption)


class _Study:
    """One run. Lives in the thread of the call; nothing of it is shared with other runs."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        display: Guarded,
        pool: Pool,
        recorder: Recorder,
        values: Values,
        payload: bytes,
    ) -> None:
        self._plan, self._display, self._pool, self._recorder = plan, display, pool, recorder
        self._settings = settings
        self._payload = payload
        self._ledger = Ledger(plan, recorder.directory, values, recorder.emit)
        self._clock = time.monotonic()
        self._again: deque[OpenTrial] = deque()  # to be run once more: lost with their slot, or with an earlier driver
        self._recent: deque[Trial] = deque(maxlen=RECENT)
        self._history = History(plan.direction)
        self._idle = False
        self._silent_finish: bool | None = None  # of the first trial that finished
        self._stopping: str | None = None
        self._left: Exception | None = None  # why this driver has nothing more to say of the run
        self._stop_by = float("inf")
        self._interrupts = Interrupts()

    # --- the run as a whole

    def carry_out(self, resumption: Resumption | None) -> Run:
        state, error = State.FAILED, "the run ended unexpectedly"
        try:
            self._interrupts.take()
            self._ledger.begin()
            if resumption:
                self._again += self._ledger.replay(resumption.past, resumption.retry_failed, resumption.fresh)
                for trial in self._ledger.trials.values():
                    self._history.ended(trial)
            self._recorder.start()
            self._display.start(self._status())
            if resumption:
                self._tell_replayed(resumption)
            label = f"{self._plan.name} v{self._recorder.version} | {self._plan.title}"
            self._pool.start(self._job(), label, self._handle)
            self._loop()
            state, error = self._verdict()
        except KeyboardInterrupt:
            state, error = State.KILLED, "interrupted"
        except (RunTakenOver, ReplayError) as problem:
            self._left = problem
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
        assert result is not None
        if state is State.KILLED:
            raise RunInterrupted(
                f"run {result.run_id} was interrupted; the {self._ledger.counts[State.FINISHED]} trials that had "
                f"finished are kept in {result.logdir}",
                run_id=result.run_id,
                logdir=result.logdir,
                result=result,
            ) from None
        if state is State.FAILED:
            raise self._failure(error, result)
        return result

    def _job(self) -> Job:
        plan = self._plan
        repeats = plan.search.total > 1 or plan.max_restarts > 0
        inputs = tuple(each.to_json() for each in plan.inputs)
        remote = not self._recorder.directory.is_local or any(not each.is_local for each in plan.inputs)
        return Job(
            run_id=self._recorder.run_id,
            name=plan.name,
            project=self._recorder.project_url,
            payload=self._payload,
            optimization_key=plan.optimization_key,
            needs_metric=plan.is_search,
            seed=plan.seed,
            isolation=plan.isolation,
            trial_timeout=plan.trial_timeout,
            local_logdir=plan.local_logdir,
            verbose=plan.verbose,
            tail=plan.verbose or self._display.shows_output,
            gpus=plan.resources.gpus_per_trial,
            directory=os.getcwd(),
            import_path=tuple(os.path.abspath(entry) for entry in sys.path),
            preload=tuple(predicted(plan.train_fn)) if repeats else (),
            repeats=repeats,
            direction=plan.direction,
            report_as=plan.report_as,
            stop_grace=plan.stop_grace,
            heartbeat_timeout=plan.heartbeat_timeout,
            sync_interval=self._settings.sync_interval,
            inputs=inputs,
            access=access_variables() if remote or self._settings.tracking_uri else {},
            tracking_uri=self._settings.tracking_uri,
        )

    def _verdict(self) -> tuple[State, str]:
        limit = self._plan.max_failures
        if limit is not None and self._ledger.counts[State.FAILED] > limit:
            return State.FAILED, f"{self._ledger.counts[State.FAILED]} trials failed, more than max_failures={limit}"
        if self._ledger.counts[State.FINISHED] + self._ledger.counts[State.STOPPED]:
            return State.FINISHED, ""
        if self._stopping:
            return State.FAILED, f"no trial had finished before {self._stopping}"
        return State.FAILED, "every trial failed" if self._plan.search.total > 1 else "the trial failed"

    def _failure(self, error: str, result: Run) -> TrialFailed:
        first = self._ledger.first_failure
        message, log_path = f"run {result.run_id} failed: {error}. Its directory: {result.logdir}", None
        if first is not None:
            log_path = f"{first.logdir}/{first.log}"
            which = f"{error}. The first was trial {first.id} {first.params}: " if self._plan.search.total > 1 else ""
            message = f"run {result.run_id} failed: {which}{first.error} (log: {log_path})" + (
                f"\n\n{first.traceback}" if first.traceback else ""
            )
        return TrialFailed(
            message,
            trial_id=first.id if first else None,
            params=first.params if first else None,
            cause=first.cause if first else "killed",
            traceback=first.traceback if first else None,
            log_path=log_path,
            run_id=result.run_id,
            logdir=result.logdir,
            result=result,
        )

    # --- the loop

    def _loop(self) -> None:
        search = self._plan.search
        while True:
            self._recorder.renew()
            self._check_limits()
            self._hand_out()
            if not self._ledger.open and (search.done or self._stopping or self._idle):
                return
            if time.monotonic() >= self._stop_by:
                return  # closing the pool ends what is left
            with self._interrupts.allowed():
                events = self._pool.wait(PATIENCE_SECONDS)
            for event in events:
                self._handle(event)
            self._display.update(self._status())

    def _hand_out(self) -> None:
        """Give every free slot a trial, as long as there are any to give."""
        ledger = self._ledger
        # one slot at least for an algorithm that is not done, whatever its total: without any it is never asked again
        left = 0 if self._stopping or self._plan.search.done else max(1, ledger.total - ledger.asked)
        self._pool.want(len(ledger.open) + left)
        self._idle = False
        while self._pool.free and not self._stopping:
            trial = self._again.popleft() if self._again else ledger.ask()
            self._show_notes()
            if trial is None:
                self._idle = True  # with nothing running either, there is nothing left to wait for
                return
            if not self._pool.submit(trial.spec):
                self._again.appendleft(trial)

    def _handle(self, event: Event) -> None:
        trial = self._ledger.open.get(event.trial or "")
        if trial is None:
            return  # of a trial that has been settled meanwhile
        if event.kind == "output":
            self._history.printed(trial.id, event.data["lines"])
            for line in () if self._display.shows_output else event.data["lines"]:
                self._display.line(f"[{event.trial}] {line}")
            return
        if event.kind == "ended":
            self._end(trial, Result.from_json(event.data))
            return
        if event.kind == "report":
            self._on_report(trial, event)
            return
        if event.kind == "started":
            event.data["attempt"] = trial.spec.attempt
            self._ledger.started(trial, event.time)
            self._history.started(trial.id)
        self._recorder.append(event)

    def _on_report(self, trial: OpenTrial, event: Event) -> None:
        if event.data["attempt"] != trial.spec.attempt:
            return  # told late by a slot that was lost
        self._recorder.append(event)
        self._history.report(trial.id, event.data["step"], event.data["value"])
        why = self._ledger.report(trial, event)
        if why is not None and trial.stopping is None and not self._stopping:
            trial.stopping = why
            self._recorder.emit("stop", trial.id, {"why": why, **{key: event.data[key] for key in ("step", "value")}})
            self._pool.stop(trial.id, why)

    def _end(self, trial: OpenTrial, result: Result) -> None:
        if trial.stopping and result.cause == "lost":  # it was to end anyway
            result = self._ledger.stopped(trial, result)
        if result.state is State.FAILED and trial.spec.attempt < self._last_attempt(trial, result):
            trial.repeat(trial.spec.attempt + 1)
            self._again.append(trial)
            self._display.line(f"trial {trial.id}: {result.error}; it is run again")
            return
        if result.cause == "lost" and (times := trial.spec.attempt - trial.first_attempt + 1) > 1:
            result = dataclasses.replace(result, error=f"{result.error}, {times} times")
        if result.cause == "lost":
            result = dataclasses.replace(result, started=trial.started or result.started)
        if self._stopping and result.cause == "killed":
            result = dataclasses.replace(result, error=f"ended by {self._stopping}")
        if trial.stopping and result.state is State.STOPPED:
            result = dataclasses.replace(result, error=trial.stopping)
        self._show(self._ledger.end(trial, result))
        if self._plan.stopper:
            self._check_reports(trial, result)
        self._show_notes()

    def _check_reports(self, trial: OpenTrial, result: Result) -> None:
        """Say once that a stopper has nothing to go by."""
        if self._silent_finish is None and result.state is State.FINISHED:
            self._silent_finish = not trial.reported.count
            if self._silent_finish:
                self._display.line(
                    f"trial {result.trial_id} finished without a report, so the stopper can do nothing; call "
                    "hopslite.report(value, step) in the training loop, or use hopslite.callbacks.KerasEpochEnd()"
                )

    def _last_attempt(self, trial: OpenTrial, result: Result) -> int:
        """The number of the last attempt that a trial may have that ended like this."""
        if self._stopping or result.cause in NOT_REPEATED:
            return 0
        return trial.first_attempt + max(
            self._plan.max_retries if result.cause == "lost" else 0, self._plan.max_restarts
        )

    def _show(self, done: Trial) -> None:
        self._recent.append(done)
        self._history.ended(done)
        if done.state is State.FAILED:
            self._show_failure(done)
        for warning in done.warnings:
            self._display.line(f"trial {done.id}: {warning}")

    def _show_failure(self, trial: Trial) -> None:
        shown = self._ledger.counts[State.FAILED]
        if shown <= SHOWN_FAILURES:
            self._display.line(f"trial {trial.id} failed: {trial.error} (log: {trial.logdir}/{trial.log})")
        if shown == SHOWN_FAILURES:
            self._display.line("further failures are counted, and are in the table of trials")

    def _check_limits(self) -> None:
        plan = self._plan
        if self._stopping:
            return
        if plan.timeout is not None and time.monotonic() - self._clock >= plan.timeout:
            self._stop(f"timeout={plan.timeout:g} s")
        elif plan.max_failures is not None and self._ledger.counts[State.FAILED] > plan.max_failures:
            self._stop(f"max_failures={plan.max_failures}")

    def _stop(self, why: str) -> None:
        self._stopping = why
        self._stop_by = time.monotonic() + STOP_SECONDS
        self._display.line(f"ending the run: {why}")
        waiting = list(self._again)
        self._again.clear()
        for trial in waiting:
            self._show(self._ledger.give_up(trial, f"ended by {why}"))
        for trial_id in self._ledger.open:
            self._pool.kill(trial_id, why)

    def _tell_replayed(self, resumption: Resumption) -> None:
        for note in resumption.notes:
            self._display.line(note)
        left = f"{len(self._again)} that had begun or failed are run again" if self._again else "none was under way"
        self._display.line(f"run {self._recorder.run_id} goes on: {len(self._ledger.trials)} trials are done, {left}")

    # --- the record

    def _show_notes(self) -> None:
        for line in self._plan.search.notes():
            self._display.line(line)

    def _finish(self, state: State, error: str, resumption: Resumption | None) -> Run | None:
        """Give everything back and complete the record, whatever happened."""
        self._close_pool()
        if self._left:
            self._recorder.leave(resumption.record if isinstance(self._left, ReplayError) and resumption else None)
            self._display.close(self._status(), None)
            return None
        for trial in list(self._ledger.open.values()):
            self._show(self._ledger.give_up(trial, "the run was ended"))
        duration = self._ledger.worked + time.monotonic() - self._clock
        plan, recorder, best = self._plan, self._recorder, self._ledger.best
        result = Run(
            is_search=plan.is_search,
            run_id=recorder.run_id,
            name=plan.name,
            version=recorder.version,
            verb=plan.verb,
            logdir=self._recorder.directory.url,
            state=state,
            trials=[self._ledger.trials[key] for key in sorted(self._ledger.trials, key=int)],
            best_trial=best,
            direction=plan.direction,
            optimization_key=plan.optimization_key,
            started_at=recorder.started,
            duration=duration,
            seed=plan.seed,
            project=recorder.project_url,
            description=plan.description,
            tags=plan.tags,
            error=error or None,
            **recorder.later(),
        )
        ending = {
            "state": state,
            "best_trial": best.id if best else None,
            "metric": best.metric if best else self._single_metric(),
            "duration": duration,
            "error": error or None,
        }
        recorder.finish(result, ending)
        self._display.close(self._status(), result)
        return result

    def _close_pool(self) -> None:
        try:
            self._pool.close()
            for event in self._pool.wait(0):  # what had ended before
                self._handle(event)
        except Exception as problem:  # noqa: BLE001 - the run's record comes first
            self._display.line(f"slots could not be given back: {type(problem).__name__}: {problem}")

    def _single_metric(self) -> float | None:
        trials = self._ledger.trials
        return next(iter(trials.values())).metric if len(trials) == 1 else None

    def _status(self) -> Status:
        plan, ledger, best = self._plan, self._ledger, self._ledger.best
        counts = {**ledger.counts, State.RUNNING: sum(1 for trial in ledger.open.values() if trial.started)}
        counts[State.PENDING] = len(ledger.open) - counts[State.RUNNING]
        elapsed = time.monotonic() - self._clock
        done, total = len(ledger.trials), ledger.total
        return Status(
            name=plan.name,
            version=self._recorder.version,
            verb=plan.verb,
            logdir=self._recorder.directory.url,
            total=total,
            counts=counts,
            direction=plan.direction,
            best_trial=best.id if best else None,
            best_params=best.params if best else None,
            best_metric=best.metric if best else None,
            elapsed=elapsed,
            remaining=elapsed / done * (total - done) if done else None,
            slots_used=self._pool.size,
            recent=tuple(self._recent),
            tensorboard_url=self._recorder.tensorboard_url,
            tensorboard_hint=self._recorder.tensorboard_hint,
            mlflow_hint=self._recorder.mlflow_hint,
            plots=self._recorder.plots,
            resume_hint=self._recorder.resume_hint,
            spark_url=self._recorder.spark_url,
            metric=plan.optimization_key,
            **self._history.facts(),
        )
