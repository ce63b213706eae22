"""Lease of the driver that works on a run: a file per driver, whose counter rises while the driver lives."""

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

from ..errors import RunIsRunning, RunTakenOver
from .free_space import lacks_room
from .records import json_object
from .run_directory import RunDir

__all__ = ["DriverLease", "claim", "has_live_driver", "newest_session", "require_no_live_driver"]

log = logging.getLogger(__name__)

LOCAL_SECONDS = 3.0  # between two renewals
REMOTE_SECONDS = 10.0
STALE_PERIODS = 2  # without a renewal after which a driver on another host counts as dead
POLL_SECONDS = 0.5
CATCH_UP_SECONDS = 1.0

_NAME = re.compile(r"([0-9]{4,9})\.json")
_held_tokens: set[str] = set()  # the tokens of this process's leases that have not been released


def claim(run: RunDir, tell: Callable[[str], None] = log.info) -> DriverLease:
    """Acquire the lease on a run for this process.

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
    lease = DriverLease(run, newest + 1)
    lease._begin()
    return lease


def has_live_driver(run: RunDir) -> bool | None:
    """True if a driver works on the run; None if that takes a while to find out, as for a driver on another host."""
    newest = _newest(run)
    return _is_alive(_read(run, newest)) if newest else False


def newest_session(run: RunDir) -> int:
    """Number of the newest lease on a run; 0 if there was none."""
    return _newest(run)


def require_no_live_driver(run: RunDir, tell: Callable[[str], None] = log.info) -> None:
    """Raise if a driver works on the run, on this host or another; `tell` is called as by `claim`.

    Raises:
        RunIsRunning: one does.
    """
    newest = _newest(run)
    if newest:
        _refuse_if_alive(run, newest, tell)


class DriverLease:
    """Lease of a driver on a run, from `claim` to `release`, renewed by a thread.

    Attributes:
        trouble: the error of the last renewal; None if it succeeded.
        is_watched: somebody looks at `trouble` and tells the user, who then needs no warning in the log.
    """

    def __init__(self, run: RunDir, number: int) -> None:
        self.number = number
        self._run = run
        self._period = _period(run)
        self._record: dict[str, Any] = {
            **_pid_scope(),
            "pid": os.getpid(),
            "began": _start_time(os.getpid()),
            "token": secrets.token_hex(8),
            "time": time.time(),  # for people; nothing compares it
            "period": self._period,
            "counter": 0,
            "ended": False,
        }
        self._successor: dict[str, Any] | None = None
        self._ending = False
        self.trouble: OSError | None = None
        self.is_watched = False
        self._wake = threading.Event()
        self._checked = threading.Event()
        self._checked_at = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="hopslite-lease", daemon=True)

    def _begin(self) -> None:
        token = self._record["token"]
        _held_tokens.add(token)  # before the file: another thread must not take this process's lease for a dead one
        try:
            made = self._run.create(_name(self.number), self._content())
            if not made or not self._run.is_local:  # exclusive creation is not atomic on every file system
                there = _read(self._run, self.number)
                if there.get("token") != token:
                    raise _run_is_running(self._run, there)
        except BaseException:
            _held_tokens.discard(token)
            raise
        try:
            self._thread.start()  # waits for the thread, so a Ctrl-C may be raised here
        except BaseException:
            self.release()
            raise

    def renew(self) -> None:
        """Check the lease and keep it alive; never waits for a disk.

        Raises:
            RunTakenOver: another driver holds a newer lease; this driver must not write to it any more.
        """
        if time.monotonic() - self._checked_at > (STALE_PERIODS + 1) * self._period:
            # This process was stopped, or the store does not answer. The first must be known before anything else.
            self._checked_at = time.monotonic()
            self._checked.clear()
            self._wake.set()
            self._checked.wait(CATCH_UP_SECONDS)
        if self._successor is not None:
            raise RunTakenOver(
                f"run {_run_id(self._run)} was taken over by {_holder_text(self._successor)} while this driver "
                "did not answer; it continues there",
                run_id=_run_id(self._run),
                host=self._successor.get("host"),
                pid=self._successor.get("pid"),
            )

    def release(self, timeout: float = 5.0, is_deleted: bool = False) -> None:
        """Release the lease, so that another driver may acquire it at once; idempotent.

        Args:
            is_deleted: the run is gone, and a file written there would bring a part of it back.
        """
        if self._ending:
            return
        self._ending = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        _held_tokens.discard(self._record["token"])
        self._record["ended"] = True
        if is_deleted or (self._successor is not None and not self._run.is_local):
            return
        try:
            self._run.write_bytes(_name(self.number), self._content())
        except OSError as error:
            if not lacks_room(error) or not self._overwrite():
                log.log(self._level, "the lease of this driver could not be released (%s)", error)

    def _overwrite(self) -> bool:
        """Overwrite the lease file in place, which needs no room on most file systems; returns False if that failed.

        Otherwise the run would count as being worked on for as long as this process lives.
        """
        if not self._run.is_local:
            return False
        try:
            with open(self._run.path(_name(self.number)), "r+b") as file:
                file.write(self._content())
                file.truncate()
        except OSError:
            return False
        return True

    @property
    def _level(self) -> int:
        return logging.INFO if self.is_watched else logging.WARNING

    def _work(self) -> None:
        while True:
            self._wake.wait(self._period)
            self._wake.clear()
            if self._ending or self._successor is not None:
                self._checked.set()
                return
            self._renew_or_stop()

    def _renew_or_stop(self) -> None:
        try:
            newest = _newest(self._run)
            rival = newest if newest > self.number else None
            if rival is None and not self._run.is_local:
                there = _read(self._run, self.number)
                if not there and not self._run.exists("run.json") and not self._run.exists(_name(self.number)):
                    # writing it again would recreate a part of a deleted run
                    raise FileNotFoundError(f"{self._run.shown}/{_name(self.number)} is gone")
                rival = self.number if there and there.get("token") != self._record["token"] else None
            if rival is not None:
                self._successor = _read(self._run, rival)
            else:
                self._record["counter"] += 1
                self._run.write_bytes(_name(self.number), self._content())
            self.trouble = None
        except OSError as error:
            if self.trouble is None:
                log.log(self._level, "the lease of this driver cannot be renewed (%s); hopslite keeps trying", error)
            self.trouble = error
        self._checked_at = time.monotonic()
        self._checked.set()

    def _content(self) -> bytes:
        return f"{json.dumps(self._record, indent=2)}\n".encode()


def _period(run: RunDir) -> float:
    return LOCAL_SECONDS if run.is_local else REMOTE_SECONDS


def _name(number: int) -> str:
    return f"sessions/{number:04d}.json"


def _newest(run: RunDir) -> int:
    return max((int(match[1]) for name in run.list("sessions") if (match := _NAME.fullmatch(name))), default=0)


def _read(run: RunDir, number: int) -> dict[str, Any]:
    """Read a lease; empty if it cannot be read, as at the moment in which it is created."""
    return json_object(run.read_many([_name(number)])[0]) or {}


def _refuse_if_alive(run: RunDir, number: int, tell: Callable[[str], None]) -> None:
    holder = _read(run, number)
    alive = _is_alive(holder)
    if alive is None:
        period = holder.get("period")
        seconds = STALE_PERIODS * (period if isinstance(period, (int, float)) else _period(run)) + 1.0
        last = f"{_holder_text(holder)} was the last to work on run {_run_id(run)}"
        tell(f"{last}; checking for {seconds:.0f} s whether it still does")
        alive = _is_renewed(run, number, holder, seconds)
    if alive:
        raise _run_is_running(run, holder)


def _is_renewed(run: RunDir, number: int, before: dict[str, Any], seconds: float) -> bool:
    """True if a lease is renewed within this time, or superseded."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        if _newest(run) > number:  # listing also refreshes the caches of network file systems
            return True
        now = _read(run, number)
        if now.get("ended"):
            return False
        if now and now != before:
            return True
    return False


