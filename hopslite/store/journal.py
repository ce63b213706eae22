"""The journal of a run: events in order, durable within a second, readable while they are written.

Several drivers may have worked on a run, one after the other; each began a new segment. `repair` comes between them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator

from .._trial import Event
from ..errors import StoreError
from .rundir import RunDir, sync_folder

__all__ = ["FLUSH_SECONDS", "JournalReader", "JournalWriter", "repair"]

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
SEGMENT_BYTES = 4 << 20  # a local segment is closed at this size; elsewhere every flush is a segment
LAST_SECONDS = 3.0  # for which what fails is tried again when the journal is closed, on a local disk
REMOTE_LAST_SECONDS = 30.0
AT_ONCE = 16  # segments read in one go where each is a request

_NAME = re.compile(r"([0-9]{6,18})\.jsonl")
_TRIAL = re.compile(r"[\w-]+")


def _name(number: int) -> str:
    return f"{number:06d}.jsonl"


def _segments(run: RunDir) -> list[int]:
    """The numbers of the segments, in order; whatever else lies in the directory is none."""
    found = [int(match[1]) for name in run.list("journal") if (match := _NAME.fullmatch(name))]
    return sorted(set(found))


def _event(line: bytes) -> Event | None:
    """The event that a line holds; None when it holds something else."""
    try:
        data = json.loads(line.strip(b"\0"))
        event = Event.from_json(data)
        sound = (
            isinstance(event.kind, str)
            and isinstance(event.time, (int, float))
            and isinstance(event.data, dict)
            and _has_sound_ids(event)
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return event if sound else None


def _has_sound_ids(event: Event) -> bool:
    """Whether the ids of trials are names of directories below the run's: a journal may come in anybody's archive."""
    ids = [name for name in (event.trial, event.data.get("continues")) if name is not None]
    return all(map(_TRIAL.fullmatch, ids)) and event.data.get("trial_id", event.trial) == event.trial


def _is_empty(line: bytes) -> bool:
    """Whether a line holds nothing; after a power loss a file may have blocks of zero bytes."""
    return not line.strip(b"\0\r ")


class JournalWriter:
    """Appends events to segments `journal/000001.jsonl`, … from a thread of its own.

    `append` never waits for the disk. An event is on the disk within a second (`FLUSH_SECONDS` plus one write). A write
    that fails is tried again with growing pauses until some seconds after `close`, and the events are kept in memory
    meanwhile; the first failure is logged. On a local file system a segment grows by synchronised appends; object
    stores cannot append, so there each flush is a new segment.

    A segment is only written by the writer that made it. When the next one is there already, another driver has taken
    the run over: this writer then ends, and what it has not written is not part of the run.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        run.makedirs("journal")
        self._segment = max(_segments(run), default=0) + 1
        self._pending: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._shut_out = False
        self._failure: OSError | None = None
        self._file: int | None = None
        self._thread = threading.Thread(target=self._work, name="hopslite-journal", daemon=True)
        self._thread.start()

    def append(self, event: Event) -> None:
        line = event.to_line()
        with self._lock:
            if not self._shut_out:
                self._pending.append(line)
        self._wake.set()

    def close(self, timeout: float = 30.0) -> OSError | None:
        """Write what is pending and end; returns the failure if some events could not be written."""
        last = LAST_SECONDS if self._run.is_local else REMOTE_LAST_SECONDS
        self._give_up_at = time.monotonic() + min(timeout, last)
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        if self._file is not None and not self._thread.is_alive():
            os.close(self._file)
            self._file = None
        if self._pending and self._failure is None:
            self._failure = OSError(f"the journal could not be written within {timeout:.0f} s")
        return self._failure if self._pending else None

    def abandon(self) -> None:
        """End without writing what is pending: the run is another driver's, or has not come about."""
        with self._lock:
            self._shut_out = True
            self._pending.clear()
        self.close(LAST_SECONDS)

    def _work(self) -> None:
        pause = FLUSH_SECONDS
        while True:
            self._wake.wait()
            self._wake.clear()
            closing = self._closing.is_set()
            if self._pending and not closing:
                closing = self._closing.wait(pause)  # let a batch gather; while failing, back off
            with self._lock:
                batch = list(self._pending)
            if batch:
                try:
                    self._write(batch)
                except FileExistsError as error:
                    with self._lock:
                        self._shut_out = True
                    self._failure = StoreError(f"another driver writes the journal of {self._run.shown} now ({error})")
                    return
                except OSError as error:
                    if self._failure is None:
                        log.warning("the journal cannot be written (%s); hopslite keeps trying", error)
                    self._failure = error
                    pause = min(2 * pause, 10.0)
                    if closing and time.monotonic() >= self._give_up_at:
                        return
                    if closing:
                        time.sleep(FLUSH_SECONDS)
                    self._wake.set()
                    continue
                pause = FLUSH_SECONDS
                self._failure = None
                with self._lock:
                    del self._pending[: len(batch)]
            if closing:
                return

    def _write(self, batch: list[str]) -> None:
        data = "".join(line + "\n" for line in batch).encode()
        if not self._run.is_local:
            self._write_segment(data)
            return
        if self._file is None:
            path = self._run.path("journal", _name(self._segment))
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            sync_folder(os.path.dirname(path))
        before = os.fstat(self._file).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)  # a full disk must not leave half a line that a retry would repeat
            raise
        if before + len(data) >= SEGMENT_BYTES:
            os.close(self._file)
            self._file = None
            self._segment += 1

    def _write_segment(self, data: bytes) -> None:
        while data:
            name = f"journal/{_name(self._segment)}"
            if self._run.create(name, data):
                self._segment += 1
                return
            there = self._run.read_bytes(name)
            if not there or not data.startswith(there):
                raise FileExistsError(f"{name} is there already")
            data = data[len(there) :]  # a write that seemed to have failed had not
            self._segment += 1


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
        """One line on what had to be passed over so far; None when all was sound."""
        if not self._skipped:
            return None
        lines, size = (sum(counts) for counts in zip(*self._skipped.values(), strict=True))
        return (
            f"the journal is damaged: {_counted(lines, 'line')} ({_counted(size, 'byte')}) of "
            f"{', '.join(self._skipped)} cannot be read and {_are(lines)} passed over"
        )

    def new(self, until: int | None = None) -> Iterator[Event]:
        """Events not yet returned. A last line that is still being written (or was torn) is left for the next call.

        Args:
            until: the number of the last segment that is to be read.
        """
        numbers = [n for n in _segments(self._run) if n >= self._segment and (until is None or n <= until)]
        contents = self._contents(numbers)
        returned = False
        for number in numbers:
            try:
                data = next(contents)
            except OSError:
                if returned:
                    return  # a caller that gathers events would lose them with it; the next call has it again
                raise
            if number > self._segment:
                self._segment, self._offset = number, 0
            ended = number != numbers[-1]  # what comes after its last line will stay as it is
            end = len(data) if ended else data.rfind(b"\n") + 1
            self._offset += end
            for line in data[:end].split(b"\n"):
                event = _event(line)
                if event is not None:
                    returned = True
                    yield event
                elif not _is_empty(line):
                    self._skip(number, len(line))

    @property
    def segment(self) -> int:
        """The number of the segment read last."""
        return self._segment

    def _contents(self, numbers: list[int]) -> Iterator[bytes]:
        """Of each of these segments, what has not been read of it."""
        start = self._offset if numbers and numbers[0] == self._segment else 0
        if self._run.is_local:
            for number in numbers:
                with open(self._run.path("journal", _name(number)), "rb") as file:
                    file.seek(start)
                    yield file.read()
                start = 0
            return
        for first in range(0, len(numbers), AT_ONCE):
            names = [f"journal/{_name(number)}" for number in numbers[first : first + AT_ONCE]]
            for data in self._run.read_many(names):
                yield (data or b"")[start:]
                start = 0

    def _skip(self, number: int, size: int) -> None:
        name = f"journal/{_name(number)}"
        lines, before = self._skipped.get(name, (0, 0))
        self._skipped[name] = (lines + 1, before + size)


