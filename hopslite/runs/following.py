"""State of a run that is followed: its journal is read as it grows, and nothing is kept that has no bound."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Iterable
from typing import Any

from ..core.fidelity import best_of, outranks
from ..core.objectives import Objective, objectives_in, pareto_front, with_trial
from ..core.plain_values import is_number
from ..core.types import DEFAULT_KEY, Direction, Event, Result, State, finite
from ..storage.annotations import Notes
from ..storage.journal import JournalReader
from ..storage.records import is_sound, json_object
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from .attempts import Attempt, AttemptsReading
from .lookup import state_of

__all__ = ["Curve", "FollowedRun", "FollowedTrial", "Point"]

CURVE_POINTS = 64  # of each metric of a trial; every other one is dropped when there are more
RECENT_POINTS = 20_000  # for those who have all that came before
METRICS = 40  # with curves
CHECK_SECONDS = 2.0  # between two looks at the record and at the driver of a run that goes on

Point = tuple[int, str, str, float, float]  # revision, trial, metric, step, value


class Curve:
    """Reports of a metric, thinned to fewer than `most` points; the last one is always there."""

    __slots__ = ("_every", "_last", "_most", "_total", "points")

    def __init__(self, most: int = CURVE_POINTS) -> None:
        self.points: list[tuple[float, float]] = []
        self._most = most
        self._every, self._total = 1, 0
        self._last: tuple[float, float] | None = None

    def add(self, step: float, value: float) -> None:
        self._last = (step, value)
        if self._total % self._every == 0:
            self.points.append(self._last)
            if len(self.points) >= self._most:
                self.points = self.points[::2]
                self._every *= 2
        self._total += 1

    @property
    def last(self) -> float | None:
        """The latest value."""
        return None if self._last is None else self._last[1]

    def shown(self) -> list[tuple[float, float]]:
        """The points with the last report."""
        is_last_there = self._last is None or self._last in self.points[-1:]
        return self.points if is_last_there or self._last is None else [*self.points, self._last]


@dataclasses.dataclass(slots=True)
class FollowedTrial:
    """State of a trial as far as the journal says it; `revision` is that of its last change but for reports."""

    id: str
    params: dict[str, Any]
    generation: int | None = None
    continues: str | None = None
    revision: int = 0
    attempt: int | None = None
    slot: int | None = None
    host: str | None = None
    started: float | None = None
    stop_reason: str | None = None
    result: Result | None = None
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)

    @property
    def state(self) -> State:
        return State.RUNNING if self.result is None else self.result.state

    @property
    def metric(self) -> float | None:
        return None if self.result is None else self.result.metric

    @property
    def metrics(self) -> dict[str, float] | None:
        return None if self.result is None else self.result.metrics

    def state_in(self, run: State) -> State:
        """State of the trial in a run with this state."""
        if self.result is not None:
            return self.result.state
        if run.final:
            return State.KILLED
        return State.PENDING if self.attempt is None else State.RUNNING


class FollowedRun:
    """A run whose journal is followed. Used by one thread at a time.

    Attributes:
        record: what is in `run.json`, or the journal's first event where that cannot be read.
        mlflow: `experiment_id` and `run_id` there, as soon as MLflow has the run.
        state: as `runs.lookup.state_of` has it.
        revision: is larger after each change.
        metrics, parameters: their names in the order in which they came; the space's parameters come first.
        best, front: the best trial that has ended, or with several metrics those on the Pareto front.
        attempts: all that have ended, with the revision at which they did.
        session: when the driver that works on the run began, and how many trials had ended before.
        recent: the newest reports.
        first_recent: all reports with a larger revision are in `recent`.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.record: dict[str, Any] = {}
        self.notes = Notes()
        self.mlflow: dict[str, Any] = {}
        self.state = State.QUEUED
        self.trials: dict[str, FollowedTrial] = {}
        self.metrics: dict[str, None] = {}
        self.parameters: dict[str, None] = {}
        self.revision = 0
        self.best: FollowedTrial | None = None
        self.front: list[FollowedTrial] = []
        self.attempts: list[tuple[int, Attempt]] = []
        self.session: tuple[float, int] = (0.0, 0)
        self._worked = 0.0  # seconds of earlier drivers
        self.ended_trials = 0
        self.recent: collections.deque[Point] = collections.deque(maxlen=RECENT_POINTS)
        self.first_recent = 0
        self.last_event = 0.0
        self._first: dict[str, Any] = {}
        self._ended: dict[str, Any] = {}
        self._reader = JournalReader(run)
        self._attempts = AttemptsReading()
        self._progress = Curve()
        self._direction: Direction | None = None
        self._objectives: tuple[Objective, ...] = ()
        self._checked = float("-inf")

    @property
    def damage(self) -> str | None:
        """One line on what of the journal cannot be read."""
        return self._reader.damage

    def refresh(self) -> bool:
        """Read what has been added; returns True if something has changed.

        Raises:
            OSError: the run's directory cannot be read now; it can be tried again.
        """
        before, revision = self.revision, self.revision + 1
        for event in filter(is_sound, self._reader.new()):
            self.revision = revision
            self._take(event)
        if self.revision != before or time.monotonic() - self._checked >= CHECK_SECONDS:
            self._check()
        return self.revision != before

    def best_curve(self) -> list[float] | None:
        """Best metric after each trial that has ended, thinned; None if there are not two."""
        values = [value for _, value in self._progress.shown()]
        return values if len(values) > 1 else None

    def elapsed(self, now: float) -> float | None:
        """Seconds that drivers worked on the run, as its duration will be; None if none has begun.

        Args:
            now: seconds since the epoch.
        """
        began = self.session[0]
        end = self.last_event if self.state.final else now
        return self._worked + max(0.0, end - began) if began else None

    def facts(self) -> dict[str, Any]:
        """The record, with what the journal says of the run's end."""
        ended = {name: value for name, value in self._ended.items() if value is not None}
        return {**self._first, **self.record, **ended}

    def _check(self) -> None:
        """Look at the record, the annotations and the driver."""
        self._checked = time.monotonic()
        record, notes = record_in(self.run) or self.record or self._first, Notes.read(self.run)
        state = state_of(self.run, self._ended or record)
        mlflow = self.mlflow or json_object(self.run.read_many(["mlflow.json"])[0]) or {}
        if (record, notes, state, mlflow) != (self.record, self.notes, self.state, self.mlflow):
            self.record, self.notes, self.state, self.mlflow = record, notes, state, mlflow
            self.revision += 1

    def _take(self, event: Event) -> None:
        if event.kind in ("run_started", "resumed"):
            self._begin_session(event)
        self.last_event = max(self.last_event, event.time)
        self._attempts.take(event)
        for attempt in self._attempts.ended_from(len(self.attempts)):
            self.attempts.append((self.revision, attempt))
        self._ended = event.data if event.kind == "run_ended" else {}
        if event.trial is None:
            return
        trial = self.trials.get(event.trial)
        if trial is not None:
            self._change(trial, event)
        elif event.kind == "asked":
            data = event.data
            made = FollowedTrial(event.trial, data["params"], data.get("generation"), data.get("continues"))
            made.revision = self.revision
            self._add_parameters(made.params)
            self.trials[event.trial] = made

    def _begin_session(self, event: Event) -> None:
        if self.session[0]:
            self._worked += max(0.0, self.last_event - self.session[0])
        self.session = (event.time, self.ended_trials)
        if event.kind == "run_started" and not self._first:
            self._first = event.data
            direction = str(event.data.get("direction"))
            self._direction = Direction(direction) if direction in Direction.__members__ else None
            self._objectives = objectives_in(event.data.get("objectives"))
            space = event.data.get("space")
            self._add_parameters(space if isinstance(space, dict) else {})

    def _add_parameters(self, names: Iterable[str]) -> None:
        for name in names:
            self.parameters.setdefault(str(name))

    def _rank(self, trial: FollowedTrial) -> None:
        budget = self._first.get("ranked_by")
        if self._objectives:
            self.front = with_trial(self.front, trial, self._objectives)
        elif self._direction is not None and outranks(trial, self.best, self._direction, budget):
            self.best = trial

    def _rank_all(self) -> None:
        """Rank anew, after a trial that had ended is run again."""
        self.best = best_of(self.trials.values(), self._direction, self._first.get("ranked_by"))
        self.front = pareto_front(self.trials.values(), self._objectives)

    def _change(self, trial: FollowedTrial, event: Event) -> None:
        data = event.data
        if event.kind == "report":
            self._report(trial, data)
            return
        if event.kind == "sample":
            return
        trial.revision = self.revision
        if event.kind == "started":
            self._begin(trial, int(data.get("attempt") or 0), event.time)
            trial.slot, trial.host = data.get("slot"), data.get("host")
        elif event.kind == "ended":
            self.ended_trials += trial.result is None
            trial.result = Result.from_json({"trial_id": trial.id, **data})
            self._rank(trial)
            if trial.metric is not None and self.best is not None and self.best.metric is not None:
                self._progress.add(self.ended_trials, self.best.metric)
        elif event.kind == "suggested":
            trial.params = {**trial.params, **data["params"]}
            self._add_parameters(data["params"])
        elif event.kind == "stop":
            trial.stop_reason = str(data.get("why") or "")
        elif event.kind == "again":
            self._reopen(trial)
            trial.attempt = None

    def _begin(self, trial: FollowedTrial, attempt: int, moment: float) -> None:
        self._reopen(trial)
        trial.attempt, trial.started, trial.stop_reason = attempt, moment, None
        trial.curves = {}

    def _reopen(self, trial: FollowedTrial) -> None:
        had_ended, trial.result = trial.result is not None, None
        if had_ended:
            self.ended_trials -= 1
            self._rank_all()

    def _report(self, trial: FollowedTrial, data: dict[str, Any]) -> None:
        attempt = int(data.get("attempt") or 0)
        if attempt < (trial.attempt or 0):
            return  # of an attempt that was given up
        key = self._first.get("optimization_key") or DEFAULT_KEY
        values = data.get("metrics") or {str(key): data.get("value")}
        for name, value in values.items():
            if (
                not is_number(value)
                or not finite(float(value))
                or (name not in self.metrics and len(self.metrics) >= METRICS)
            ):
                continue
            self.metrics.setdefault(name)
            curve = trial.curves.get(name)
            if curve is None:
                curve = trial.curves[name] = Curve()
            curve.add(float(data["step"]), float(value))
            if len(self.recent) == RECENT_POINTS:
                self.first_recent = self.recent[0][0]
            self.recent.append((self.revision, trial.id, name, float(data["step"]), float(value)))
