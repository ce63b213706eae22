"""Processes of a program: their output as it arrives, and their end."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

__all__ = ["Family", "has_ended", "output"]

POLL_SECONDS = 2.0  # between two calls of `look`
ENDING_POLL_SECONDS = 0.1  # while a program ends
STOP_SECONDS = 10.0  # for what a program has left behind
SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "busybox")
PIECE = 1 << 16


def output(
    process: subprocess.Popen[bytes],
    look: Callable[[], None],
    *bells: int,
    deadline: float = math.inf,
    until: Callable[[], bool] = lambda: False,
) -> Iterator[bytes]:
    """Output of a process as it arrives; empty pieces when a bell is readable; calls `look` at intervals.

    What it has started may hold its output open, and write, after it has ended: that is heard for some seconds.

    Args:
        bells: file descriptors.
        deadline: the time at which it ends at the latest.
        until: it ends when this is true, and no more output is there.
    """
    assert process.stdout is not None
    looked = time.monotonic()
    ended: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        for bell in bells:
            selector.register(bell, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            wait = POLL_SECONDS if deadline == math.inf else ENDING_POLL_SECONDS
            ready = {key.fileobj for key, _ in selector.select(wait)}
            if process.stdout in ready:
                piece = os.read(process.stdout.fileno(), PIECE)
                if not piece:
                    return
                yield piece
            elif ready:
                yield b""
            elif ended is not None or until():
                return
            if ended is None and process.poll() is not None:
                ended = time.monotonic()
            if ended is not None and time.monotonic() - ended > STOP_SECONDS:
                return
            if time.monotonic() - looked > POLL_SECONDS:
                look()
                looked = time.monotonic()


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """True if a process ends within some seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(POLL_SECONDS)
    return process.returncode is not None


class Family:
    """A program and all processes that it started."""

    def __init__(self, pid: int) -> None:
        import psutil  # not above: drivers, which read plans with commands, do not need it

        self._gone: type[Exception] = psutil.NoSuchProcess
        self._asked: list[psutil.Process] = []
        with contextlib.suppress(self._gone):
            self._asked.append(psutil.Process(pid))
        self._members = self._with_children(self._asked)

    def terminate(self) -> None:
        """Ask the program to end. Of its own processes, such as workers that load data, it knows itself when to end
        them; those of a shell are asked as well, since it passes no signal on.
        """
        for member in self._asked:  # which becomes longer
            with contextlib.suppress(self._gone):
                if member.name() in SHELLS:
                    self._asked += member.children()
        for member in self._asked:
            with contextlib.suppress(self._gone):
                member.terminate()

    def has_ended(self) -> bool:
        """True if all that were asked to end have."""
        import psutil

        return not psutil.wait_procs(self._asked, timeout=0)[1]

    def wait(self, deadline: float) -> None:
        """Wait for those that were asked to end."""
        import psutil

        psutil.wait_procs(self._asked, timeout=max(0.0, deadline - time.monotonic()))

    def kill(self) -> None:
        """Kill all that are left."""
        import psutil

        for member in (members := self._with_children(self._members)):
            with contextlib.suppress(self._gone):
                member.kill()
        psutil.wait_procs(members, timeout=STOP_SECONDS)

    def _with_children(self, members: list[psutil.Process]) -> list[psutil.Process]:
        """Processes and their descendants, without those that have ended."""
        family: dict[psutil.Process, None] = {}
        for member in members:
            with contextlib.suppress(self._gone):
                family |= dict.fromkeys([*member.children(recursive=True), member])
        return list({**family, **dict.fromkeys(members)})
