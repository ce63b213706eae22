"""A trial's `output.log`: redirection of its output, and reading the log while it grows."""

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

from ..core.types import LOG_NAME
from ..storage.free_space import FULL

__all__ = [
    "LOG",
    "LogTail",
    "PREVIEW_LINES",
    "captured_output",
    "flush_c_streams",
    "redirect_output",
    "silenced_output",
    "uncaptured_output",
]

LOG = LOG_NAME
LINES_PER_READ = 40
PREVIEW_LINES = 8  # lines of a trial that a display shows as a preview
LINE_LENGTH = 2000
BYTES_PER_READ = 1 << 20
_LIBC = ctypes.CDLL(None)
_IOLBF = 1  # glibc and musl agree


def _open_log(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


class _Log(io.FileIO):
    """Log that loses lines while its disk is full: a `print` must not end a training that could go on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._lost_bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            if self._lost_bytes:
                super().write(
                    f"\n… {self._lost_bytes} bytes of output are missing here, as the disk was full\n".encode()
                )
                self._lost_bytes = 0
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._lost_bytes += size
            return size


def _text_stream(descriptor: int) -> TextIO:
    binary = cast(BinaryIO, _Log(descriptor))
    return io.TextIOWrapper(binary, encoding="utf-8", errors="replace", write_through=True)


def redirect_output(path: str) -> None:
    """Redirect this process's standard output and error to a file for good.

    Descriptors are replaced, so C and C++ libraries and child processes are included; C's standard output is made
    line-buffered so that the log can be read while it is written, and survives a crash.
    """
    log = _open_log(path)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    with contextlib.suppress(ValueError, AttributeError, OSError):
        _LIBC.setvbuf(ctypes.c_void_p.in_dll(_LIBC, "stdout"), None, _IOLBF, ctypes.c_size_t(0))


@contextlib.contextmanager
def silenced_output() -> Iterator[None]:
    """Discard all output, at every level: for imports that a trial will repeat in its own log."""
    originals = os.dup(1), os.dup(2)
    null_device = os.open(os.devnull, os.O_WRONLY)
    for target in (1, 2):
        os.dup2(null_device, target)
    try:
        yield
    finally:
        for target, original in zip((1, 2), originals, strict=True):
            os.dup2(original, target)
            os.close(original)
        os.close(null_device)


def flush_c_streams() -> None:
    with contextlib.suppress(AttributeError, OSError):
        _LIBC.fflush(None)


class _Tee(io.TextIOBase):
    """Writes to a log, and to the original stream if `always` is set or a debugger is active."""

    def __init__(self, log: TextIO, original: TextIO, always: bool) -> None:
        self._log, self._original, self._always = log, original, always

    def write(self, text: str) -> int:
        if self._always or sys.gettrace() is not None:
            self._original.write(text)
        return self._log.write(text)

    def flush(self) -> None:
        self._log.flush()
        self._original.flush()

    def fileno(self) -> int:
        return (self._original if self._always else self._log).fileno()

    def isatty(self) -> bool:
        return self._always and self._original.isatty()

    @property
    def buffer(self) -> BinaryIO:
        return self._log.buffer


class _ContextCapture:
    """Standard streams of a process in whose threads trials run side by side, each with a log of its own.

    Threads that a training function starts do not inherit its context variables; their output goes to the latest
    trial's log.
    """

    def __init__(self) -> None:
        self._context_streams: contextvars.ContextVar[tuple[_Tee, _Tee] | None] = contextvars.ContextVar(
            "log", default=None
        )
        self._active_streams: list[tuple[_Tee, _Tee]] = []
        self._lock = threading.Lock()
        self._original = (sys.stdout, sys.stderr)

    def current(self, number: int) -> Any:
        own = self._context_streams.get()
        streams = own if own in self._active_streams else next(reversed(self._active_streams), self._original)
        return cast(tuple[Any, Any], streams)[number]

    @contextlib.contextmanager
    def to(self, log: TextIO, tee: bool) -> Iterator[None]:
        with self._lock:
            if not self._active_streams:
                self._original = sys.stdout, sys.stderr
                sys.stdout, sys.stderr = cast(TextIO, _ContextStream(self, 0)), cast(TextIO, _ContextStream(self, 1))
            streams = _Tee(log, self._original[0], tee), _Tee(log, self._original[1], tee)
            self._active_streams.append(streams)
        token = self._context_streams.set(streams)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # another thread or notebook cell than that in which it began
                self._context_streams.reset(token)
            with self._lock:
                self._active_streams.remove(streams)
                if not self._active_streams:
                    sys.stdout, sys.stderr = self._original

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        token = self._context_streams.set(cast("tuple[_Tee, _Tee]", self._original))
        try:
            yield
        finally:
            self._context_streams.reset(token)


class _ContextStream(io.TextIOBase):
    """Replaces standard output (0) or error (1) as long as anything is captured."""

    encoding = "utf-8"

    def __init__(self, capture: _ContextCapture, number: int) -> None:
        self._capture, self._number = capture, number

    def write(self, text: str) -> int:
        return int(self._capture.current(self._number).write(text))

    def flush(self) -> None:
        self._capture.current(self._number).flush()

    def fileno(self) -> int:
        return int(self._capture.current(self._number).fileno())

    def isatty(self) -> bool:
        return bool(self._capture.current(self._number).isatty())

    @property
    def buffer(self) -> BinaryIO:
        return cast(BinaryIO, self._capture.current(self._number).buffer)


_capture = _ContextCapture()


@contextlib.contextmanager
def captured_output(path: str, tee: bool) -> Iterator[None]:
    """Redirect Python's standard streams to a file, and restore them afterwards.

    With `tee` the text is also written to the original streams. Trials in several threads do not mix.
    """
    descriptor = _open_log(path)
    try:
        with _text_stream(descriptor) as log, _capture.to(log, tee):
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def uncaptured_output() -> Iterator[None]:
    """Use the original streams within `captured_output`, for text that the user is to see at once."""
    with _capture.outside():
        yield


class LogTail:
    """Reader of a growing log: new lines, truncated, at most `LINES_PER_READ` per call; skipped lines are counted."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0

    def read(self, include_partial: bool = False, max_lines: int | None = None) -> list[str]:
        """The lines since the last call; at the end (`include_partial`) also a line without its end."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read(BYTES_PER_READ)
                size = os.fstat(file.fileno()).st_size
        except OSError:
            return []
        if len(data) == BYTES_PER_READ:
            skipped_bytes = size - self._offset - len(data)
            data += f"\n… {skipped_bytes >> 20} MB left out here; all is in output.log\n".encode()
            length, self._offset = len(data), size
        else:
            length = len(data) if include_partial else data.rfind(b"\n") + 1
            self._offset += length
        lines = [line[:LINE_LENGTH] for line in data[:length].decode("utf-8", "replace").splitlines()]
        if max_lines is not None:
            return lines[-max_lines:]
        if len(lines) > LINES_PER_READ:
            skipped = len(lines) - LINES_PER_READ
            lines = [*lines[:LINES_PER_READ], f"… {skipped} lines left out here; all are in output.log"]
        return lines
