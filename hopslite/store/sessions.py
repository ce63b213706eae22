"""Which driver works on a run: each claims it with a file of its own, and counts in that file while it lives."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from ..errors import RunIsRunning, RunTakenOver
from .rundir import RunDir

__all__ = ["Session", "at_work", "claim", "refuse_if_at_work"]

log = logging.getLogger(__name__)

LOCAL_SECONDS = 3.0  # between two renewals
REMOTE_SECONDS = 10.0
STALE_PERIODS = 2  # a driver on another host that has not counted for so long is gone
LOOK_SECONDS = 0.5
CATCH_UP_SECONDS = 1.0

_NAME = re.compile(r"([0-9]{4,9})\.json")
_held: set[str] = set()  # the tokens of this process's sessions that have not been released


def claim(run: RunDir, tell: Callable[[str], None] = log.info) -> Session:
    """Make this process the one that works on a run.

    Args:
        tell: is called with a line for the user when some seconds are needed to find out whether a driver on another
            host still works on the run.

    Raises:
        RunIsRunning: another one does.
    """
    run.makedirs("sessions")
    newest = _newest(run)
    if newest:
        _refuse_if_alive(run, newest, tell)
    session = Session(run, newest + 1)
    session._begin()
    return session


def at_work(run: RunDir) -> bool | None:
    """Whether a driver works on the run; None when that cannot be known at once, as of one on another host."""
    newest = _newest(run)
    return _is_alive(_read(run, newest)) if newest else False


def refuse_if_at_work(run: RunDir, tell: Callable[[str], None] = log.info) -> None:
    """Make sure that no driver works on the run, also none on another host; `tell` is called as by `claim`.

    Raises:
        RunIsRunning: one does.
    """
    newest = _newest(run)
    if newest:
        _refuse_if_alive(run, newest, tell)


class Session:
    """A driver's time with a run, from `claim` to `release`; a thread of its own keeps it alive."""

    def __init__(self, run: RunDir, number: int) -> None:
        self.number = number
        self._run = run
        self._period = _period(run)
        self._record: dict[str, Any] = {
            **_place(),
            "pid": os.getpid(),
            "began": _began(os.getpid()),
            "token": secrets.token_hex(8),
            "time": time.time(),  # for people; nothing compares it
            "period": self._period,
            "counter": 0,
            "ended": False,
        }
        self._successor: dict[str, Any] | None = None
        self._ending = False
        self._failed = False
        self._wake = threading.Event()
        self._looked = threading.Event()
        self._looked_at = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="hopslite-session", daemon=True)

    def _begin(self) -> None:
        token = self._record["token"]
        _held.add(token)  # before the file: another thread must not take this process's session for a dead one
        try:
            made = self._run.create(_name(self.number), self._content())
            if not made or not self._run.is_local:  # not every file system looks and writes in one step
                there = _read(self._run, self.number)
                if there.get("token") != token:
                    raise _running(self._run, there)
        except BaseException:
            _held.discard(token)
            raise
        try:
            self._thread.start()  # waits for the thread, and so is where a Ctrl-C arrives
        except BaseException:
            self.release()
            raise

    def renew(self) -> None:
        """Say that the driver goes on, as often as it likes; does not wait for a disk.

        Raises:
            RunTakenOver: a newer session works on the run; this driver must not write to it any more.
        """
        if time.monotonic() - self._looked_at > (STALE_PERIODS + 1) * self._period:
            # This process was stopped, or the store does not answer. The first must be known before anything else.
            self._looked_at = time.monotonic()
            self._looked.clear()
            self._wake.set()
            self._looked.wait(CATCH_UP_SECONDS)
        if self._successor is not None:
            raise RunTakenOver(
                f"run {_run_id(self._run)} was taken over by {_who(self._successor)} while this driver did not answer; "
                "it goes on there",
                run_id=_run_id(self._run),
                host=self._successor.get("host"),
                pid=self._successor.get("pid"),
            )

    def release(self, timeout: float = 5.0) -> None:
        """End the session, so that another may begin at once. Doing so again changes nothing."""
        if self._ending:
            return
        self._ending = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        _held.discard(self._record["token"])
        self._record["ended"] = True
        try:
            if self._successor is None or self._run.is_local:
                self._run.write_bytes(_name(self.number), self._content())
        except OSError as error:
            log.warning("the end of this driver's session could not be recorded (%s)", error)

    def _work(self) -> None:
        while True:
            self._wake.wait(self._period)
            self._wake.clear()
            if self._ending or self._successor is not None:
                self._looked.set()
                return
            self._look()

    def _look(self) -> None:
        try:
            newest = _newest(self._run)
            rival = newest if newest > self.number else None
            if rival is None and not self._run.is_local:
                there = _read(self._run, self.number)
                rival = self.number if there and there.get("token") != self._record["token"] else None
            if rival is not None:
                self._successor = _read(self._run, rival)
            else:
                self._record["counter"] += 1
                self._run.write_bytes(_name(self.number), self._content())
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("the session's file cannot be renewed (%s); hopslite keeps trying", error)
            self._failed = True
        self._looked_at = time.monotonic()
        self._looked.set()

    def _content(self) -> bytes:
        return f"{json.dumps(self._record, indent=2)}\n".encode()