def repair(run: RunDir) -> str | None:
    """Make the journal whole after its driver has died, and shut that driver out of it.

    The last segment may end in half a line, in blocks of zero bytes or in garbage; all events in it are kept. Call it
    when the run has been claimed (`sessions.claim`), before the journal is read and continued. A driver that was only
    stopped for a while can write no more: the number of its next segment is taken, and the file that it has open is no
    longer the run's.

    Returns:
        One line for the user on what was dropped; None when everything was sound.
    """
    if not _segments(run):
        return None
    fence = max(_segments(run)) + 1
    while not run.create(f"journal/{_name(fence)}", b""):
        fence += 1
    for number in reversed([n for n in _segments(run) if n < fence]):
        name = f"journal/{_name(number)}"
        data = run.read_bytes(name)
        if data:
            return _repair_segment(run, name, data)
    return None


def _repair_segment(run: RunDir, name: str, data: bytes) -> str | None:
    whole, dropped = [], []
    lines = data.split(b"\n")
    for line in lines:
        if _event(line) is not None:
            whole.append(line.strip(b"\0") + b"\n")
        elif line.strip(b"\r "):
            dropped.append(len(line))
    kept = b"".join(whole)
    if run.is_local or kept != data:
        run.write_bytes(name, kept, durable=True)
    if not dropped:
        return None
    size = _counted(sum(dropped), "byte")
    if len(dropped) == 1 and not data.endswith(b"\n") and _event(lines[-1]) is None:
        return f"the journal's last line was torn and is dropped: {size} of {name}"
    count = _counted(len(dropped), "line")
    return f"the journal was damaged: {count} ({size}) of {name} cannot be read and {_are(len(dropped))} dropped"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