def _is_alive(holder: dict[str, Any]) -> bool | None:
    """True if the process that holds a lease is alive; None if that cannot be determined on this host."""
    if holder.get("ended"):
        return False
    pid = holder.get("pid")
    if not isinstance(pid, int) or {key: holder.get(key) for key in _pid_scope()} != _pid_scope():
        return None
    try:
        began = _start_time(pid)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):  # not a valid process id
        return None
    if began != holder.get("began"):
        return False
    return pid != os.getpid() or holder.get("token") in _held_tokens


def _pid_scope() -> dict[str, str]:
    """Scope in which process ids are unique: a boot of a host, and a container on it."""
    place = {"host": socket.gethostname(), "boot": "", "namespace": ""}
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        place["boot"] = file.read().strip()
    with contextlib.suppress(OSError):
        place["namespace"] = os.readlink("/proc/self/ns/pid")
    return place


def _start_time(pid: int) -> float:
    """Start time of a process, where possible by a clock that nobody can set (psutil's follows the time of day).

    Raises:
        ProcessLookupError: there is none, or what is left of it waits for its parent.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        state, began = fields[0], float(fields[19])
    except (OSError, IndexError, ValueError):
        state, began = _portable_start_time(pid)
    if state in (b"Z", b"X"):
        raise ProcessLookupError(f"process {pid} has ended")
    return began


def _portable_start_time(pid: int) -> tuple[bytes, float]:
    """State and start time of a process on a system without `/proc`."""
    import psutil

    try:
        process = psutil.Process(pid)
        return (b"Z" if process.status() == psutil.STATUS_ZOMBIE else b""), process.create_time()
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(str(error)) from error
    except psutil.Error as error:
        raise PermissionError(str(error)) from error


def _run_is_running(run: RunDir, holder: dict[str, Any]) -> RunIsRunning:
    return RunIsRunning(
        f"run {_run_id(run)} is being worked on by {_holder_text(holder)}; wait until that ends, or end it first",
        run_id=_run_id(run),
        host=holder.get("host"),
        pid=holder.get("pid"),
    )


def _holder_text(holder: dict[str, Any]) -> str:
    if "pid" not in holder:
        return "another driver"
    if holder["pid"] == os.getpid() and holder.get("host") == socket.gethostname():
        return "this process"
    return f"process {holder['pid']} on host {holder.get('host')}"


def _run_id(run: RunDir) -> str:
    return run.shown.rstrip("/").rpartition("/")[2]
