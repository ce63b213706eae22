"""Segments of a run's journal: events in order, readable while they are written, and repaired after a crash.

Several drivers may have worked on a run, one after the other; each began a new segment. `repair` comes between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from ..core.types import Event
from .local_io import read_from
from .records import is_time
from .run_directory import RunDir

__all__ = ["JournalReader", "parse_event", "repair", "segment_name", "segments"]

AT_ONCE = 16  # segments read in one go where each is a request
LINES_AT_ONCE = 1000  # parsed in one go, which takes a third of the time
KIND = '{"kind": "'  # the beginning of an event as `Event.to_line` writes it

_NAME = re.compile(r"([0-9]{6,18})\.jsonl")
_TRIAL = re.compile(r"[\w-]+")


def segment_name(number: int) -> str:
    return f"{number:06d}.jsonl"


def segments(run: RunDir) -> list[int]:
    """Sorted numbers of the segments; other files in the directory are ignored."""
    numbers = [int(match[1]) for name in run.list("journal") if (match := _NAME.fullmatch(name))]
    return sorted(set(numbers))


def parse_event(line: bytes) -> Event | None:
    """Parse an event; None if the line does not hold one."""
    try:
        return _event_of(json.loads(line.strip(b"\0")))
    except (ValueError, RecursionError):
        return None


def _event_of(data: Any) -> Event | None:
    try:
        event = Event(data["kind"], data["time"], data.get("trial"), data.get("data", {}))
        sound = (
            isinstance(event.kind, str)
            and is_time(event.time)
            and isinstance(event.data, dict)
            and _has_sound_ids(event)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return event if sound else None


def _parsed(lines: list[bytes]) -> Iterator[tuple[bytes, Event | None]]:
    """Each line with its event, as `parse_event` has it."""
    for first in range(0, len(lines), LINES_AT_ONCE):
        some = lines[first : first + LINES_AT_ONCE]
        values = _values(some)
        events = map(parse_event, some) if values is None else map(_event_of, values)
        yield from zip(some, events, strict=True)


def _without(lines: list[bytes], starts: tuple[bytes, ...]) -> list[bytes]:
    """The last line, and those that do not start in one of these ways, or may be the remains of several events."""
    kept = [
        line
        for line in lines[:-1]
        if not (line.startswith(starts) and line.endswith(b"}") and line.count(KIND.encode()) == 1)
    ]
    return kept + lines[-1:]


def _values(lines: list[bytes]) -> list[Any] | None:
    """JSON values of lines, an object each; None if one of them is none."""
    if not all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        return None
    try:
        values: list[Any] = json.loads(b"[%b]" % b",".join(lines))
    except (ValueError, RecursionError):
        return None
    return values if len(values) == len(lines) else None


def _has_sound_ids(event: Event) -> bool:
    """True if the ids of trials are safe directory names: a journal may come from anybody's archive."""
    origin = event.data.get("continues")
    return bool(
        (event.trial is None or _TRIAL.fullmatch(event.trial))
        and (origin is None or _TRIAL.fullmatch(origin))
        and event.data.get("trial_id", event.trial) == event.trial
    )


def _is_empty(line: bytes) -> bool:
    """True if a line is empty; after a power loss a file may have blocks of zero bytes."""
    return not line.strip(b"\0\r ")