def _period(run: RunDir) -> float:
    return LOCAL_SECONDS if run.is_local else REMOTE_SECONDS


def _name(number: int) -> str:
    return f"sessions/{number:04d}.json"


def _newest(run: RunDir) -> int:
    return max((int(match[1]) for name in run.list("sessions") if (match := _NAME.fullmatch(name))), default=0)


def _read(run: RunDir, number: int) -> dict[str, Any]:
    """A session's record; empty when it cannot be read, as at the moment in which it is made."""
    try:
        found = run.read_json(_name(number))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _refuse_if_alive(run: RunDir, number: int, tell: Callable[[str], None]) -> None:
    holder = _read(run, number)
    alive = _is_alive(holder)
    if alive is None:
        period = holder.get("period")
        seconds = STALE_PERIODS * (period if isinstance(period, (int, float)) else _period(run)) + 1.0
        tell(f"{_who(holder)} was the last to work on run {_run_id(run)}; looking for {seconds:.0f} s if it still does")
        alive = _counts(run, number, holder, seconds)
    if alive:
        raise _running(run, holder)


def _counts(run: RunDir, number: int, before: dict[str, Any], seconds: float) -> bool:
    """Whether a session's record changes within this time, other than by its end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        if _newest(run) > number:  # listing also makes network file systems look again
            return True
        now = _read(run, number)
        if now.get("ended"):
            return False
        if now and now != before:
            return True
    return False


def _is_alive(holder: dict[str, Any]) -> bool | None:
    """Whether a session's process works on it; None when that cannot be told from here."""
    if holder.get("ended"):
        return False
    pid = holder.get("pid")
    if not isinstance(pid, int) or {key: holder.get(key) for key in _place()} != _place():
        return None
    try:
        began = _began(pid)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None
    if began != holder.get("began"):
        return False
    return pid != os.getpid() or holder.get("token") in _held


def _place() -> dict[str, str]:
    """Where process ids mean the same: a host since it was started, and a container on it."""
    place = {"host": socket.gethostname(), "boot": "", "namespace": ""}
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        place["boot"] = file.read().strip()
    with contextlib.suppress(OSError):
        place["namespace"] = os.readlink("/proc/self/ns/pid")
    return place


def _began(pid: int) -> float:
    """When a process began, where possible by a clock that nobody can set (psutil's follows the time of day).

    Raises:
        psutil.NoSuchProcess: there is none, or what is left of it waits for its parent.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        state, began = fields[0], float(fields[19])
    except (OSError, IndexError, ValueError):
        process = psutil.Process(pid)
        state, began = (b"Z" if process.status() == psutil.STATUS_ZOMBIE else b""), process.create_time()
    if state in (b"Z", b"X"):
        raise psutil.NoSuchProcess(pid)
    return began


def _running(run: RunDir, holder: dict[str, Any]) -> RunIsRunning:
    return RunIsRunning(
        f"run {_run_id(run)} is being worked on by {_who(holder)}; wait until that ends, or end it first",
        run_id=_run_id(run),
        host=holder.get("host"),
        pid=holder.get("pid"),
    )


def _who(holder: dict[str, Any]) -> str:
    if "pid" not in holder:
        return "another driver"
    if holder["pid"] == os.getpid() and holder.get("host") == socket.gethostname():
        return "this process"
    return f"process {holder['pid']} on host {holder.get('host')}"


def _run_id(run: RunDir) -> str:
    return run.shown.rstrip("/").rpartition("/")[2]
