"""The only loop: ask, submit, wait, journal, tell, track. A verb builds a `Plan` and hands it over."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from . import track
from ._plugins import load
from ._trial import Direction, Event, Result, Spec, State, is_better, json_safe
from .config import Settings
from .display import Display, Status
from .errors import HopsliteError, RunInterrupted, TrialFailed
from .pool import Pool, Resources
from .result import Run, Trial
from .runtime.job import Job
from .runtime.preload import predicted
from .runtime.values import Values, serialize
from .search import Search
from .store import JournalWriter, Project, RunDir, save_snapshot

__all__ = ["Plan", "run"]

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.25  # the display and the limits are looked at this often when nothing happens
RECENT = 5


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a verb decided, checked: what to run, how to choose, when to end."""

    verb: str
    title: str
    name: str
    train_fn: Callable[..., Any]
    search: Search
    space: Any  # JSON form, for the record
    choices: tuple[Any, ...]  # values that hyperparameters can take, where they are listed
    seed: int
    is_search: bool = True
    direction: Direction | None = None
    optimization_key: str | None = None
    description: str | None = None
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    local_logdir: bool = False
    isolation: str = "process"
    resources: Resources = dataclasses.field(default_factory=Resources)
    trial_timeout: float | None = None
    timeout: float | None = None
    max_failures: int | None = None
    max_retries: int = 2
    verbose: bool = False


@dataclasses.dataclass(slots=True)
class _Open:
    """A trial that has not ended."""

    params: dict[str, Any]
    spec: Spec
    generation: int | None
    started: float | None = None


def run(plan: Plan, settings: Settings, display: Display, pool: str | Pool = "spark", spark: Any = None) -> Run:
    """Carry out a plan.

    Raises:
        TrialFailed: every trial failed, or more than `max_failures`; the first failure's cause is in the message.
        RunInterrupted: an interrupt ended the run, which is KILLED.
    """
    project = Project(settings.project)
    values = Values(plan.choices)
    payload = serialize(plan.train_fn, values.objects)
    slots: Pool = load("pool", pool)(plan.resources, spark, settings.channel_port) if isinstance(pool, str) else pool
    run_id, version, directory = project.new_run(plan.name)
    job = Job(
        run_id=run_id,
        name=plan.name,
        project=project.url,
        payload=payload,
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
        preload=tuple(predicted(plan.train_fn)),
    )
    return _Study(plan, settings, display, slots, project, directory, run_id, version, values, job).carry_out()


