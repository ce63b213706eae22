"""Writer of a run's journal: events are appended in order, and durable within a second."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time

from ..core.types import Event
from ..errors import StoreError
from .journal import parse_event, segment_name, segments
from .local_io import sync_folder
from .run_directory import RunDir

__all__ = ["FLUSH_SECONDS", "JournalWriter"]

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
SEGMENT_BYTES = 4 << 20  # a local segment is closed at this size; elsewhere every flush is a segment
LAST_SECONDS = 3.0  # of retries when the journal is closed, on a local disk
REMOTE_LAST_SECONDS = 30.0
STALLED_SECONDS = 20.0  # a write that takes longer counts as failing until it returns
LOST_HANDLE = (errno.ESTALE, errno.EBADF, errno.EIO, errno.ENOTCONN)  # a server or a disk has forgotten an open file


class JournalWriter:
    """Appends events to segments `journal/000001.jsonl`, … from a thread of its own.

    `append` never waits for the disk. An event is on the disk within a second (`FLUSH_SECONDS` plus one write). A write
    that fails is tried again with growing pauses until some seconds after `close`, and the events are kept in memory
    meanwhile; the first failure is logged. On a local file system a segment grows by synchronised appends; object
    stores cannot append, so there each flush is a new segment.

    A segment is only written by the writer that made it. When the next one is there already, another driver has taken
    the run over: this writer then ends, and what it has not written is not part of the run.

    Args:
        is_watched: somebody looks at `failure` and tells the user, who then needs no warning in the log.
    """

    def __init__(self, run: RunDir, is_watched: bool = False) -> None:
        self._run = run
        self._level = logging.INFO if is_watched else logging.WARNING
        run.makedirs("journal")
        self._segment = max(segments(run), default=0) + 1
        self._pending: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._hurry = threading.Event()  # ends a pause between two writes
        self._closing = threading.Event()
        self._attempted = threading.Condition()
        self._failed_attempts = 0
        self._writing_since = float("inf")
        self._give_up_at = float("inf")
        self._shut_out = False
        self._failure: OSError | None = None
        self._file: int | None = None
        self._size = 0  # intact bytes of the open segment
        self._inode: int | None = None  # of the open segment
        self._thread = threading.Thread(target=self._work, name="hopslite-journal", daemon=True)
        self._thread.start()

    def append(self, event: Event) -> None:
        line = event.to_line()
        with self._lock:
            if not self._shut_out:
                self._pending.append(line)
        self._wake.set()

    @property
    def failure(self) -> OSError | None:
        """Error of the latest write; None once one has succeeded, and where another driver writes the journal."""
        if self._shut_out:
            return None
        seconds = time.monotonic() - self._writing_since
        if self._failure is None and seconds > STALLED_SECONDS:
            return StoreError(f"{self._run.shown} has not answered for {seconds:.0f} s")
        return self._failure

    def unwritten(self) -> list[Event]:
        """Events that are only in memory."""
        with self._lock:
            lines = list(self._pending)
        return [event for line in lines if (event := parse_event(line.encode())) is not None]

    def retry(self) -> None:
        """Write pending events without waiting for the end of a pause."""
        self._hurry.set()
        self._wake.set()

    def flush(self, timeout: float) -> OSError | None:
        """Write pending events now; returns the failure when an attempt failed, or took longer than `timeout`."""
        before = self._failed_attempts
        self.retry()

        def settled() -> bool:
            return not self._pending or self._failed_attempts > before or not self._thread.is_alive()

        with self._attempted:
            is_settled = self._attempted.wait_for(settled, timeout)
        if not self._pending:
            return None
        late = OSError(f"the journal could not be written within {timeout:.0f} s")
        return self._failure or (None if is_settled and self._failed_attempts == before else late)

    def close(self, timeout: float = 30.0) -> OSError | None:
        """Write pending events and end; returns the failure if some could not be written."""
        last = LAST_SECONDS if self._run.is_local else REMOTE_LAST_SECONDS
        self._give_up_at = time.monotonic() + min(timeout, last)
        self._closing.set()
        self.retry()
        self._thread.join(timeout)
        if self._file is not None and not self._thread.is_alive():
            os.close(self._file)
            self._file = None
        if self._pending and self._failure is None:
            self._failure = OSError(f"the journal could not be written within {timeout:.0f} s")
        return self._failure if self._pending else None

    def abandon(self) -> None:
        """End without writing pending events: the run is another driver's, or was never started."""
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
                self._hurry.wait(pause)  # let a batch gather; while failing, back off
                closing = self._closing.is_set()
            self._hurry.clear()
            with self._lock:
                batch = list(self._pending)
            if batch:
                try:
                    self._writing_since = time.monotonic()
                    self._write(batch)
                except FileExistsError as error:
                    with self._lock:
                        self._shut_out = True
                    self._failure = StoreError(f"another driver writes the journal of {self._run.shown} now ({error})")
                    self._note_attempt()
                    return
                except OSError as error:
                    if self._failure is None:
                        log.log(self._level, "the journal cannot be written (%s); hopslite keeps trying", error)
                    self._failure = error
                    self._note_attempt(failed=True)
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
            self._note_attempt()
            if closing:
                return

    def _note_attempt(self, failed: bool = False) -> None:
        self._writing_since = float("inf")
        with self._attempted:
            self._failed_attempts += failed
            self._attempted.notify_all()

    def _write(self, batch: list[str]) -> None:
        data = "".join(line + "\n" for line in batch).encode()
        if not self._run.is_local:
            self._write_segment(data)
            return
        try:
            self._append(self._opened(), data)
        except OSError as error:
            if error.errno in LOST_HANDLE and self._file is not None:
                with contextlib.suppress(OSError):
                    os.close(self._file)
                self._file = None  # it is opened again and truncated to the intact bytes
            raise
        self._size += len(data)
        if self._size >= SEGMENT_BYTES:
            os.close(self._opened())
            self._file = self._inode = None
            self._segment, self._size = self._segment + 1, 0

    def _opened(self) -> int:
        """Open the segment's file, which must still have its name.

        Raises:
            FileNotFoundError: it was deleted, or its file system is not mounted any more.
            FileExistsError: the segment is another driver's.
        """
        path = self._run.path("journal", segment_name(self._segment))
        if self._file is None and self._inode is None:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            self._inode = os.fstat(self._file).st_ino
            sync_folder(os.path.dirname(path))
        elif self._file is None:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
            if os.fstat(self._file).st_ino != self._inode:
                os.close(self._file)
                self._file = None
                raise FileExistsError(f"{path} was replaced by another file")
        else:
            os.stat(path)  # what is written to a deleted file is lost without an error
        return self._file

    def _append(self, file: int, data: bytes) -> None:
        """Append all of the data after the last intact line, or restore the file."""
        try:
            if os.fstat(file).st_size != self._size:  # an earlier attempt could not be undone
                os.ftruncate(file, self._size)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)  # a full disk must not leave half a line that a retry would repeat
            raise

    def _write_segment(self, data: bytes) -> None:
        while data:
            name = f"journal/{segment_name(self._segment)}"
            if self._run.create(name, data):
                self._segment += 1
                return
            there = self._run.read_bytes(name)
            if not there or not data.startswith(there):
                raise FileExistsError(f"{name} is there already")
            data = data[len(there) :]  # an earlier write succeeded although it raised an error
            self._segment += 1
