"""Monitor of storage failures during a run, which pauses, resumes or ends the run.

There are two kinds of failures. The *store*, where the run is recorded, affects the whole run: no trial is started
while the journal cannot be written. A *slot* that cannot write on its machine (its scratch disk is full) takes no
trials, and the others go on.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ..core.formatting import duration
from ..core.types import State
from ..errors import RunDeleted, StorageUnavailable
from ..result import Run, Trial
from ..storage.free_space import lacks_room

__all__ = ["StorageMonitor", "not_recorded", "unavailable"]

BACKOFF_SECONDS = (0.5, 2.0)  # between two attempts to write: the first and the longest
GRACE_SECONDS = 1.0  # a store that fails for a shorter time does not pause the run
SUSPECT_SECONDS = 3.0  # between two probes of a store in which other files cannot be written
AFTERMATH_SECONDS = 10.0  # a trial that fails so soon after a storage failure may have failed because of it


class Record(Protocol):
    """The part of the run's recorder that writes, and reports failures to write."""

    def failure(self) -> OSError | None: ...
    def is_suspect(self) -> bool: ...
    def retry(self) -> None: ...
    def try_to_write(self) -> None: ...
    @property
    def free_space(self) -> str: ...


@dataclasses.dataclass(slots=True)
class _Outage:
    """The time from the first failure until the store can be written again."""

    began: float
    problem: OSError
    is_announced: bool = False


class StorageMonitor:
    """Monitors one run; `check` is called by the run loop and never waits for a disk or a server.

    Attempts to write are made in a thread of their own: a store that is away may let each of them wait for long.
    """

    def __init__(self, record: Record, patience: float, show: Callable[[str], None]) -> None:
        self._record, self._patience, self._show = record, patience, show
        self._outage: _Outage | None = None
        self._ended_at = float("-inf")  # of the latest outage
        self._slots: dict[str, tuple[str, str]] = {}  # host and problem of the slots that cannot write
        self._announced_hosts: set[str] = set()  # hosts whose problem was shown to the user
        self._stuck_since: float | None = None
        self._is_suspected = False
        self._looked_at = float("-inf")
        self._problem: OSError | None = None  # set by the thread, as are the next two
        self._deleted: RunDeleted | None = None
        self._is_writable = True
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    # --- events

    def slot_failed(self, slot: str, host: str, problem: str) -> None:
        """Note that a slot cannot write where its trials run."""
        self._slots[slot] = host, problem
        self._is_suspected = True  # it may be the disk of the run

    def slot_recovered(self, slot: str) -> None:
        """Note that a slot can write again, or is gone."""
        host, _ = self._slots.pop(slot, ("", ""))
        if host in self._announced_hosts and all(other != host for other, _ in self._slots.values()):
            self._announced_hosts.discard(host)
            self._show(f"{host} can be written again, and gets trials")

    def retry_until_success(
        self, failure: OSError, action: Callable[[], OSError | None], backoff: Callable[[], None]
    ) -> None:
        """Repeat a failed action whenever the store can be written, until it succeeds.

        Raises:
            StorageUnavailable, RunDeleted: as `check`; the patience begins anew.
        """
        give_up_at = time.monotonic() + self._patience
        problem: OSError | None = failure
        while problem is not None:
            if time.monotonic() >= give_up_at:
                raise StorageUnavailable(f"its end could not be recorded: {problem}")
            self._outage = self._outage or _Outage(time.monotonic(), problem)
            self._problem, self._is_suspected = problem, True
            self.check()
            backoff()
            while self.is_paused:
                self.check()
                backoff()
            problem = action()

    def check(self, can_work: bool = True) -> None:
        """Update the state of the store, and show changes to the user.

        Args:
            can_work: a trial is running, a slot is free, or no trial is left to be run.

        Raises:
            StorageUnavailable: the store cannot be written for longer than the run's patience.
            RunDeleted: the run's directory is gone.
        """
        now = time.monotonic()
        failure = self._record.failure()
        is_probing = self._thread is not None and self._thread.is_alive()
        if self._deleted is not None:
            raise self._deleted
        if (failure or self._needs_probe(now)) and not is_probing:
            self._looked_at, self._is_suspected, self._is_writable = now, False, False
            self._thread = threading.Thread(target=self._probe, name="hopslite-storage", daemon=True)
            self._thread.start()
        problem = failure or self._problem
        if problem is not None:
            self._outage = self._outage or _Outage(now, problem)
            self._outage.problem = problem
            self._on_outage(self._outage, now)
        elif self._outage is not None and self._is_writable:
            self._on_recovery(self._outage, now)
        elif self._outage is None and self._is_writable:
            self._announce_slots(now)
        self._check_stuck(now, can_work)

    def _needs_probe(self, now: float) -> bool:
        if self._is_suspected:
            return True
        return self._record.is_suspect() and now - self._looked_at >= SUSPECT_SECONDS

    @property
    def is_paused(self) -> bool:
        """True if no trials are to be started now, since their outcome could not be recorded."""
        outage = self._outage
        if outage is None:
            return False
        return lacks_room(outage.problem) or time.monotonic() - outage.began >= GRACE_SECONDS

    def may_explain_failure(self, ran_for: float) -> bool:
        """True if a trial that ran for `ran_for` seconds and fails now may have failed because of the store."""
        now = time.monotonic()
        return self.is_paused or (now - self._ended_at <= AFTERMATH_SECONDS and now - ran_for <= self._ended_at)

    def close(self) -> None:
        self._closed.set()

    # --- reactions

    def _on_outage(self, outage: _Outage, now: float) -> None:
        if self.is_paused and not outage.is_announced:
            outage.is_announced = True
            self._show(
                f"the run cannot be recorded: {self._describe(outage.problem)}. No trials are started until it can. "
                f"Running trials go on, and their results wait in memory; the run ends, and can be resumed, if "
                f"this lasts for {duration(self._patience)} (storage_patience). {_remedy(outage.problem)}"
            )
        if now - outage.began >= self._patience:
            raise StorageUnavailable(
                f"it could not be recorded for {duration(self._patience)} (storage_patience): "
                f"{self._describe(outage.problem)}"
            )

    def _on_recovery(self, outage: _Outage, now: float) -> None:
        self._outage, self._ended_at = None, now
        if outage.is_announced:
            self._show(f"the run can be recorded again after {duration(now - outage.began)}; trials are started again")

    def _announce_slots(self, now: float) -> None:
        """Show the problem of each machine once, unless the run's own disk is the cause."""
        if self._is_suspected or now - self._ended_at < AFTERMATH_SECONDS:
            return
        for host, problem in list(self._slots.values()):
            if host not in self._announced_hosts:
                self._announced_hosts.add(host)
                self._show(
                    f"trials cannot write on {host}: {problem}. It gets no trials until they can; those that failed "
                    "because of it are run again. Free space there"
                )

    def _check_stuck(self, now: float, can_work: bool) -> None:
        """Limit the time during which no trial can run because no slot can write."""
        if can_work or not self._slots or self._outage is not None:
            self._stuck_since = None
            return
        self._stuck_since = self._stuck_since or now
        if now - self._stuck_since >= self._patience:
            hosts = ", ".join(sorted({f"{host} ({problem})" for host, problem in self._slots.values()}))
            raise StorageUnavailable(
                f"no trial could write for {duration(self._patience)} (storage_patience) on any machine: {hosts}"
            )

    def _describe(self, problem: OSError) -> str:
        free_space = self._record.free_space
        return (
            f"{problem}; {free_space}"
            if free_space and free_space not in str(problem) and lacks_room(problem)
            else str(problem)
        )

    # --- the thread

    def _probe(self) -> None:
        """Try to write until that succeeds, and the journal is written, too."""
        backoff, longest_backoff = BACKOFF_SECONDS
        seems_deleted = False
        while not self._closed.is_set():
            try:
                self._record.try_to_write()
                self._problem, seems_deleted = None, False
                self._record.retry()
            except RunDeleted as deleted:
                if seems_deleted:
                    self._deleted = deleted
                    return
                seems_deleted = True  # deleted only if this is seen twice
            except OSError as problem:
                self._problem = problem
            self._closed.wait(backoff)
            if self._problem is None and not seems_deleted and self._record.failure() is None:
                self._is_writable = True
                return
            backoff = min(2 * backoff, longest_backoff)


