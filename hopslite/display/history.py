"""What a live view draws of a run's past: few points, however long that is, and little work for each event."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

from .. import _format
from .._trial import Direction, State, finite, is_better
from ..result import Trial

__all__ = ["Curve", "History", "Point", "Series", "clean"]

Point = tuple[float, float]

CURVES, CURVE_POINTS = 24, 32
POINTS = 100  # of the metrics, and of the best so far
PRINTED, LINE_CHARS = 8, 300


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """What one trial has reported, thinned: steps and values."""

    trial: str
    points: tuple[Point, ...]
    ended: bool = False


class Series:
    """Points in the order of their coming. When they are too many every other one is forgotten; the last one stays."""

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
    """Takes events in constant time each, and has a bounded memory of them. For the thread of the study's loop."""

    def __init__(self, direction: Direction | None) -> None:
        self._direction = direction
        self._curves: dict[str, Series] = {}
        self._refused: set[str] = set()  # trials under way for whose curves there is no room
        self._done: collections.OrderedDict[str, None] = collections.OrderedDict()  # of `curves`, those that have ended
        self._ended = 0
        self._best: tuple[float, str] | None = None
        self._best_curve, self._metrics = Series(POINTS), Series(POINTS)
        self._printed: collections.deque[str] = collections.deque(maxlen=PRINTED)

    def started(self, trial: str) -> None:
        """A trial begins, perhaps anew: what it had reported does not count."""
        self._curves.pop(trial, None)
        self._done.pop(trial, None)

    def report(self, trial: str, step: float, value: float) -> None:
        if trial in self._refused or not finite(value):
            return
        curve = self._curves.get(trial)
        if curve is None:
            if len(self._curves) >= CURVES and not self._forget():
                self._refused.add(trial)
                return
            curve = self._curves[trial] = Series(CURVE_POINTS)
        curve.add(step, value)

    def _forget(self) -> bool:
        """Make room: without the trial that ended first and is not the best."""
        best = self._best[1] if self._best else None
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
            if is_better(trial.metric, self._best[0] if self._best else None, self._direction):
                self._best = (trial.metric, trial.id)
                self._best_curve.add(self._ended, trial.metric)

    def printed(self, trial: str, lines: Iterable[str]) -> None:
        self._printed.extend(f"{trial}  {clean(line)}" for line in collections.deque(lines, PRINTED) if line)

    def facts(self) -> dict[str, Any]:
        """For a `Status`: values that never change."""
        return {
            "best_curve": self._best_curve.points,
            "metrics": self._metrics.points,
            "curves": tuple(Curve(trial, curve.points, trial in self._done) for trial, curve in self._curves.items()),
            "printed": tuple(self._printed),
        }


def clean(line: str, width: int = LINE_CHARS) -> str:
    """One line as a terminal would show it in the end, cut; also of a line that is very long it costs little."""
    return _format.cut(_format.plain(line[: 4 * width].rstrip("\r\n").rpartition("\r")[2]), width)
