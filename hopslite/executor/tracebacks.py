"""Tracebacks of the user's code, without hopslite's own frames."""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["user_traceback"]

_PACKAGE = f"{Path(__file__).resolve().parents[1]}/"


def user_traceback(error: BaseException) -> str:
    """The traceback of an exception, its causes and the members of a group, in Python's format."""
    exception = traceback.TracebackException.from_exception(error)
    _strip(exception, set())
    return "".join(exception.format())


def _strip(exception: traceback.TracebackException, seen: set[int]) -> None:
    if id(exception) in seen:
        return
    seen.add(id(exception))
    exception.stack[:] = [frame for frame in exception.stack if not frame.filename.startswith(_PACKAGE)]
    for related in (exception.__cause__, exception.__context__, *(getattr(exception, "exceptions", None) or ())):
        if related is not None:
            _strip(related, seen)
