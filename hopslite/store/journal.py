"""The journal of a run: events in order, durable within a second, readable while they are written."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator

from .._trial import Event
from .rundir import RunDir

__all__ = ["FLUSH_SECONDS", "JournalReader", "JournalWriter"]

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
SEGMENT_BYTES = 4 << 20  # a local segment is closed at this size; elsewhere every flush is a segment


class JournalWriter:
    """Appends events to segments `journal/000001.jsonl`, … from a thread of its own.

    `append` never waits for the disk. An event is on the disk within a second (`FLUSH_SECONDS` plus one write). A write
    that fails is tried again with growing pauses until `close`, and the events are kept in memory meanwhile; the
    first failure is logged. On a local file system a segment grows by synchronised appends; object stores cannot
    append, so there each flush is a new segment.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        run.makedirs("journal")
        self._segment = len(run.list("journal")) + 1
        self._pending: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._failure: OSError | None = None
        self._file: int | None = None
        self._thread = threading.Thread(target=self._work, name="hopslite-journal", daemon=True)
        self._thread.start()

    def append(self, event: Event) -> None:
        line = event.to_line()
        with self._lock:
            self._pending.append(line)
        self._wake.set()

    def close(self, timeout: float = 30.0) -> OSError | None:
        """Write what is pending and end; returns the failure if some events could not be written."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        if self._file is not None and not self._thread.is_alive():
            os.close(self._file)
            self._file = None
        if self._pending and self._failure is None:
            self._failure = OSError(f"the journal could not be written within {timeout:.0f} s")
        return self._failure if self._pending else None

    def _work(self) -> None:
        pause = FLUSH_SECONDS
        while True:
            self._wake.wait()
            self._wake.clear()
            closing = self._closing
            if self._pending and not closing:
                time.sleep(pause)  # let a batch gather; while failing, back off
            with self._lock:
                batch = list(self._pending)
            if batch:
                try:
                    self._write(batch)
                except OSError as error:
                    if self._failure is None:
                        log.warning("the journal cannot be written (%s); hopslite keeps trying", error)
                    self._failure = error
                    pause = min(2 * pause, 10.0)
                    if closing:
                        return
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
        name = f"journal/{self._segment:06d}.jsonl"
        if not self._run.is_local:
            self._run.write_bytes(name, data)
            self._segment += 1
            return
        if self._file is None:
            self._file = os.open(self._run.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
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


class JournalReader:
    """Reads events in order; `new()` returns those added since the last call, so that a journal can be followed."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._segment = ""
        self._offset = 0

    def new(self) -> Iterator[Event]:
        """Events not yet returned. A last line that is still being written (or was torn) is left for the next call."""
        for name in self._run.list("journal"):
            if name < self._segment or not name.endswith(".jsonl"):
                continue
            if name > self._segment:
                self._segment, self._offset = name, 0
            data = self._read(name)
            end = data.rfind(b"\n") + 1
            self._offset += end
            for line in data[:end].splitlines():
                yield Event.from_json(json.loads(line))

    def _read(self, name: str) -> bytes:
        if not self._run.is_local:
            return self._run.read_bytes(f"journal/{name}")[self._offset :]
        with open(self._run.path("journal", name), "rb") as file:
            file.seek(self._offset)
            return file.read()
