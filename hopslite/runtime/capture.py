"""Everything that a trial prints into its `output.log`, and reading that log while it grows."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

__all__ = ["LOG", "LogTail", "captured", "flush_c_streams", "redirected", "silenced"]

LOG = "output.log"
LINES_PER_READ = 40
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
        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _IOLBF, ctypes.c_size_t(0))


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
        ctypes.CDLL(None).fflush(None)


class _Tee(io.TextIOBase):
    """Writes to a log and to the stream that was there before."""

    def __init__(self, log: TextIO, before: TextIO) -> None:
        self._log, self._before = log, before

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._before.write(text)

    def flush(self) -> None:
        self._log.flush()
        self._before.flush()

    def isatty(self) -> bool:
        return self._before.isatty()

    def fileno(self) -> int:
        return self._before.fileno()


@contextlib.contextmanager
def captured(path: str, tee: bool) -> Iterator[None]:
    """For a trial inside a process that goes on: Python's standard streams into a file, and restored afterwards.

    With `tee` the text goes to the streams that were there, too.
    """
    before = sys.stdout, sys.stderr
    with open(path, "a", encoding="utf-8", errors="replace", buffering=1) as log:
        sys.stdout, sys.stderr = (_Tee(log, before[0]), _Tee(log, before[1])) if tee else (log, log)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


class LogTail:
    """New lines of a growing log, at most `LINES_PER_READ` a call; what is skipped is counted in one line."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0

    def read(self, last: bool = False) -> list[str]:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        end = len(data) if last else data.rfind(b"\n") + 1
        self._offset += end
        lines = data[:end].decode("utf-8", "replace").splitlines()
        if len(lines) > LINES_PER_READ:
            skipped = len(lines) - LINES_PER_READ
            lines = [*lines[:LINES_PER_READ], f"… {skipped} lines left out here; all are in output.log"]
        return lines
