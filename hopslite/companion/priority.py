"""Priority of the companion's work: trials come first."""

from __future__ import annotations

import contextlib
import os

__all__ = ["be_idle", "be_patient", "lower_companion"]

PAGES_NICE, DELIVERY_NICE, IDLE_NICE = 5, 19, 19


def lower_companion() -> None:
    """Lower the priority of the companion, which somebody may wait for: the program's end, or who opens TensorBoard."""
    os.nice(PAGES_NICE)
    _lower_session(PAGES_NICE)


def be_patient() -> None:
    """Lower the priority of this thread of the companion on Linux, of the companion elsewhere."""
    os.nice(DELIVERY_NICE - PAGES_NICE)


def be_idle() -> None:
    """Have this process run only while nothing else does, on Linux; with the lowest priority elsewhere."""
    os.nice(IDLE_NICE)
    _lower_session(IDLE_NICE)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _lower_session(niceness: int) -> None:
    """Lower the priority of the session that this process leads.

    Where Linux groups processes by session (`sched_autogroup_enabled`), their niceness counts only within the group:
    without this one process that draws would get as much processor time as all trials together.
    """
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as file:
        file.write(str(niceness))
