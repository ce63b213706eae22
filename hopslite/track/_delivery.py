"""Delivery of a journal to one tracker, in a thread: read, deliver, retry, stop."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..core import plugins
from ..core.types import Event, Result, State
from ..errors import MissingExtra
from ..storage.journal import JournalReader
from ..storage.records import is_sound
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ._base import Context, NoDestination, Tracker, Unavailable, command

__all__ = ["Delivery"]

BATCH = 200  # events in memory at a time
REST = 9.0  # rest this many times as long as a delivery took, while the run goes on: trials need the disk and the cores
LONGEST_REST_SECONDS = 15.0
GRACE_SECONDS = 10.0  # how long a dead server is tried after the run's end
PAUSE_SECONDS = (0.5, 10.0)  # between tries: the first and the longest while the run goes on
LAST_PAUSE_SECONDS = 2.0  # the longest after its end
BACKLOG_SECONDS = 3600.0  # limit for servers that answer very slowly
GIVEN_LATER = ("name", "version", "project")  # in another project a run may get others than those of its journal
ENDING = ("best_trial", "metric", "duration", "error")


class Delivery(threading.Thread):
    """Delivers a run's events to one tracker, at the tracker's pace; `delivered` is True if all of them arrived.

    Until `ending` is set it follows the journal; afterwards it delivers what is there. Trials and a run that have no
    end in the journal then get one at the time of the last event, since the driver is gone: KILLED, or for the run what
    its record says. A resumption that came to nothing leaves a run as it was.
    """

    def __init__(
        self,
        name: str,
        context: Context,
        ending: threading.Event,
        interval: float = 0.25,
        grace: float = GRACE_SECONDS,
    ) -> None:
        super().__init__(name=f"hopslite-{name}", daemon=True)
        self.delivered = False
        self._tracker_name = name
        self._context = context
        self._ending = ending
        self._interval = interval
        self._grace = grace
        self._reader = JournalReader(context.run)
        self._source: Iterator[Event] = iter(())
        self._open = _Open()
        self._given_later: dict[str, Any] | None = None
        self._ended: float | None = None
        self._warned = False

    def run(self) -> None:
        try:
            tracker: Tracker = plugins.load("track", self._tracker_name)(self._context)
            try:
                self.delivered = self._follow(tracker)
            finally:
                tracker.close()
        except NoDestination as error:
            self._context.tell({"unavailable": self._tracker_name})
            self._context.warn(str(error))
        except MissingExtra as error:
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001  a fault of one tracker must not end the others
            self._give_up(f"telling {self._tracker_name} of the run failed ({type(error).__name__}: {error})")

    def _follow(self, tracker: Tracker) -> bool:
        batch: list[Event] = []

        def read() -> None:
            batch[:] = self._read()

        def read_ends() -> None:
            batch[:] = self._open.ends(_record(self._context.run))

        while True:
            last = self._ending.is_set()  # asked before reading: what was written until then is read
            if not self._persist(read):
                return False
            if not batch and not last:
                self._ending.wait(self._interval)
                continue
            if not batch:
                if not self._open.is_any:
                    return True
                if not self._persist(read_ends):
                    return False
            events = list(batch)
            if (self._since_end(time.monotonic()) or 0) >= BACKLOG_SECONDS:
                return self._give_up(f"telling {self._tracker_name} of the run takes too long")
            self._open.note(events)
            began = time.monotonic()
            tracker.handle(events)
            if not self._persist(tracker.flush):
                return False
            self._ending.wait(min(REST * (time.monotonic() - began), LONGEST_REST_SECONDS))

    def _read(self) -> list[Event]:
        if self._given_later is None:  # first: events already read from the journal must not be lost
            record = _record(self._context.run)
            self._given_later = {name: record[name] for name in GIVEN_LATER if record.get(name) is not None}
        events = list(itertools.islice(self._source, BATCH))
        if not events:
            self._source = self._reader.new()
            events = list(itertools.islice(self._source, BATCH))
        return [self._renamed(event) for event in events if is_sound(event)]

    def _renamed(self, event: Event) -> Event:
        if event.kind != "run_started":
            return event
        return dataclasses.replace(event, data={**event.data, **(self._given_later or {})})

    def _persist(self, action: Callable[[], None]) -> bool:
        """Retry an action; returns False if it kept failing for too long after the run's end."""
        since: float | None = None
        pause, longest = PAUSE_SECONDS
        while True:
            try:
                action()
                return True
            except (Unavailable, OSError) as error:
                failure = str(error)
            now = time.monotonic()
            if since is not None and not self._warned:
                self._warned = True
                self._context.warn(f"{failure}; the run goes on, and hopslite keeps trying")
            since = since or now
            if self._since_end(now) is not None and now - max(since, self._ended or 0) >= self._grace:
                return self._give_up(failure)
            self._context.tell({"unavailable": self._tracker_name})
            if self._ending.is_set():
                time.sleep(min(pause, LAST_PAUSE_SECONDS))
            else:
                self._ending.wait(pause)
            pause = min(2 * pause, longest)

    def _since_end(self, now: float) -> float | None:
        """Seconds since the run's end was noticed; None before."""
        if not self._ending.is_set():
            return None
        self._ended = self._ended or now
        return now - self._ended

    def _give_up(self, reason: str) -> bool:
        self._context.tell({"unavailable": self._tracker_name})
        self._context.warn(f"{reason}; deliver the run later with: {command(self._context.run)}")
        return False


class _Open:
    """Trials and runs that began in a journal and have not ended."""

    def __init__(self) -> None:
        self._trials: dict[str, float] = {}
        self._run = False
        self._time = 0.0

    def note(self, events: Sequence[Event]) -> None:
        for event in events:
            self._time = max(self._time, event.time)
            if event.kind == "ended":
                self._trials.pop(event.trial or "", None)
            elif event.trial is not None and event.kind in ("asked", "started", "again"):
                self._trials[event.trial] = event.time
                self._run = True
            elif event.kind in ("run_started", "resumed", "run_ended"):
                self._run = event.kind != "run_ended"

    @property
    def is_any(self) -> bool:
        return self._run or bool(self._trials)

    def ends(self, record: Mapping[str, Any]) -> list[Event]:
        """Events that end what is open; the run's own as in its record, if that has an end."""
        events = [
            Event("ended", self._time, trial, _killed(trial, started, self._time).to_json())
            for trial, started in self._trials.items()
        ]
        if self._run:
            events.append(Event("run_ended", self._time, None, _ending(record)))
        return events


def _ending(record: Mapping[str, Any]) -> dict[str, Any]:
    state = str(record.get("state"))
    if state not in State.__members__ or not State(state).final:
        return {"state": State.KILLED.value}
    return {"state": state, **{name: record.get(name) for name in ENDING}}


def _record(run: RunDir) -> dict[str, Any]:
    """Record in `run.json`; empty if it is missing or cannot be read."""
    return record_in(run, required=()) or {}


def _killed(trial: str, started: float, ended: float) -> Result:
    return Result(
        trial_id=trial,
        state=State.KILLED,
        error="the driver ended before this trial did",
        cause="killed",
        started=started,
        duration=ended - started,
    )
