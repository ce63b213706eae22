"""Failures of a trial's process, written independently of what the training function has done to it."""

from __future__ import annotations

import contextlib
import os

from ..core.types import Result, Spec
from .process_exit import flush_streams
from .run_function import failed_result

__all__ = ["process_failure", "write_failure"]


def process_failure(spec: Spec, error: BaseException, started: float) -> Result:
    """The result when this process could not prepare the training function, or not record its outcome."""
    cause = "out-of-memory" if isinstance(error, MemoryError) else "exception"
    why = f"{type(error).__name__}: {error}"
    return failed_result(spec, cause, f"the trial's process could not continue: {why}"[:500], started)


def write_failure(log: str, result: Result) -> None:
    """Append a failure to the log, even if standard error is closed, as far as the disk allows."""
    text = result.traceback or (f"{result.error}\n" if result.error else "")
    flush_streams()
    if not text:
        return
    data = text.encode(errors="replace")
    with contextlib.suppress(OSError):
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError:
            descriptor = os.dup(2)
        while data:
            data = data[os.write(descriptor, data) :]
