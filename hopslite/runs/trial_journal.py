"""Journal of one trial, followed as it grows: its events, and all that it has reported and used, thinned."""

from __future__ import annotations

import collections
import threading
from typing import Any

from ..core.plain_values import is_number
from ..core.types import DEFAULT_KEY, Event, finite
from ..storage.journal import JournalReader
from ..storage.records import is_sound
from ..storage.run_directory import RunDir
from .following import Curve

__all__ = ["TrialJournal"]

MOST_POINTS = 2000  # of a curve
MOST_SERIES = 60  # of a kind, as a program may make up names
MOST_EVENTS = 500


class TrialJournal:
    """Events and curves of one trial. Safe from many threads.

    Attributes:
        events: the newest ones, without reports and samples.
        curves: reported values by metric, over steps, of the last attempt.
        samples: system metrics by name, over seconds since the attempt began.
        attempt: number of the last attempt, from 0; None: none has begun.
        revision: is larger after each change.
    """

    def __init__(self, run: RunDir, trial_id: str) -> None:
        self.trial_id = trial_id
        self.events: collections.deque[Event] = collections.deque(maxlen=MOST_EVENTS)
        self.curves: dict[str, Curve] = {}
        self.samples: dict[str, Curve] = {}
        self.attempt: int | None = None
        self.revision = 0
        self._reader = JournalReader(run)
        self._key = DEFAULT_KEY
        self._began = 0.0
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Read what has been added; returns True if something has changed.

        Raises:
            OSError: the run's directory cannot be read now; it can be tried again.
        """
        with self._lock:
            before = self.revision
            for event in filter(is_sound, self._reader.new()):
                if event.kind == "run_started":
                    self._key = event.data.get("optimization_key") or DEFAULT_KEY
                elif event.trial == self.trial_id:
                    self.revision += 1
                    self._take(event)
            return self.revision != before

    def _take(self, event: Event) -> None:
        if event.kind == "started":
            self.attempt = int(event.data.get("attempt") or 0)
            self._began = event.time
            self.curves, self.samples = {}, {}
        if event.kind == "report":
            self._report(event.data)
        elif event.kind == "sample":
            self._add(self.samples, event.time - (self._began or event.time), event.data)
        else:
            self.events.append(event)

    def _report(self, data: dict[str, Any]) -> None:
        if int(data.get("attempt") or 0) >= (self.attempt or 0):  # others are of an attempt that was given up
            self._add(self.curves, float(data["step"]), data.get("metrics") or {self._key: data.get("value")})

    @staticmethod
    def _add(series: dict[str, Curve], x: float, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if is_number(value) and _is_finite(value) and (name in series or len(series) < MOST_SERIES):
                series.setdefault(name, Curve(MOST_POINTS)).add(x, float(value))


def _is_finite(value: float) -> bool:
    """True for a number that a chart can show; the values of samples are not checked before."""
    try:
        return finite(float(value))
    except OverflowError:
        return False
