"""The only loop: ask, submit, wait, journal, tell, track. A verb builds a `Plan` and hands it over."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from ._interrupts import Interrupts
from ._plan import Plan
from ._recorder import Recorder
from ._resume import Resumption
from ._trial import Direction, Event, Result, Spec, State, finite, is_better, json_safe
from .config import Settings
from .display import Display, Guarded, Status
from .errors import ReplayError, RunInterrupted, RunTakenOver, TrialFailed
from .pool import Pool, make
from .result import Run, Trial
from .runtime.job import Job
from .runtime.preload import predicted
from .runtime.report import Reported
from .runtime.values import Values, serialize
from .search import Suggestion
from .store import Project

__all__ = ["Plan", "run"]

STOP_SECONDS = 10.0  # for slots to end their trials; then the pool is closed on them
PATIENCE_SECONDS = 0.25  # the display and the limits are looked at this often when nothing happens
RECENT = 5
NOT_REPEATED = ("return-value", "not-a-number", "killed")  # a restart would end the same way, or is not wanted
SHOWN_FAILURES = 10


@dataclasses.dataclass(slots=True)
class _Open:
    """A trial that has not ended."""

    params: dict[str, Any]
    spec: Spec
    generation: int | None
    reported: Reported
    started: float | None = None
    stopping: str | None = None  # why it is ended early
    first_attempt: int = 0  # of this driver
    told: bool = False  # the search knows of an end of it


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
    return _Study(plan, Guarded(display), slots, recorder, values, payload).carry_out(resumption)


class _Study:
    """One run. Lives in the thread of the call; nothing of it is shared with other runs."""

    def __init__(
        self, plan: Plan, display: Display, pool: Pool, recorder: Recorder, values: Values, payload: bytes
    ) -> None:
        self._plan, self._display, self._pool, self._recorder = plan, display, pool, recorder
        self._values, self._payload = values, payload
        self._directory = recorder.directory
        self._clock = time.monotonic()
        self._asked = 0
        self._asked_before = 0  # of that, what another algorithm was asked, before a fresh beginning
        self._open: dict[str, _Open] = {}
        self._again: deque[_Open] = deque()  # lost with their slot, to be run once more
        self._known: dict[str, Trial] = {}  # what was found before the algorithm began anew, by parameters
        self._origins: dict[str, str] = {}  # of a trial that goes on from another: the first one, by whose checkpoints
        self._trials: dict[str, Trial] = {}
        self._counts: Counter[State] = Counter()
        self._best: Trial | None = None
        self._first_failure: Trial | None = None
        self._recent: deque[Trial] = deque(maxlen=RECENT)
        self._idle = False
        self._silent_finish: bool | None = None  # of the first trial that finished
        self._stopping: str | None = None
        self._left: Exception | None = None  # why this driver has nothing more to say of the run
        self._before = 0.0  # seconds that earlier drivers have worked on the run
        self._stop_by = float("inf")
        self._interrupts = Interrupts()

    # --- the run as a whole

    def carry_out(self, resumption: Resumption | None) -> Run:
        state, error = State.FAILED, "the run ended unexpectedly"
        try:
            self._interrupts.take()
            if self._plan.stopper:
                self._plan.stopper.begin(self._plan.direction or Direction.MAX)
            if resumption:
                self._replay(resumption)
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
                f"run {result.run_id} was interrupted; the {self._counts[State.FINISHED]} trials that had finished "
                f"are kept in {result.logdir}",
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
            gpus=plan.resources.gpus_per_trial,
            directory=os.getcwd(),
            import_path=tuple(os.path.abspath(entry) for entry in sys.path),
            preload=tuple(predicted(plan.train_fn)) if repeats else (),
            repeats=repeats,
            direction=plan.direction,
            report_as=plan.report_as,
            stop_grace=plan.stop_grace,
            heartbeat_timeout=plan.heartbeat_timeout,
        )

    def _verdict(self) -> tuple[State, str]:
        limit = self._plan.max_failures
        if limit is not None and self._counts[State.FAILED] > limit:
            return State.FAILED, f"{self._counts[State.FAILED]} trials failed, more than max_failures={limit}"
        if self._counts[State.FINISHED] + self._counts[State.STOPPED]:
            return State.FINISHED, ""
        if self._stopping:
            return State.FAILED, f"no trial had finished before {self._stopping}"
        return State.FAILED, "every trial failed" if self._plan.search.total > 1 else "the trial failed"

    def _failure(self, error: str, result: Run) -> TrialFailed:
        first = self._first_failure
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

    @property
    def _total(self) -> int:
        return self._asked_before + self._plan.search.total

    # --- the loop

    def _loop(self) -> None:
        search = self._plan.search
        while True:
            self._recorder.renew()
            self._check_limits()
            self._hand_out()
            if not self._open and (search.done or self._stopping or self._idle):
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
        left = 0 if self._stopping or self._plan.search.done else self._total - self._asked
        self._pool.want(len(self._open) + max(0, left))
        self._idle = False
        while self._pool.free and not self._stopping:
            trial = self._again.popleft() if self._again else self._ask()
            if trial is None:
                self._idle = True  # with nothing running either, there is nothing left to wait for
                return
            if not self._pool.submit(trial.spec):
                self._again.appendleft(trial)

    def _ask(self) -> _Open | None:
        while True:
            trial_id = f"{self._asked:04d}"
            suggestion = self._plan.search.ask(trial_id)
            self._show_notes()
            if suggestion is None:
                return None
            known = self._known.get(_key(suggestion.params)) if self._known else None
            if known is None:
                break
            self._recorder.emit("known", trial_id, {"params": json_safe(suggestion.params), "of": known.id})
            self._tell_known(trial_id, known)
        self._recorder.emit(
            "asked",
            trial_id,
            {
                "params": json_safe(suggestion.params),
                "generation": suggestion.generation,
                "continues": suggestion.continues,
            },
        )
        return self._opened(trial_id, suggestion)

    def _opened(self, trial_id: str, suggestion: Suggestion) -> _Open:
        self._asked += 1
        checkpoints = None
        if suggestion.continues is not None:
            first = self._origins[trial_id] = self._origins.get(suggestion.continues, suggestion.continues)
            checkpoints = self._directory.path("trials", first, "checkpoints")
        spec = Spec(
            trial_id,
            self._values.to_wire(suggestion.params),
            self._directory.path("trials", trial_id),
            suggestion.generation,
            checkpoints=checkpoints,
        )
        trial = _Open(suggestion.params, spec, suggestion.generation, Reported(self._plan.direction))
        self._open[trial_id] = trial
        return trial

    def _handle(self, event: Event) -> None:
        trial = self._open.get(event.trial or "")
        if trial is None:
            return  # of a trial that has been settled meanwhile
        if event.kind == "output":
            for line in event.data["lines"]:
                self._display.line(f"[{event.trial}] {line}")
            return
        if event.kind == "ended":
            self._end(trial, Result.from_json(event.data))
            return
        if event.kind == "report":
            self._on_report(trial, event)
            return
        if event.kind == "started":
            trial.started = event.time
            event.data["attempt"] = trial.spec.attempt
            if self._plan.stopper:
                self._plan.stopper.started(trial.spec.trial_id)
        self._recorder.append(event)

    def _on_report(self, trial: _Open, event: Event) -> None:
        step, value = event.data["step"], event.data["value"]
        if event.data["attempt"] != trial.spec.attempt:
            return  # told late by a slot that was lost
        self._recorder.append(event)
        trial.reported.add(step, value)
        stopper = self._plan.stopper
        why = stopper.report(trial.spec.trial_id, step, value) if stopper else None
        if why is not None and trial.stopping is None and not self._stopping:
            trial.stopping = why
            self._recorder.emit("stop", trial.spec.trial_id, {"why": why, "step": step, "value": value})
            self._pool.stop(trial.spec.trial_id, why)

    def _end(self, trial: _Open, result: Result) -> None:
        if trial.stopping and result.cause == "lost":  # it was to end anyway
            value = trial.reported.value(self._plan.report_as)
            result = dataclasses.replace(
                result,
                state=State.STOPPED,
                metric=value if finite(value) else None,
                error=None,
                cause=None,
                outputs={self._plan.optimization_key or "metric": value},
            )
        if result.state is State.FAILED and trial.spec.attempt < self._last_attempt(trial, result):
            trial.spec = dataclasses.replace(trial.spec, attempt=trial.spec.attempt + 1)
            trial.started, trial.reported = None, Reported(self._plan.direction)
            self._again.append(trial)
            self._display.line(f"trial {trial.spec.trial_id}: {result.error}; it is run again")
            return
        if result.cause == "lost" and (times := trial.spec.attempt - trial.first_attempt + 1) > 1:
            result = dataclasses.replace(result, error=f"{result.error}, {times} times")
        if result.cause == "lost":
            result = dataclasses.replace(result, started=trial.started or result.started)
        if self._stopping and result.cause == "killed":
            result = dataclasses.replace(result, error=f"ended by {self._stopping}")
        if trial.stopping and result.state is State.STOPPED:
            result = dataclasses.replace(result, error=trial.stopping)
        self._settle(trial, result)
        if not trial.told:
            self._plan.search.tell(result)
        if self._plan.stopper:
            self._plan.stopper.ended(result)
            self._check_reports(trial, result)
        self._show_notes()

    def _check_reports(self, trial: _Open, result: Result) -> None:
        """Say once that a stopper has nothing to go by."""
        if self._silent_finish is None and result.state is State.FINISHED:
            self._silent_finish = not trial.reported.count
            if self._silent_finish:
                self._display.line(
                    f"trial {result.trial_id} finished without a report, so the stopper can do nothing; call "
                    "hopslite.report(value, step) in the training loop, or use hopslite.callbacks.KerasEpochEnd()"
                )

    def _last_attempt(self, trial: _Open, result: Result) -> int:
        """The number of the last attempt that a trial may have that ended like this."""
        if self._stopping or result.cause in NOT_REPEATED:
            return 0
        return trial.first_attempt + max(
            self._plan.max_retries if result.cause == "lost" else 0, self._plan.max_restarts
        )

    def _settle(self, trial: _Open, result: Result) -> None:
        """Take the final result of a trial into the record."""
        self._recorder.emit("ended", trial.spec.trial_id, result.to_json())
        done = self._take(trial, result)
        if done.state is State.FAILED:
            self._show_failure(done)
        for warning in result.warnings:
            self._display.line(f"trial {done.id}: {warning}")

    def _take(self, trial: _Open, result: Result) -> Trial:
        done = Trial.from_result(result, params=trial.params, logdir=trial.spec.logdir, generation=trial.generation)
        del self._open[done.id]
        self._trials[done.id] = done
        self._recent.append(done)
        self._counts[done.state] += 1
        direction = self._plan.direction
        if done.state in (State.FINISHED, State.STOPPED) and done.metric is not None and direction is not None:
            if self._best is None or is_better(done.metric, self._best.metric, direction):
                self._best = done
        elif done.state is State.FAILED:
            self._first_failure = self._first_failure or done
        return done

    def _show_failure(self, trial: Trial) -> None:
        shown = self._counts[State.FAILED]
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
        elif plan.max_failures is not None and self._counts[State.FAILED] > plan.max_failures:
            self._stop(f"max_failures={plan.max_failures}")

    def _stop(self, why: str) -> None:
        self._stopping = why
        self._stop_by = time.monotonic() + STOP_SECONDS
        self._display.line(f"ending the run: {why}")
        waiting = list(self._again)
        self._again.clear()
        for trial in waiting:
            self._settle(trial, _killed(trial, f"ended by {why}"))
        for trial_id in self._open:
            self._pool.kill(trial_id, why)

    # --- a run that an earlier driver has begun

    def _replay(self, resumption: Resumption) -> None:
        """Bring everything to where the journal ends."""
        numbered = enumerate(resumption.past.events)
        marks = [number for number, event in numbered if event.kind == "resumed" and event.data["fresh"]]
        live_from = math.inf if resumption.fresh else max(marks, default=0)
        retriable: list[str] = []
        began = last = 0.0
        for number, event in enumerate(resumption.past.events):
            if event.kind in ("run_started", "resumed"):
                self._before += last - began
                began = event.time
            last = event.time
            if number == live_from:
                self._begin_anew(self._take)
            self._replay_event(event, number >= live_from, retriable)
        self._before += last - began
        if resumption.fresh:
            self._begin_anew(self._settle)
        if resumption.retry_failed:
            for trial_id in retriable:
                self._retry(self._trials.pop(trial_id), resumption.past.trials[trial_id].attempts)
        for trial in self._open.values():
            attempt = trial.spec.attempt + (trial.started is not None)
            trial.spec = dataclasses.replace(trial.spec, attempt=attempt)
            trial.first_attempt, trial.started, trial.stopping = attempt, None, None
            trial.reported = Reported(self._plan.direction)
            self._again.append(trial)

    def _replay_event(self, event: Event, live: bool, retriable: list[str]) -> None:
        """Take up an event. Those that are not `live` come from before the algorithm began anew."""
        search, stopper = self._plan.search, self._plan.stopper if live else None
        trial_id = event.trial or ""
        trial = self._open.get(trial_id)
        if event.kind in ("asked", "known") and trial is None:
            while live and self._asked < int(trial_id):  # the journal has lost that one, and the algorithm has not
                self._ask()
            params = event.data["params"]
            suggestion = search.adopt(trial_id, params) if live else Suggestion(params, event.data.get("generation"))
            if event.kind == "asked":
                self._opened(trial_id, suggestion)
            else:
                self._tell_known(trial_id, self._trials[event.data["of"]])
        elif event.kind == "again" and trial_id in retriable:
            retriable.remove(trial_id)
            self._retry(self._trials.pop(trial_id), 0, journal=False)
        elif trial is None:
            return
        elif event.kind == "started":
            trial.started = event.time
            trial.spec = dataclasses.replace(trial.spec, attempt=event.data.get("attempt") or 0)
            trial.reported = Reported(self._plan.direction)
            if stopper:
                stopper.started(trial_id)
        elif event.kind == "report":
            trial.reported.add(event.data["step"], event.data["value"])
            if stopper:
                stopper.report(trial_id, event.data["step"], event.data["value"])
        elif event.kind == "ended":
            result = Result.from_json(event.data)
            if result.state is State.KILLED:
                return  # with its driver; it is run again
            self._take(trial, result)
            if live and not trial.told:
                search.tell(result)
            if stopper:
                stopper.ended(result)
            if live and result.state is State.FAILED:
                retriable.append(trial_id)

    def _retry(self, done: Trial, attempt: int, journal: bool = True) -> None:
        """Open a failed trial again. The search has been told of its failure and stays with that."""
        self._counts[done.state] -= 1
        if self._first_failure is done:
            self._first_failure = None
        if journal:
            self._recorder.emit("again", done.id)
        trial = self._opened(done.id, Suggestion(done.params, done.generation))
        self._asked -= 1
        trial.spec = dataclasses.replace(trial.spec, attempt=attempt)
        trial.told = True

    def _begin_anew(self, settle: Callable[[_Open, Result], Any]) -> None:
        """From here on the algorithm is another: what was found is known, what was not is given up."""
        for trial in list(self._open.values()):
            settle(trial, _killed(trial, "given up: the run went on with another search space or direction"))
        done = [trial for trial in self._trials.values() if trial.state in (State.FINISHED, State.STOPPED)]
        self._known = {_key(trial.params): trial for trial in done}
        self._asked_before = self._asked

    def _tell_known(self, trial_id: str, known: Trial) -> None:
        self._asked += 1
        self._plan.search.tell(Result(trial_id, known.state, known.metric))

    def _tell_replayed(self, resumption: Resumption) -> None:
        for note in resumption.notes:
            self._display.line(note)
        left = f"{len(self._again)} that had begun or failed are run again" if self._again else "none was under way"
        self._display.line(f"run {self._recorder.run_id} goes on: {len(self._trials)} trials are done, {left}")

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
        for trial in list(self._open.values()):
            self._settle(trial, _killed(trial, "the run was ended"))
        duration = self._before + time.monotonic() - self._clock
        plan, recorder, best = self._plan, self._recorder, self._best
        result = Run(
            is_search=plan.is_search,
            run_id=recorder.run_id,
            name=plan.name,
            version=recorder.version,
            verb=plan.verb,
            logdir=self._directory.url,
            state=state,
            trials=[self._trials[key] for key in sorted(self._trials, key=int)],
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
            **recorder.urls(),
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
        return next(iter(self._trials.values())).metric if len(self._trials) == 1 else None

    def _status(self) -> Status:
        plan, best = self._plan, self._best
        counts = {**self._counts, State.RUNNING: sum(1 for trial in self._open.values() if trial.started)}
        counts[State.PENDING] = len(self._open) - counts[State.RUNNING]
        elapsed = time.monotonic() - self._clock
        done = len(self._trials)
        total = self._total
        return Status(
            name=plan.name,
            version=self._recorder.version,
            verb=plan.verb,
            logdir=self._directory.url,
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
        )


def _key(params: dict[str, Any]) -> str:
    return json.dumps(json_safe(params), sort_keys=True)


def _killed(trial: _Open, error: str) -> Result:
    started = trial.started or time.time()
    return Result(
        trial.spec.trial_id, State.KILLED, error=error, cause="killed", started=started, duration=time.time() - started
    )
