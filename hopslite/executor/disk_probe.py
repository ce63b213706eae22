"""Probes of the disks that trials write to, and retries while a disk is full."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.types import Result, State
from ..storage.free_space import device_of, lacks_room, why_not_writable
from .workdir import WorkDir

if TYPE_CHECKING:
    from ..storage.run_directory import RunDir

__all__ = ["DiskPause", "Disks", "pause_on_disk_failure", "retry_until_writable", "temporary_directory"]

T = TypeVar("T")

PROBE_SECONDS = (0.5, 2.0)  # between two attempts to write: the first and the longest
DISK_RELATED_CAUSES = (
    "exception",
    "exit",
    "signal",
    "segfault",
    "storage",
)  # causes of a trial's failure that may result from a full disk


class DiskPause:
    """Pause of a slot while its disks cannot be written: it takes no trials, and probes the disks.

    The driver gets a message when it begins (`no_room`) and when it is over (`room`).
    """

    def __init__(self, disks: Disks, send: Callable[[dict[str, Any]], None]) -> None:
        self._disks, self._send = disks, send
        self.is_active = False
        self.next_check = float("inf")
        self._backoff = PROBE_SECONDS[0]

    def begin(self, problem: str) -> None:
        """Begin a pause, or prolong the current one."""
        if not self.is_active:
            self.is_active, self._backoff = True, PROBE_SECONDS[0]
            self._send({"type": "no_room", "host": socket.gethostname(), "problem": problem})
        self.next_check = time.monotonic() + self._backoff

    def check(self) -> None:
        """Probe the disks if it is time to, and end the pause when trials can write again."""
        if not self.is_active or time.monotonic() < self.next_check:
            return
        if self._disks.problem() is None:
            self.is_active, self.next_check = False, float("inf")
            self._send({"type": "room"})
            return
        self._backoff = min(2 * self._backoff, PROBE_SECONDS[1])
        self.next_check = time.monotonic() + self._backoff


class Disks:
    """Local file systems on which trials write: run directory, scratch directory and temporary files."""

    def __init__(self, run: RunDir, scratch: str | None = None) -> None:
        self._run = run.url if run.is_local else None
        self._other_folders = list(filter(None, [scratch, temporary_directory()]))

    def folders(self) -> Sequence[str]:
        """One folder on each file system, outside of trial directories, which trials may remove or close."""
        folders = list(self._other_folders)
        if self._run is not None:
            trials = os.path.join(self._run, "trials")
            folders.insert(0, trials if os.path.isdir(trials) else self._run)
        return list({device_of(folder): folder for folder in reversed(folders)}.values())

    def problem(self) -> str | None:
        """Error that keeps trials from writing; None when they can write."""
        return why_not_writable(reversed(self.folders()))

    def attribute_failure(self, result: Result) -> tuple[Result, str | None]:
        """A trial's result and the disk's problem; the cause is `storage` if a disk cannot be written now."""
        if result.state is not State.FAILED or result.cause not in DISK_RELATED_CAUSES:
            return result, None
        problem = self.problem()
        if problem is None:
            return result, None
        error = result.error if str(problem) in str(result.error) else f"{result.error}; {problem}"
        return dataclasses.replace(result, cause="storage", error=error), problem


def pause_on_disk_failure(result: Result, disks: Disks, hold: DiskPause, work: WorkDir) -> Result:
    """A trial's result as in `attribute_failure`; with a disk's problem the slot pauses."""
    result, problem = disks.attribute_failure(result)
    if result.cause == "storage":
        with contextlib.suppress(OSError):
            work.clear()
    if problem:
        hold.begin(problem)
    return result


def temporary_directory() -> str | None:
    """The directory for temporary files; None if nothing can be written at the moment."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return None


def retry_until_writable(
    action: Callable[[], T], folder: str, patience: float, on_wait: Callable[[str], object] = lambda _: None
) -> T:
    """Call an idempotent action that writes to a local folder, and retry while its disk is full.

    Args:
        on_wait: called with the reason before each wait; a true return value ends the retries.

    Raises:
        OSError: the action failed for another reason, or for `patience` seconds.
    """
    give_up_at = time.monotonic() + patience
    backoff, longest_backoff = PROBE_SECONDS
    while True:
        try:
            return action()
        except OSError as error:
            problem = str(error) if lacks_room(error, [folder]) else why_not_writable([folder])
            if problem is None or time.monotonic() + backoff > give_up_at or on_wait(problem):
                raise
        time.sleep(backoff)
        backoff = min(2 * backoff, longest_backoff)
