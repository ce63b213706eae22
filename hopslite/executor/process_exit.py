"""The end of a process that runs a user's code, or that the code has forked."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

from .tracebacks import user_traceback
from .trial_log import flush_c_streams

__all__ = ["end_forked_child", "exit_cleanly", "flush_streams"]


def end_forked_child(error: BaseException | None) -> NoReturn:
    """End a process that the training function has forked, when it leaves the function, as Python ends a program.

    Args:
        error: the exception that has left the function; None: it has returned.
    """
    code = 0
    if isinstance(error, SystemExit):
        code = _exit_code(error.code)
    elif error is not None:
        with contextlib.suppress(Exception):
            sys.stderr.write(user_traceback(error))
        code = 1
    exit_cleanly()
    os._exit(code)


def _exit_code(code: object) -> int:
    """The exit code that Python gives a program that calls `sys.exit(code)`."""
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{code}\n")
    return 1


def exit_cleanly() -> None:
    """Run the steps of a normal exit: flush writers, close loggers.

    Finalising the interpreter itself is slow and can crash inside frameworks, so it is left out.
    """
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    flush_streams()


def flush_streams() -> None:
    """Write what Python and C still buffer of standard output and standard error."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    flush_c_streams()
