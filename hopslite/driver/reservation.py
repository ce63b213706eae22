"""Runs that are recorded before they have slots: detached ones, and those that wait for their turn on this machine."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..core.types import Event, State, json_safe
from ..errors import RunInterrupted
from ..runs.history import PLAN
from ..storage.driver_lease import DriverLease, claim
from ..storage.journal_writer import JournalWriter
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ..storage.run_queue import Ticket, take_ticket
from ..storage.stop_requests import new_requests
from .plan import Plan
from .resume import Resumption, to_store
from .run_record import first_record

__all__ = ["Reservation", "Turn", "current_turn", "reserve", "with_turn"]

POLL_SECONDS = 0.5  # between two looks at the queue, and for requests to stop the run
REMOTE_POLL_SECONDS = 2.0
JOURNAL_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Turn:
    """Order to record a run before it has slots, for the verbs that are called within `with_turn`.

    Args:
        is_queued: it waits until the runs that have entered the machine's queue before it have ended.
        on_reserved: is called when the run has its directory, and nothing but Spark can go wrong any more.
    """

    is_queued: bool = False
    on_reserved: Callable[[Reservation], None] = lambda reservation: None


_turn: contextvars.ContextVar[Turn | None] = contextvars.ContextVar("hopslite_turn", default=None)


def current_turn() -> Turn | None:
    return _turn.get()


@contextlib.contextmanager
def with_turn(turn: Turn | None) -> Iterator[None]:
    """Have the verbs that are called in this block record their runs first; None: as ever."""
    token = _turn.set(turn)
    try:
        yield
    finally:
        _turn.reset(token)


@dataclasses.dataclass
class Reservation:
    """A run with its directory, version, lease and stored plan, and without slots."""

    run_id: str
    name: str
    version: int
    directory: RunDir
    lease: DriverLease
    record: dict[str, Any]
    ticket: Ticket | None = None

    def wait(self, tell: Callable[[str], None]) -> None:
        """Wait for the run's turn.

        Raises:
            RunInterrupted: a user has stopped the run, or interrupted this program; the run is recorded so.
            RunTakenOver: another driver has resumed it.
        """
        if self.ticket is None:
            return
        shown = 0
        try:
            while ahead := self.ticket.ahead():
                if ahead != shown:
                    runs = "one run" if ahead == 1 else f"{ahead} runs"
                    tell(f"{self.name} version {self.version} waits for its turn: {runs} before it")
                shown = ahead
                self._check_requests()
                time.sleep(POLL_SECONDS if self.directory.is_local else REMOTE_POLL_SECONDS)
                self.lease.renew()
            self.record = {**self.record, "state": State.RUNNING}  # Spark, which takes a while, starts now
            with contextlib.suppress(OSError):  # the recorder writes it again
                self.directory.write_json("run.json", self.record)
        except KeyboardInterrupt as interrupt:
            stopped = isinstance(interrupt, RunInterrupted)
            self.end(State.STOPPED if stopped else State.KILLED, str(interrupt) or "interrupted")
            if stopped:
                raise
            raise RunInterrupted(f"run {self.run_id} was interrupted while it waited", run_id=self.run_id) from None

    def _check_requests(self) -> None:
        try:
            requests = new_requests(self.directory, self.lease.number, ())
        except (OSError, ValueError):
            return  # it is looked for again
        for request in requests.values():
            if request.trial is None:
                text = f"run {self.run_id} was stopped by {request.by} while it waited"
                raise RunInterrupted(text, run_id=self.run_id, logdir=self.directory.url)

    def end(self, state: State, error: str) -> None:
        """Record the end of a run that got no slots, and release it."""
        ending = {"state": state, "error": error, "duration": 0.0}
        with contextlib.suppress(OSError):
            _write_event(self.directory, "run_ended", ending)
            self.directory.write_json("run.json", json_safe({**self.record, **ending, "finished": time.time()}))
        self.release()

    def release(self) -> None:
        """Release the lease and the place in the queue; idempotent."""
        self.lease.release()
        if self.ticket is not None:
            self.ticket.release()


def reserve(plan: Plan, project: Project, turn: Turn, resumption: Resumption | None) -> Reservation:
    """Record a run as QUEUED, or as RUNNING if it need not wait, with everything that another driver needs.

    Raises:
        OSError: it cannot be recorded.
    """
    state = State.QUEUED if turn.is_queued else State.RUNNING
    with contextlib.ExitStack() as cleanup:
        if resumption is not None:
            record = {**resumption.record, "state": state}
            directory, lease = resumption.run, resumption.lease
            run_id, version = str(record["run_id"]), int(record["version"])
        else:
            run_id, version, directory = project.new_run(plan.name)
            lease = claim(directory)
            cleanup.callback(lease.release)
            now = time.time()
            record = first_record(plan, project, directory, run_id, version, lease.number, now, {}) | {"state": state}
            if plan.resumable:
                directory.write_bytes(PLAN, to_store(plan), durable=True, private=True)
        ticket = take_ticket(directory.shown) if turn.is_queued else None
        if ticket is not None:
            cleanup.callback(ticket.release)
        directory.write_json("run.json", record)
        _write_event(directory, "queued", {})
        reservation = Reservation(run_id, plan.name, version, directory, lease, record, ticket)
        turn.on_reserved(reservation)
        cleanup.pop_all()
    return reservation


def _write_event(directory: RunDir, kind: str, data: dict[str, Any]) -> None:
    journal = JournalWriter(directory, is_watched=True)
    journal.append(Event(kind, time.time(), None, json_safe(data)))
    if failure := journal.close(JOURNAL_SECONDS):
        raise failure