class JournalReader:
    """Reads events in order; `new()` returns those added since the last call, so that a journal can be followed.

    What is no event is passed over; `damage` says how much that was.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._segment = 0
        self._offset = 0
        self._skipped: dict[str, tuple[int, int]] = {}

    @property
    def damage(self) -> str | None:
        """One line on the damaged lines skipped so far; None if there were none."""
        if not self._skipped:
            return None
        lines, size = (sum(counts) for counts in zip(*self._skipped.values(), strict=True))
        return (
            f"the journal is damaged: {_counted(lines, 'line')} ({_counted(size, 'byte')}) of "
            f"{', '.join(self._skipped)} cannot be read and {_are(lines)} passed over"
        )

    def new(self, until: int | None = None, without: Collection[str] = ()) -> Iterator[Event]:
        """Iterate over new events. A last line that is incomplete is left for the next call.

        Args:
            until: the number of the last segment that is to be read.
            without: kinds of events to leave out, unparsed, which takes little time. The last line of a segment is
                never left out, so that it is known how long a driver has worked.
        """
        starts = tuple(f'{KIND}{kind}",'.encode() for kind in without)
        numbers = [n for n in segments(self._run) if n >= self._segment and (until is None or n <= until)]
        contents = self._contents(numbers)
        returned = False
        for number in numbers:
            try:
                data = next(contents)
            except OSError:
                if returned:
                    return  # raising would lose the events yielded so far; the next call raises
                raise
            if number > self._segment:
                self._segment, self._offset = number, 0
            ended = number != numbers[-1]  # an incomplete last line will never be completed
            end = len(data) if ended else data.rfind(b"\n") + 1
            self._offset += end
            lines = list(filter(None, data[:end].split(b"\n")))
            for line, event in _parsed(_without(lines, starts) if starts else lines):
                if event is not None:
                    returned = True
                    yield event
                elif not _is_empty(line):
                    self._skip(number, len(line))

    @property
    def segment(self) -> int:
        """Number of the segment read last."""
        return self._segment

    def _contents(self, numbers: list[int]) -> Iterator[bytes]:
        """Unread content of each of these segments."""
        start = self._offset if numbers and numbers[0] == self._segment else 0
        if self._run.is_local:
            for number in numbers:
                yield read_from(self._run.path("journal", segment_name(number)), start)
                start = 0
            return
        for first in range(0, len(numbers), AT_ONCE):
            names = [f"journal/{segment_name(number)}" for number in numbers[first : first + AT_ONCE]]
            for data in self._run.read_many(names):
                yield (data or b"")[start:]
                start = 0

    def _skip(self, number: int, size: int) -> None:
        name = f"journal/{segment_name(number)}"
        lines, before = self._skipped.get(name, (0, 0))
        self._skipped[name] = (lines + 1, before + size)


def repair(run: RunDir) -> str | None:
    """Repair the journal of a driver that died, and fence that driver off.

    The last segment may end in half a line, in blocks of zero bytes or in garbage; all events in it are kept. Call it
    when the run has been claimed (`driver_lease.claim`), before the journal is read and continued. A driver that was
    only stopped for a while can write no more: the number of its next segment is taken, and the file that it has open
    is no longer the run's.

    Returns:
        One line for the user on what was dropped; None when everything was sound.
    """
    if not segments(run):
        return None
    fence = max(segments(run)) + 1
    while not run.create(f"journal/{segment_name(fence)}", b""):
        fence += 1
    for number in reversed([n for n in segments(run) if n < fence]):
        name = f"journal/{segment_name(number)}"
        data = run.read_bytes(name)
        if data:
            return _repair_segment(run, name, data)
    return None


def _repair_segment(run: RunDir, name: str, data: bytes) -> str | None:
    whole, dropped = [], []
    lines = data.split(b"\n")
    for line in lines:
        if parse_event(line) is not None:
            whole.append(line.strip(b"\0") + b"\n")
        elif line.strip(b"\r "):
            dropped.append(len(line))
    kept = b"".join(whole)
    if run.is_local or kept != data:
        run.write_bytes(name, kept, durable=True)
    if not dropped:
        return None
    size = _counted(sum(dropped), "byte")
    if len(dropped) == 1 and not data.endswith(b"\n") and parse_event(lines[-1]) is None:
        return f"the journal's last line was torn and is dropped: {size} of {name}"
    count = _counted(len(dropped), "line")
    return f"the journal was damaged: {count} ({size}) of {name} cannot be read and {_are(len(dropped))} dropped"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
