"""What Linux does for processes on request, and other systems do not: there, nothing happens."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["adopt_orphans", "end_with_parent"]

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def end_with_parent(number: int) -> None:
    """This process gets a signal when the thread that has started it ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Descendants whose parent has ended become this process's children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)