class _Study:
    """One run. Lives in the thread of the call; nothing of it is shared with other runs."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        display: Display,
        pool: Pool,
        project: Project,
        directory: RunDir,
        run_id: str,
        version: int,
        values: Values,
        job: Job,
    ) -> None:
        self._plan, self._settings, self._display, self._pool = plan, settings, display, pool
        self._project, self._directory, self._run_id, self._version = project, directory, run_id, version
        self._values, self._job = values, job
        self._started = time.time()
        self._clock = time.monotonic()
        self._asked = 0
        self._open: dict[str, _Open] = {}
        self._again: deque[_Open] = deque()  # lost with their slot, to be run once more
        self._trials: dict[str, Trial] = {}
        self._counts: Counter[State] = Counter()
        self._best: Trial | None = None
        self._first_failure: Trial | None = None
        self._recent: deque[Trial] = deque(maxlen=RECENT)
        self._idle = False
        self._stopping: str | None = None
        self._tensorboard: track.TensorBoardServer | None = None
        self._record = self._first_record()
        self._record_lock = threading.Lock()
        directory.write_json("run.json", self._record)
        self._journal = JournalWriter(directory)
        self._emit("run_started", data=self._record)

    def _first_record(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "run_id": self._run_id,
            "name": plan.name,
            "version": self._version,
            "verb": plan.verb,
            "state": State.RUNNING,
            "description": plan.description,
            "tags": plan.tags,
            "direction": plan.direction,
            "optimization_key": plan.optimization_key,
            "space": plan.space,
            "seed": plan.seed,
            "total": plan.search.total,
            "isolation": plan.isolation,
            **dataclasses.asdict(plan.resources),
            "project": self._project.url,
            "logdir": self._directory.url,
            "user": _user(),
            "started": self._started,
            "finished": None,
            "duration": None,
            "best_trial": None,
            "metric": None,
            "program": os.path.basename(str(getattr(sys.modules.get("__main__"), "__file__", "") or "notebook")),
            "application_id": self._pool.facts.get("application_id"),
            "spark_ui": self._pool.facts.get("ui"),
            "tensorboard_url": None,
        }

    # --- the run as a whole

    def carry_out(self) -> Run:
        trackers = [*["mlflow"] * self._settings.tracks, *["tensorboard"] * self._settings.tensorboard]
        self._tracking = track.start(self._directory, trackers, self._settings.tracking_uri, self._display.line)
        snapshot = threading.Thread(target=self._snapshot, name="hopslite-snapshot", daemon=True)
        snapshot.start()
        if self._settings.tensorboard and self._directory.is_local:
            self._tensorboard = track.TensorBoardServer(self._directory.url, self._on_tensorboard, self._display.line)
        self._display.start(self._status())
        state: State = State.FAILED
        error: str | None = "the run ended unexpectedly"
        try:
            self._pool.start(self._job, f"{self._plan.name} v{self._version} | {self._plan.title}")
            self._loop()
            state, error = self._verdict()
        except KeyboardInterrupt:
            state, error = State.KILLED, "interrupted"
            raise
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            with _uninterrupted():
                snapshot.join(30)
                result = self._finish(state, error)
            if state is State.KILLED:
                raise RunInterrupted(
                    f"run {self._run_id} was interrupted; the {self._counts[State.FINISHED]} trials that had finished "
                    f"are kept in {self._directory.url}",
                    run_id=self._run_id,
                    logdir=self._directory.url,
                    result=result,
                ) from None
        if state is State.FAILED:
            raise self._failure(error, result)
        return result

    def _verdict(self) -> tuple[State, str | None]:
        limit = self._plan.max_failures
        if limit is not None and self._counts[State.FAILED] > limit:
            return State.FAILED, f"{self._counts[State.FAILED]} trials failed, more than max_failures={limit}"
        if self._counts[State.FINISHED] + self._counts[State.STOPPED]:
            return State.FINISHED, None
        if self._stopping:
            return State.FAILED, f"no trial had finished before {self._stopping}"
        return State.FAILED, "every trial failed"

    def _failure(self, error: str | None, result: Run) -> HopsliteError:
        first = self._first_failure
        if first is None:
            return TrialFailed(
                f"run {self._run_id} failed: {error}. Its directory: {self._directory.url}",
                trial_id=None, params=None, cause="killed", traceback=None, log_path=None,
                run_id=self._run_id, logdir=self._directory.url, result=result,
            )  # fmt: skip
        log_path = f"{first.logdir}/output.log"
        trace = f"\n\n{first.traceback}" if first.traceback else ""
        return TrialFailed(
            f"run {self._run_id} failed: {error}. The first was trial {first.id} {first.params}: {first.error} "
            f"(log: {log_path}){trace}",
            trial_id=first.id, params=first.params, cause=first.cause, traceback=first.traceback, log_path=log_path,
            run_id=self._run_id, logdir=self._directory.url, result=result,
        )  # fmt: skip

    def _snapshot(self) -> None:
        for problem in save_snapshot(self._directory, self._pool.facts):
            log.warning(problem)

    def _on_tensorboard(self, url: str) -> None:
        with contextlib.suppress(OSError):
            self._update_record(tensorboard_url=url)
        self._display.line(f"TensorBoard: {url}")

    # --- the loop

    def _loop(self) -> None:
        search = self._plan.search
        while True:
            self._check_limits()
            self._hand_out()
            if not self._open and (search.done or self._stopping or self._idle):
                return
            for event in self._pool.wait(PATIENCE_SECONDS):
                self._handle(event)
            self._display.update(self._status())

    def _hand_out(self) -> None:
        """Give every free slot a trial, as long as there are any to give."""
        left = 0 if self._stopping or self._plan.search.done else self._plan.search.total - self._asked
        self._pool.want(len(self._open) + max(0, left))
        self._idle = False
        while self._pool.free and not self._stopping:
            trial = self._again.popleft() if self._again else self._ask()
            if trial is None:
                self._idle = True  # with nothing running either, there is nothing left to wait for
                return
            self._pool.submit(trial.spec)

    def _ask(self) -> _Open | None:
        trial_id = f"{self._asked:04d}"
        suggestion = self._plan.search.ask(trial_id)
        self._show_notes()
        if suggestion is None:
            return None
        self._asked += 1
        spec = Spec(
            trial_id,
            self._values.to_wire(suggestion.params),
            self._directory.path("trials", trial_id),
            suggestion.generation,
        )
        trial = self._open[trial_id] = _Open(suggestion.params, spec, suggestion.generation)
        self._emit(
            "asked",
            trial_id,
            {"params": json_safe(trial.params), "generation": trial.generation, "logdir": spec.logdir},
        )
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
        if event.kind == "started":
            trial.started = event.time
            event.data["attempt"] = trial.spec.attempt
        self._journal.append(event)

    def _end(self, trial: _Open, result: Result) -> None:
        if result.cause == "lost":
            if trial.spec.attempt < self._plan.max_retries and not self._stopping:
                trial.spec = dataclasses.replace(trial.spec, attempt=trial.spec.attempt + 1)
                self._again.append(trial)
                self._display.line(f"trial {trial.spec.trial_id}: {result.error}; it is run again")
                return
            result = dataclasses.replace(
                result, error=f"{result.error}, {trial.spec.attempt + 1} times", started=trial.started or result.started
            )
        if self._stopping and result.cause == "killed":
            result = dataclasses.replace(result, error=f"ended by {self._stopping}")
        self._settle(trial, result)
        self._plan.search.tell(result)
        self._show_notes()

    def _settle(self, trial: _Open, result: Result) -> None:
        """Take the final result of a trial into the record."""
        done = Trial.from_result(result, params=trial.params, logdir=trial.spec.logdir, generation=trial.generation)
        del self._open[done.id]
        self._trials[done.id] = done
        self._recent.append(done)
        self._counts[done.state] += 1
        self._emit("ended", done.id, result.to_json())
        direction = self._plan.direction
        if done.state in (State.FINISHED, State.STOPPED) and done.metric is not None and direction is not None:
            if self._best is None or is_better(done.metric, self._best.metric, direction):
                self._best = done
        elif done.state is State.FAILED:
            self._first_failure = self._first_failure or done
            self._display.line(f"trial {done.id} failed: {done.error} (log: {done.logdir}/output.log)")
        for warning in result.warnings:
            self._display.line(f"trial {done.id}: {warning}")

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
        self._display.line(f"ending the run: {why}")
        waiting = list(self._again)
        self._again.clear()
        for trial in waiting:
            self._settle(trial, _killed(trial, f"ended by {why}"))
        for trial_id in self._open:
            self._pool.kill(trial_id, why)

    # --- the record

    def _emit(self, kind: str, trial: str | None = None, data: dict[str, Any] | None = None) -> None:
        self._journal.append(Event(kind, time.time(), trial, data or {}))

    def _show_notes(self) -> None:
        for line in self._plan.search.notes():
            self._display.line(line)

    def _finish(self, state: State, error: str | None) -> Run:
        """Give everything back and complete the record, whatever happened."""
        self._pool.close()
        for trial in list(self._open.values()):
            self._settle(trial, _killed(trial, "the run was ended"))
        duration = time.monotonic() - self._clock
        best = self._best
        ending = {
            "state": state,
            "best_trial": best.id if best else None,
            "metric": best.metric if best else self._single_metric(),
            "duration": duration,
            "error": error,
        }
        self._emit("run_ended", data=ending)
        url, tracking = self._tensorboard.url if self._tensorboard else None, self._tracking
        result = Run(
            is_search=self._plan.is_search,
            run_id=self._run_id,
            name=self._plan.name,
            version=self._version,
            verb=self._plan.verb,
            logdir=self._directory.url,
            state=state,
            trials=[self._trials[key] for key in sorted(self._trials, key=int)],
            best_trial=best,
            direction=self._plan.direction,
            optimization_key=self._plan.optimization_key,
            started_at=self._started,
            duration=duration,
            seed=self._plan.seed,
            project=self._project.url,
            description=self._plan.description,
            tags=self._plan.tags,
            error=error,
            tensorboard_url=(lambda: url(10.0)) if url else None,
            mlflow_run_id=lambda: tracking.mlflow_run_id,
        )
        self._write_summary(result, **ending, finished=time.time(), counts=dict(self._counts))
        self._display.close(self._status(), result)
        self._tracking.finish()
        if self._tensorboard:
            self._tensorboard.retire()
        return result

    def _single_metric(self) -> float | None:
        return next(iter(self._trials.values())).metric if len(self._trials) == 1 else None

    def _update_record(self, **changes: Any) -> None:
        with self._record_lock:  # TensorBoard's address comes from another thread, perhaps after the run
            self._record |= changes
            self._directory.write_json("run.json", self._record)

    def _write_summary(self, result: Run, **ending: Any) -> None:
        combinations = [
            {"parameters": json_safe(trial.params), "outputs": trial.outputs}
            for trial in result.trials
            if trial.state in (State.FINISHED, State.STOPPED)
        ]
        failure = self._journal.close()
        try:
            self._directory.write_json(".summary.json", {"combinations": combinations})
            self._update_record(**ending)
        except OSError as error:
            failure = error
        if failure is not None:
            self._display.line(f"the run's record in {self._directory.url} is not complete: {failure}")

    def _status(self) -> Status:
        plan, best = self._plan, self._best
        counts = {**self._counts, State.RUNNING: sum(1 for trial in self._open.values() if trial.started)}
        counts[State.PENDING] = len(self._open) - counts[State.RUNNING]
        elapsed = time.monotonic() - self._clock
        done = len(self._trials)
        total = plan.search.total
        return Status(
            name=plan.name,
            version=self._version,
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
            tensorboard_url=self._record["tensorboard_url"],
            mlflow_hint=self._mlflow_hint(),
        )

    def _mlflow_hint(self) -> str | None:
        if not self._settings.tracks:
            return None
        uri = self._settings.tracking_uri
        if uri is None:
            return f"mlflow ui --backend-store-uri sqlite:///{self._project.path('mlflow.db')}"
        return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def _killed(trial: _Open, error: str) -> Result:
    started = trial.started or time.time()
    return Result(
        trial.spec.trial_id, State.KILLED, error=error, cause="killed", started=started, duration=time.time() - started
    )


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Cleaning up takes seconds at most and must not be cut short by an impatient second Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
