"""One distributed trial on several slots: its members find a port each, start together and end together."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _plugins
from .._trial import Event, Result, Spec, State
from ..distribute import Layout, Member, Placed
from ._channel import Peer

__all__ = ["Gang", "Seat"]

ROOT_CAUSE_SECONDS = 1.0  # a member that dies makes others fail, and their messages may come first
WORKER_GRACE_SECONDS = 60.0  # for other workers, once the chief has finished
KILL_SECONDS = 15.0  # for slots to end what they run; then their connection is cut, which ends it
PROBE_SECONDS = 2.0  # how often members are asked whether they wait for one that never came
CONSEQUENCES = ("exception", "killed")  # what a member ends with when another one is gone


@dataclasses.dataclass(frozen=True)
class Seat:
    """A slot that a member can have: where it is, as other executors reach it, and its GPUs."""

    peer: Peer
    host: str
    gpus: tuple[str, ...]


class Gang:
    """The members of one trial; `over` when none of them is left. Safe from the channel's thread and the study's.

    A member that fails ends all. When the chief has finished, members that only serve are ended, workers may finish,
    and the evaluator has its grace.
    """

    def __init__(
        self,
        spec: Spec,
        layout: Layout,
        members: Sequence[Member],
        seats: Mapping[int, Seat],
        tell: Callable[[Event], None],
    ) -> None:
        self.spec = spec
        self._layout = layout
        self._members = list(members)
        self._seats = dict(seats)
        self._tell = tell
        self._strategy = _plugins.load("distribute", layout.strategy)
        self._trainers = {rank for rank, member in enumerate(self._members) if member.trains}
        self._lock = threading.RLock()
        self._ports: dict[int, int] = {}
        self._running: set[int] = set()
        self._started: set[int] = set()
        self._done: set[int] = set()
        self._results: dict[int, Result] = {}
        self._failures: list[int] = []  # in the order in which they were told
        self._absent: set[int] = set()  # done, and never listened where all have to
        self._blamed: Result | None = None
        self._ended_by_us: set[int] = set()
        self._warnings: list[str] = []
        self._began = time.time()
        self._stopped_for: str | None = None
        self._stopping = False  # early: what the others do from then on is a consequence
        self._deadlines: dict[str | int, float] = {}  # of a rank: for its slot to end it
        self.over = False

    def begin(self) -> None:
        """Ask all for a port."""
        order = {"type": "reserve", "trial": self.spec.trial_id, "attempt": self.spec.attempt}
        for seat in self._seats.values():
            seat.peer.send({**order, "ports": self._layout.ports})

    def on_message(self, rank: int, message: dict[str, Any]) -> None:
        """Take what the slot of a member says about it."""
        with self._lock:
            if message.get("trial", self.spec.trial_id) != self.spec.trial_id or self.over:
                return
            kind = message["type"]
            if kind == "reserved":
                if message["attempt"] == self.spec.attempt:
                    self._on_reserved(rank, message)
            elif kind == "started":
                self._on_started(rank, message)
            elif kind == "output":
                lines = [f"{self._members[rank]}: {line}" for line in message["lines"]]
                self._emit("output", {"lines": lines})
            elif kind == "sample" and self._members[rank].is_chief:
                self._emit("sample", message["metrics"])
            elif kind == "report":
                self._emit("report", {name: message[name] for name in ("step", "value", "attempt")})
            elif kind == "done":
                self._done.add(rank)
                if self._strategy.ALL_LISTEN and len(self._trainers) > 1 and not message.get("listening", True):
                    self._absent.add(rank)
                    self._deadlines.setdefault("probe", time.monotonic() + PROBE_SECONDS)
                self._progress()
            elif kind == "probed" and message["listening"] and rank not in self._done:
                self._blame_absent(rank)
            elif kind == "ended":
                self._on_ended(rank, Result.from_json(message["result"]))

    def on_lost(self, rank: int) -> None:
        """The slot of a member is gone."""
        with self._lock:
            if self.over or rank in self._results:
                return
            error = f"its slot on {self._seats[rank].host} was lost (the executor died, or the network was cut)"
            self._running.add(rank)
            self._on_ended(rank, self._failed("lost", error, rank))

    def stop(self, why: str) -> None:
        """Have the trial stopped at the chief's next report."""
        self._stopping = True
        self._seats[0].peer.send({"type": "stop", "trial": self.spec.trial_id, "why": why})

    def kill(self, why: str) -> None:
        """End all members; the trial's end follows."""
        with self._lock:
            if self._stopped_for is None and not self.over:
                self._stopped_for = why
                self._end_all(why)

    def tick(self) -> None:
        """Do what is due."""
        with self._lock:
            now = time.monotonic()
            for name in [name for name, due in self._deadlines.items() if now >= due]:
                del self._deadlines[name]
                if self.over:
                    continue
                if name == "probe":
                    self._probe()
                elif name == "fail":
                    self._end_all("another member failed")
                elif isinstance(name, int):
                    if name not in self._results:
                        self._seats[name].peer.cut()
                else:  # the grace of these members is over
                    self._end_late(name)

    # --- under the lock

    def _on_reserved(self, rank: int, message: dict[str, Any]) -> None:
        if "error" in message:
            self._on_ended(rank, self._failed("exception", message["error"], rank))
            return
        self._ports[rank] = message["port"]
        if len(self._ports) < len(self._members) or self._failures or self._stopped_for:
            return
        gang = [
            Placed(member, self._seats[position].host, self._ports[position], self._seats[position].gpus)
            for position, member in enumerate(self._members)
        ]
        members = [
            dataclasses.replace(placed.member, environment=self._strategy.environment(gang, position))
            for position, placed in enumerate(gang)
        ]
        self._emit("members", {"members": list(map(_described, members, gang))})
        for position, member in enumerate(members):
            self._running.add(position)
            spec = dataclasses.replace(self.spec, member=member.to_json())
            self._seats[position].peer.send({"type": "run", "spec": spec.to_json()})

    def _on_started(self, rank: int, message: dict[str, Any]) -> None:
        self._started.add(rank)
        if len(self._started) == len(self._members):
            gpus = [gpu for seat in self._seats.values() for gpu in seat.gpus]
            self._emit("started", {"host": self._seats[0].host, "gpus": gpus or message["gpus"]})

    def _progress(self) -> None:
        """See what follows from who is done."""
        if 0 not in self._done or self._failures or self._stopped_for:
            return
        now = time.monotonic()
        evaluators = {rank for rank, member in enumerate(self._members) if member.role == "evaluator"}
        if evaluators and "evaluator" not in self._deadlines:
            self._deadlines["evaluator"] = now + self._layout.evaluator_grace
        if self._trainers <= self._done:
            self._deadlines.pop("worker", None)
            for rank in self._done - self._results.keys():
                self._release(rank)
        elif "worker" not in self._deadlines:
            self._deadlines["worker"] = now + WORKER_GRACE_SECONDS

    def _probe(self) -> None:
        """Ask those that still train whether they wait in the strategy."""
        waiting = self._trainers - self._done - self._results.keys()
        for rank in waiting:
            self._seats[rank].peer.send({"type": "probe", "trial": self.spec.trial_id})
        if waiting:
            self._deadlines["probe"] = time.monotonic() + PROBE_SECONDS

    def _blame_absent(self, waiting: int) -> None:
        """A member waits for one that has returned already, and would wait for ever."""
        if not self._absent or self._failures or self._stopped_for:
            return
        absent = min(self._absent)
        error = (
            f"train_fn returned without having made the strategy, for which {self._members[waiting]} waits; "
            "every member has to make it"
        )
        self._failures.append(absent)
        self._blamed = self._failed("exception", error, absent)
        self._end_all("another member never reached the strategy")

    def _release(self, rank: int) -> None:
        self._seats[rank].peer.send({"type": "release", "trial": self.spec.trial_id})

    def _on_ended(self, rank: int, result: Result) -> None:
        self._results[rank] = result
        finished = result.state is State.FINISHED
        chief_finished = 0 in self._done and 0 not in self._failures
        self._warnings += [f"{self._members[rank]}: {warning}" for warning in result.warnings]
        if result.state is State.STOPPED:
            self._end_all("the trial was stopped early")
        elif finished and rank == 0:
            for other, member in enumerate(self._members):
                if not member.trains and member.role != "evaluator":
                    self._end(other, "the chief has finished")
        elif not finished and rank not in self._ended_by_us and not (self._stopping and rank):
            if chief_finished and not self._members[rank].trains:
                self._warnings.append(f"{self._members[rank]} failed after the chief had finished: {result.error}")
            else:
                if not self._failures:
                    self._deadlines["fail"] = time.monotonic() + ROOT_CAUSE_SECONDS
                self._failures.append(rank)
        elif finished:
            self._done.add(rank)  # a server that ended by itself
        if self._results.keys() >= self._running and (self._running or self._failures):
            self._finish()

    def _end(self, rank: int, why: str) -> None:
        if rank in self._running and rank not in self._results:
            self._ended_by_us.add(rank)
            self._deadlines.setdefault(rank, time.monotonic() + KILL_SECONDS)
            self._seats[rank].peer.send({"type": "kill", "trial": self.spec.trial_id, "why": why})

    def _end_all(self, why: str) -> None:
        self._deadlines.clear()  # nothing else is awaited
        for rank in range(len(self._members)):
            self._end(rank, why)
        if self._results.keys() >= self._running:  # none had been started
            self._finish()

    def _end_late(self, role: str) -> None:
        for rank, member in enumerate(self._members):
            if member.role == role and rank not in self._done and rank not in self._results:
                if member.trains:
                    self._warnings.append(
                        f"{member} was ended: it was at work {WORKER_GRACE_SECONDS:g} s after the chief had finished"
                    )
                self._end(rank, "the chief has finished")
        if role == "worker":
            for rank in self._done - self._results.keys():
                self._release(rank)

    def _finish(self) -> None:
        if self.over:
            return
        self.over = True
        result = self._verdict()
        self._emit("ended", dataclasses.replace(result, warnings=tuple(self._warnings)).to_json())

    def _verdict(self) -> Result:
        if self._stopped_for is not None and not self._had_ended():
            return self._failed("killed", f"ended: {self._stopped_for}")
        if not self._failures:
            return self._results[0]
        root = min(self._failures, key=lambda rank: self._results[rank].cause in CONSEQUENCES)
        result, member = self._blamed or self._results[root], self._members[root]
        error = f"{member} on {self._seats[root].host}: {result.error}"
        others = len(self._members) - 1
        if others:
            error += f" (the other {f'{others} members were' if others > 1 else 'member was'} ended)"
        return dataclasses.replace(result, error=error, started=self._began, duration=time.time() - self._began)

    def _had_ended(self) -> bool:
        """Whether the trial was over when it was killed, but for processes that lingered."""
        states = {rank: result.state for rank, result in self._results.items()}
        trained = all(states.get(rank) is State.FINISHED for rank in self._trainers)
        return not self._failures and (states.get(0) is State.STOPPED or trained)

    def _failed(self, cause: str, error: str, rank: int = 0) -> Result:
        return Result(
            self.spec.trial_id,
            State.KILLED if cause == "killed" else State.FAILED,
            error=error,
            cause=cause,
            started=self._began,
            duration=time.time() - self._began,
            log=f"{self._members[rank].file}_output.log",
        )

    def _emit(self, kind: str, data: dict[str, Any]) -> None:
        self._tell(Event(kind, time.time(), self.spec.trial_id, data))


def _described(member: Member, placed: Placed) -> dict[str, Any]:
    """A member, for the record."""
    return {
        "role": member.role,
        "index": member.index,
        "host": placed.host,
        "address": placed.address,
        "gpus": list(placed.gpus),
        "environment": member.environment,
        "log": f"{member.file}_output.log",
    }
