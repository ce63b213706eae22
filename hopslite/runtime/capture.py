"""Everything that a trial prints into its `output.log`, and reading that log while it grows."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO, cast

__all__ = ["GLANCE_LINES", "LOG", "LogTail", "captured", "flush_c_streams", "redirected", "silenced"]

LOG = "output.log"
LINES_PER_READ = 40
GLANCE_LINES = 8  # of a trial whose output is only glanced at
LINE_LENGTH = 2000
BYTES_PER_READ = 1 << 20
_LIBC = ctypes.CDLL(None)
_IOLBF = 1  # glibc and musl agree


def _open_log(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _text(descriptor: int) -> TextIO:
    return io.TextIOWrapper(
        os.fdopen(descriptor, "wb", 0, closefd=False), encoding="utf-8", errors="replace", write_through=True
    )


def redirected(path: str) -> None:
    """Send this process's standard output and error to a file for good: for a process that runs one trial.

    Descriptors are replaced, so C and C++ libraries and child processes are included; C's standard output is made
    line-buffered so that the log can be read while it is written, and survives a crash.
    """
    log = _open_log(path)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout, sys.stderr = _text(1), _text(2)
    with contextlib.suppress(ValueError, AttributeError, OSError):
        _LIBC.setvbuf(ctypes.c_void_p.in_dll(_LIBC, "stdout"), None, _IOLBF, ctypes.c_size_t(0))


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing that is printed here is shown, at any level: for imports that a trial will repeat in its own log."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for target in (1, 2):
        os.dup2(nowhere, target)
    try:
        yield
    finally:
        for target, before in zip((1, 2), kept, strict=True):
            os.dup2(before, target)
            os.close(before)
        os.close(nowhere)


def flush_c_streams() -> None:
    with contextlib.suppress(AttributeError, OSError):
        _LIBC.fflush(None)


class _Tee(io.TextIOBase):
    """Writes to a log; and to the stream that was there before, when `always` or while a debugger is at work."""

    def __init__(self, log: TextIO, before: TextIO, always: bool) -> None:
        self._log, self._before, self._always = log, before, always

    def write(self, text: str) -> int:
        if self._always or sys.gettrace() is not None:
            self._before.write(text)
        return self._log.write(text)

    def flush(self) -> None:
        self._log.flush()
        self._before.flush()

    def fileno(self) -> int:
        return self._log.fileno()

    @property
    def buffer(self) -> BinaryIO:
        return self._log.buffer


class _Capture:
    """The standard streams of a process in whose threads trials run side by side: each thread has a log of its own.

    Threads that a training function starts do not inherit its context variables; theirs goes to the latest trial's.
    """

    def __init__(self) -> None:
        self._mine: contextvars.ContextVar[tuple[_Tee, _Tee] | None] = contextvars.ContextVar("log", default=None)
        self._all: list[tuple[_Tee, _Tee]] = []
        self._lock = threading.Lock()
        self._before = (sys.stdout, sys.stderr)

    def current(self, number: int) -> Any:
        streams = self._mine.get() or next(reversed(self._all), self._before)
        return streams[number]

    @contextlib.contextmanager
    def to(self, log: TextIO, tee: bool) -> Iterator[None]:
        with self._lock:
            if not self._all:
                self._before = sys.stdout, sys.stderr
                sys.stdout, sys.stderr = cast(TextIO, _Routed(self, 0)), cast(TextIO, _Routed(self, 1))
            streams = _Tee(log, self._before[0], tee), _Tee(log, self._before[1], tee)
            self._all.append(streams)
        token = self._mine.set(streams)
        try:
            yield
        finally:
            self._mine.reset(token)
            with self._lock:
                self._all.remove(streams)
                if not self._all:
                    sys.stdout, sys.stderr = self._before


class _Routed(io.TextIOBase):
    """Stands for standard output (0) or error (1) as long as anything is captured."""

    encoding = "utf-8"

    def __init__(self, capture: _Capture, number: int) -> None:
        self._capture, self._number = capture, number

    def write(self, text: str) -> int:
        return int(self._capture.current(self._number).write(text))

    def flush(self) -> None:
        self._capture.current(self._number).flush()

    def fileno(self) -> int:
        return int(self._capture.current(self._number).fileno())

    @property
    def buffer(self) -> BinaryIO:
        return cast(BinaryIO, self._capture.current(self._number).buffer)


_capture = _Capture()


@contextlib.contextmanager
def captured(path: str, tee: bool) -> Iterator[None]:
    """For a trial inside a process that goes on: Python's standard streams into a file, and restored afterwards.

    With `tee` the text goes to the streams that were there, too. Trials in several threads do not mix.
    """
    with (
        open(path, "a", encoding="utf-8", errors="replace", buffering=1) as log,
        _capture.to(cast(TextIO, log), tee),
    ):
        yield


class LogTail:
    """New lines of a growing log, cut, and at most `LINES_PER_READ` a call; what is skipped is counted in one line."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0

    def read(self, last: bool = False, newest: int | None = None) -> list[str]:
        """What has come since the last time; `last`: half a line, too; `newest`: only so many lines, the last ones."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read(BYTES_PER_READ)
                size = os.fstat(file.fileno()).st_size
        except OSError:
            return []
        if len(data) == BYTES_PER_READ:
            left_out = size - self._offset - len(data)
            data += f"\n… {left_out >> 20} MB left out here; all is in output.log\n".encode()
            end, self._offset = len(data), size
        else:
            end = len(data) if last else data.rfind(b"\n") + 1
            self._offset += end
        lines = [line[:LINE_LENGTH] for line in data[:end].decode("utf-8", "replace").splitlines()]
        if newest is not None:
            return lines[-newest:]
        if len(lines) > LINES_PER_READ:
            skipped = len(lines) - LINES_PER_READ
            lines = [*lines[:LINES_PER_READ], f"… {skipped} lines left out here; all are in output.log"]
        return lines