def _remedy(problem: OSError) -> str:
    if lacks_room(problem):
        return "Free space there: remove what is not needed, such as old runs with `hopslite rm`"
    return "Check that the project's file system or server is available and can be written"


def unavailable(
    problem: StorageUnavailable, result: Run, trials: Mapping[str, Trial], resume_hint: str | None
) -> StorageUnavailable:
    """The exception of a run that ended because it could not be recorded.

    Args:
        result: the run as recorded.
        trials: all trials that have ended, by id.
        resume_hint: the command that resumes the run; None if its call could not be stored.
    """
    recorded = sum(trial.state is not State.KILLED for trial in result.trials)
    next_step = (
        f"hopslite can go on with it: {resume_hint}"
        if resume_hint
        else "its call could not be stored, so start it anew"
    )
    return StorageUnavailable(
        f"run {result.run_id} was ended: {problem}. {recorded} of its trials have ended and are recorded"
        f"{not_recorded(result, trials)}. When it can be recorded again, {next_step}",
        run_id=result.run_id,
        logdir=result.logdir,
        result=result,
        unrecorded=_unrecorded(result, trials),
    )


def not_recorded(result: Run, trials: Mapping[str, Trial]) -> str:
    """Text about trials that have ended and are not recorded; empty if there are none."""
    count = len(_unrecorded(result, trials))
    return f"; {count} more have ended and could not be recorded, so that they are run again" if count else ""


def _unrecorded(result: Run, trials: Mapping[str, Trial]) -> tuple[Trial, ...]:
    recorded_ids = {trial.id for trial in result.trials}
    return tuple(t for name, t in trials.items() if name not in recorded_ids and t.state is not State.KILLED)
