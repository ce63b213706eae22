"""Bounded buffer of a run's curves for the live view: constant memory, constant time per event."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

from ..core import formatting
from ..core.fidelity import outranks
from ..core.types import DEFAULT_KEY, Direction, State, finite
from ..result import Trial

__all__ = ["Curve", "History", "Point", "Series", "clean_line"]

Point = tuple[float, float]

CURVES, CURVE_POINTS = 24, 32  # trials, and points of each of their metrics
METRICS = 6
POINTS = 100  # of the metrics, and of the best so far
PRINTED, LINE_CHARS = 8, 300


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """Reports of a metric of one trial, thinned: steps and values."""

    trial: str
    points: tuple[Point, ...]
    ended: bool = False
    metric: str = DEFAULT_KEY


class Series:
    """Points in order of arrival, with a bounded number: every other one is dropped when full, the last one stays."""

    __slots__ = ("_count", "_every", "_kept", "_last", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit, self._every, self._count = limit, 1, 0
        self._kept: list[Point] = []
        self._last: Point | None = None

    def add(self, x: float, y: float) -> None:
        self._last = (x, y)
        if self._count % self._every == 0:
            self._kept.append(self._last)
            if len(self._kept) >= self._limit:
                self._kept = self._kept[::2]
                self._every *= 2
        self._count += 1

    @property
    def points(self) -> tuple[Point, ...]:
        if self._last is None or self._kept[-1] is self._last:
            return tuple(self._kept)
        return (*self._kept, self._last)


class History:
    """History of a run with bounded memory and constant time per event. For the thread of the driver's loop."""

    def __init__(self, direction: Direction | None, ranked_by: str | None = None) -> None:
        self._direction, self._ranked_by = direction, ranked_by
        self._curves: dict[str, dict[str, Series]] = {}  # by trial and metric
        self._names: dict[str, None] = {}
        self._refused: set[str] = set()  # trials under way for whose curves there is no room
        self._done: collections.OrderedDict[str, None] = collections.OrderedDict()  # of `curves`, those that have ended
        self._ended = 0
        self._best: Trial | None = None
        self._best_curve, self._metrics = Series(POINTS), Series(POINTS)
        self._printed: collections.deque[str] = collections.deque(maxlen=PRINTED)

    def started(self, trial: str) -> None:
        """Start a trial, or start it again, without the reports of an earlier attempt."""
        self._curves.pop(trial, None)
        self._done.pop(trial, None)

    def report(self, trial: str, step: float, value: float, metric: str = DEFAULT_KEY) -> None:
        if trial in self._refused or not finite(value):
            return
        if metric not in self._names and len(self._names) >= METRICS:
            return
        self._names[metric] = None
        curve = self._curves.get(trial)
        if curve is None:
            if len(self._curves) >= CURVES and not self._forget():
                self._refused.add(trial)
                return
            curve = self._curves[trial] = {}
        curve.setdefault(metric, Series(CURVE_POINTS)).add(step, value)

    def _forget(self) -> bool:
        """Drop the trial that ended first and is not the best."""
        best = self._best.id if self._best else None
        for trial in self._done:  # the first one, or the second
            if trial != best:
                del self._curves[trial], self._done[trial]
                return True
        return False

    def ended(self, trial: Trial) -> None:
        self._ended += 1
        self._refused.discard(trial.id)
        if trial.id in self._curves:
            self._done[trial.id] = None
        if self._direction is None or trial.state not in (State.FINISHED, State.STOPPED) or trial.metric is None:
            return
        if finite(trial.metric):
            self._metrics.add(self._ended, trial.metric)
            if outranks(trial, self._best, self._direction, self._ranked_by):
                self._best = trial
                self._best_curve.add(self._ended, trial.metric)

    def printed(self, trial: str, lines: Iterable[str]) -> None:
        self._printed.extend(f"{trial}  {clean_line(line)}" for line in collections.deque(lines, PRINTED) if line)

    def facts(self) -> dict[str, Any]:
        """Immutable curves for a `Status`."""
        return {
            "best_curve": self._best_curve.points,
            "metrics": self._metrics.points,
            "curves": tuple(
                Curve(trial, curve.points, trial in self._done, name)
                for trial, curves in self._curves.items()
                for name, curve in curves.items()
            ),
            "printed": tuple(self._printed),
        }


def clean_line(line: str, width: int = LINE_CHARS) -> str:
    """Final state of a terminal line, truncated; cheap also for very long lines."""
    return formatting.cut(formatting.plain(line[: 4 * width].rstrip("\r\n").rpartition("\r")[2]), width)
