"""Process-wide state: the environment, and Linux process options (`prctl`; without effect on other systems)."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

__all__ = ["adopt_orphans", "end_with_parent", "replace_environment"]

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def end_with_parent(number: int) -> None:
    """Have this process receive a signal when the thread that has started it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Make descendants whose parent has ended children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def replace_environment(environment: Mapping[str, str]) -> None:
    """Set all environment variables of this process, and remove the others."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)
