"""A gang: the members of one distributed trial on several slots, with their ports, common start and common end."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..channel.server import SlotSession
from ..core import plugins
from ..core.types import LOG_NAME, Event, Result, Spec, State
from ..distribute import Layout, Member, Placed

__all__ = ["Gang", "MemberSlot"]

ROOT_CAUSE_SECONDS = 1.0  # a member that dies makes others fail, and their messages may arrive first
WORKER_GRACE_SECONDS = 60.0  # for other workers, once the chief has finished
KILL_SECONDS = 15.0  # for slots to end their members; then their sessions are dropped, which ends them
PROBE_SECONDS = 2.0  # between two questions to members whether they wait for one that never arrived
CONSEQUENCES = ("exception", "killed")  # causes of a member's end after another one is gone


@dataclasses.dataclass(frozen=True)
class MemberSlot:
    """The slot of a member, with its address for other executors and its GPUs."""

    session: SlotSession
    host: str
    gpus: tuple[str, ...]


class Gang:
    """The members of one trial; thread-safe. It is `over` when all members have ended.

    The failure of a member ends all. When the chief has finished, servers are ended, workers may finish, and the
    evaluator has its grace period.
    """

    def __init__(
        self,
        spec: Spec,
        layout: Layout,
        members: Sequence[Member],
        member_slots: Mapping[int, MemberSlot],
        on_event: Callable[[Event], None],
    ) -> None:
        self.spec = spec
        self._layout = layout
        self._members = list(members)
        self._slots_by_rank = dict(member_slots)
        self._on_event = on_event
        self._strategy = plugins.load("distribute", layout.strategy)
        self._trainers = {rank for rank, member in enumerate(self._members) if member.trains}
        self._lock = threading.RLock()
        self._ports: dict[int, int] = {}
        self._running: set[int] = set()
        self._started: set[int] = set()
        self._done: set[int] = set()
        self._results: dict[int, Result] = {}
        self._failed_ranks: list[int] = []  # in the order of their messages
        self._never_listened: set[int] = set()  # done without having listened, where all have to
        self._root_cause: Result | None = None
        self._killed_ranks: set[int] = set()
        self._warnings: list[str] = []
        self._began = time.time()
        self._kill_reason: str | None = None
        self._stopping = False  # early: failures of other members are a consequence
        self._deadlines: dict[str | int, float] = {}  # with a rank as key: for its slot to end it
        self.over = False

    def reserve_ports(self) -> None:
        """Ask all slots to reserve a port."""
        request = {"type": "reserve", "trial": self.spec.trial_id, "attempt": self.spec.attempt}
        for member_slot in self._slots_by_rank.values():
            member_slot.session.send({**request, "ports": self._layout.ports})

    def on_message(self, rank: int, message: dict[str, Any]) -> None:
        """Handle a message of a member's slot."""
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
                names = ("step", "value", "metrics", "attempt")
                self._emit("report", {name: message[name] for name in names if name in message})
            elif kind == "ask":
                self._emit("ask", {"request": message["request"], "attempt": message["attempt"], "rank": rank})
            elif kind == "done":
                self._done.add(rank)
                if self._strategy.ALL_LISTEN and len(self._trainers) > 1 and not message.get("listening", True):
                    self._never_listened.add(rank)
                    self._deadlines.setdefault("probe", time.monotonic() + PROBE_SECONDS)
                self._check_done()
            elif kind == "probed" and message["listening"] and rank not in self._done:
                self._blame_missing(rank)
            elif kind == "ended":
                self._on_ended(rank, Result.from_json(message["result"]))

    def on_lost(self, rank: int) -> None:
        """Record that the slot of a member is lost."""
        with self._lock:
            if self.over or rank in self._results:
                return
            error = f"its slot on {self._slots_by_rank[rank].host} was lost (the executor died, or the network was cut)"
            self._running.add(rank)
            self._on_ended(rank, self._failed("lost", error, rank))

    def stop(self, why: str) -> None:
        """Stop the trial at the chief's next report."""
        self._stopping = True
        self._slots_by_rank[0].session.send({"type": "stop", "trial": self.spec.trial_id, "why": why})

    def answer(self, rank: int, answer: dict[str, Any]) -> None:
        """Answer a member's request."""
        message = {"type": "answer", "trial": self.spec.trial_id, "answer": answer}
        self._slots_by_rank[rank].session.send(message)

    def kill(self, why: str) -> None:
        """Kill all members; the trial's `ended` event follows."""
        with self._lock:
            if self._kill_reason is None and not self.over:
                self._kill_reason = why
                self._kill_all(why)

    def tick(self) -> None:
        """Act on deadlines that have expired."""
        with self._lock:
            now = time.monotonic()
            for name in [name for name, due in self._deadlines.items() if now >= due]:
                del self._deadlines[name]
                if self.over:
                    continue
                if name == "probe":
                    self._probe()
                elif name == "fail":
                    self._kill_all("another member failed")
                elif isinstance(name, int):
                    if name not in self._results:
                        self._slots_by_rank[name].session.request_drop()
                else:  # a role, whose grace period is over
                    self._kill_expired(name)

    # --- under the lock

    def _on_reserved(self, rank: int, message: dict[str, Any]) -> None:
        if "error" in message:
            self._on_ended(rank, self._failed("exception", message["error"], rank))
            return
        self._ports[rank] = message["port"]
        if len(self._ports) < len(self._members) or self._failed_ranks or self._kill_reason:
            return
        placed_members = [
            Placed(
                member, self._slots_by_rank[position].host, self._ports[position], self._slots_by_rank[position].gpus
            )
            for position, member in enumerate(self._members)
        ]
        members = [
            dataclasses.replace(placed.member, environment=self._strategy.environment(placed_members, position))
            for position, placed in enumerate(placed_members)
        ]
        self._emit("members", {"members": list(map(_member_record, members, placed_members))})
        for position, member in enumerate(members):
            self._running.add(position)
            spec = dataclasses.replace(self.spec, member=member.to_json())
            self._slots_by_rank[position].session.send({"type": "run", "spec": spec.to_json()})

    def _on_started(self, rank: int, message: dict[str, Any]) -> None:
        self._started.add(rank)
        if len(self._started) == len(self._members):
            gpus = [gpu for member_slot in self._slots_by_rank.values() for gpu in member_slot.gpus]
            host = self._slots_by_rank[0].host
            self._emit("started", {"slot": message.get("group"), "host": host, "gpus": gpus or message["gpus"]})

    def _check_done(self) -> None:
        """Release or set deadlines for the other members once the chief is done."""
        if 0 not in self._done or self._failed_ranks or self._kill_reason:
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
        """Ask the members that still train whether they wait in the strategy."""
        waiting = self._trainers - self._done - self._results.keys()
        for rank in waiting:
            self._slots_by_rank[rank].session.send({"type": "probe", "trial": self.spec.trial_id})
        if waiting:
            self._deadlines["probe"] = time.monotonic() + PROBE_SECONDS

    def _blame_missing(self, waiting: int) -> None:
        """Fail a member that has returned while another one waits for it forever."""
        if not self._never_listened or self._failed_ranks or self._kill_reason:
            return
        rank = min(self._never_listened)
        error = (
            f"train_fn returned without creating the strategy, in which {self._members[waiting]} waits for it; "
            "every member has to create it"
        )
        self._failed_ranks.append(rank)
        self._root_cause = self._failed("exception", error, rank)
        self._kill_all("another member never reached the strategy")

    def _release(self, rank: int) -> None:
        self._slots_by_rank[rank].session.send({"type": "release", "trial": self.spec.trial_id})

    def _on_ended(self, rank: int, result: Result) -> None:
        self._results[rank] = result
        finished = result.state is State.FINISHED
        chief_finished = 0 in self._done and 0 not in self._failed_ranks
        self._warnings += [f"{self._members[rank]}: {warning}" for warning in result.warnings]
        if result.state is State.STOPPED:
            self._kill_all("the trial was stopped early")
        elif finished and rank == 0:
            for other, member in enumerate(self._members):
                if not member.trains and member.role != "evaluator":
                    self._kill_member(other, "the chief has finished")
        elif not finished and rank not in self._killed_ranks and not (self._stopping and rank):
            if chief_finished and not self._members[rank].trains:
                self._warnings.append(f"{self._members[rank]} failed after the chief had finished: {result.error}")
            else:
                if not self._failed_ranks:
                    self._deadlines["fail"] = time.monotonic() + ROOT_CAUSE_SECONDS
                self._failed_ranks.append(rank)
        elif finished:
            self._done.add(rank)  # a server that has ended by itself
        if self._results.keys() >= self._running and (self._running or self._failed_ranks):
            self._finish()

    def _kill_member(self, rank: int, why: str) -> None:
        if rank in self._running and rank not in self._results:
            self._killed_ranks.add(rank)
            self._deadlines.setdefault(rank, time.monotonic() + KILL_SECONDS)
            self._slots_by_rank[rank].session.send({"type": "kill", "trial": self.spec.trial_id, "why": why})

    def _kill_all(self, why: str) -> None:
        self._deadlines.clear()  # the other deadlines no longer matter
        for rank in range(len(self._members)):
            self._kill_member(rank, why)
        if self._results.keys() >= self._running:  # no member had been started
            self._finish()

    def _kill_expired(self, role: str) -> None:
        for rank, member in enumerate(self._members):
            if member.role == role and rank not in self._done and rank not in self._results:
                if member.trains:
                    self._warnings.append(
                        f"{member} was ended: it was still running {WORKER_GRACE_SECONDS:g} s after the chief's end"
                    )
                self._kill_member(rank, "the chief has finished")
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
        if self._kill_reason is not None and not self._had_ended():
            return self._failed("killed", f"ended: {self._kill_reason}")
        if not self._failed_ranks:
            return self._results[0]
        root = min(self._failed_ranks, key=lambda rank: self._results[rank].cause in CONSEQUENCES)
        result, member = self._root_cause or self._results[root], self._members[root]
        error = f"{member} on {self._slots_by_rank[root].host}: {result.error}"
        others = len(self._members) - 1
        if others:
            error += f" (the other {f'{others} members were' if others > 1 else 'member was'} ended)"
        return dataclasses.replace(result, error=error, started=self._began, duration=time.time() - self._began)

    def _had_ended(self) -> bool:
        """True if the trial was over when it was killed, except for lingering processes."""
        states = {rank: result.state for rank, result in self._results.items()}
        trained = all(states.get(rank) is State.FINISHED for rank in self._trainers)
        return not self._failed_ranks and (states.get(0) is State.STOPPED or trained)

    def _failed(self, cause: str, error: str, rank: int = 0) -> Result:
        return Result(
            self.spec.trial_id,
            State.KILLED if cause == "killed" else State.FAILED,
            error=error,
            cause=cause,
            started=self._began,
            duration=time.time() - self._began,
            log=f"{self._members[rank].file}_{LOG_NAME}",
        )

    def _emit(self, kind: str, data: dict[str, Any]) -> None:
        self._on_event(Event(kind, time.time(), self.spec.trial_id, data))


def _member_record(member: Member, placed: Placed) -> dict[str, Any]:
    """A member's record for the journal."""
    return {
        "role": member.role,
        "index": member.index,
        "host": placed.host,
        "address": placed.address,
        "gpus": list(placed.gpus),
        "environment": member.environment,
        "log": f"{member.file}_{LOG_NAME}",
    }
