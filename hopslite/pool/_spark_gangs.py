"""Pool for distributed trials: groups of slots on Spark executors, each of which runs one trial after another."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..channel.server import SlotSession
from ..core.types import Event, Spec
from ..distribute import Member
from ..errors import SparkUnavailable
from ..executor.job_spec import Job
from . import Resources
from ._cluster_capacity import ClusterCapacity
from ._gang import Gang, MemberSlot
from ._spark_slots import SparkSlots

__all__ = ["SparkGangs"]


class _SlotGroup:
    """The slots that one gang uses, by the member's rank; they stay together for the whole run."""

    def __init__(self, index: int, size: int) -> None:
        self.index, self._size = index, size
        self.member_slots: dict[int, MemberSlot] = {}
        self.paused_ranks: set[int] = set()  # their slots cannot write at the moment
        self.gang: Gang | None = None

    @property
    def complete(self) -> bool:
        return len(self.member_slots) == self._size

    @property
    def idle(self) -> bool:
        return self.complete and self.gang is None and not self.paused_ranks


@dataclasses.dataclass(frozen=True)
class _MemberJob:
    """Ranks of a group with a common resource profile and therefore a common Spark job."""

    cluster: ClusterCapacity
    ranks: tuple[int, ...]


class SparkGangs(SparkSlots):
    """A pool whose unit is a group of slots, one for each member of a gang.

    If all members have one resource profile, a group is one Spark job in barrier mode: Spark starts all its slots at
    once or none, so that two groups cannot each hold half of their slots. Barrier mode supports neither several
    profiles nor dynamic allocation; there the slots of a group belong to several jobs that meet over the channel, and a
    group is started only when the previous one is complete.
    """

    def __init__(
        self, resources: Resources, spark: Any = None, channel_port: str = "0", **backend_options: Any
    ) -> None:
        assert resources.layout is not None
        self._layout = resources.layout
        self._groups: dict[int, _SlotGroup] = {}
        self._positions: dict[SlotSession, tuple[_SlotGroup, int]] = {}
        self._incomplete_since: float | None = None
        super().__init__(resources, spark, channel_port, **backend_options)

    def _check(self) -> list[str]:
        cluster, resources, size = self._cluster, self._resources, self._layout.size
        problems = cluster.problems()
        if problems:
            return problems
        strategy = resources.strategy()
        workers = size.workers
        if workers is None:  # one member on each executor
            others = len(strategy.members(dataclasses.replace(size, workers=1))) - 1
            workers = max(1, cluster.executors() - others)
        self._members: list[Member] = strategy.members(dataclasses.replace(size, workers=workers))
        with_gpu = tuple(rank for rank, member in enumerate(self._members) if member.gpu)
        without_gpu = tuple(rank for rank, member in enumerate(self._members) if not member.gpu)
        self._member_jobs = [_MemberJob(cluster, with_gpu)]
        if without_gpu and (resources.gpus_per_trial or cluster.assigns_gpus):
            self._member_jobs.append(_MemberJob(self._backend.cluster(resources.cpus_per_trial, 0), without_gpu))
        elif without_gpu:
            self._member_jobs = [_MemberJob(cluster, tuple(range(len(self._members))))]
        self._barrier = len(self._members) > 1 and len(self._member_jobs) == 1 and not cluster.dynamic
        return self._size_problems()

    def _size_problems(self) -> list[str]:
        """Reasons why a gang can never be formed; empty when it can."""
        member_count = len(self._members)
        shown = ", ".join(f"{count} {role}" for role, count in Counter(m.role for m in self._members).items())
        cluster_of_most = self._member_jobs[-1].cluster
        available = cluster_of_most.max_slots(member_count)
        if available < member_count:
            return [
                f"{member_count} members ({shown}) need {member_count} task slots at once, and the cluster has "
                f"{available}; ask for fewer, or give the session more executors or cores"
            ]
        requested = len(self._member_jobs[0].ranks)
        if self._resources.gpus_per_trial and (available := self._cluster.max_slots(requested)) < requested:
            return [
                f"{requested} members need {self._resources.gpus_per_trial} GPUs each, and the cluster has enough for "
                f"{available}; ask for fewer members or GPUs"
            ]
        return []

    # --- the pool's interface

    def start(self, job: Job, label: str, on_event: Callable[[Event], None]) -> None:
        members = tuple(member.to_json() for member in self._members)
        super().start(dataclasses.replace(job, strategy=self._layout.strategy, members=members), label, on_event)

    def _resize(self, slots: int) -> None:
        self._check_session()
        self._cancel_orphaned_jobs()
        self._slots_wanted = slots
        now = time.monotonic()
        with self._lock:
            gangs = [group.gang for group in self._groups.values() if group.gang]
            complete = sum(group.complete for group in self._groups.values())
        for gang in gangs:
            gang.tick()
        if now >= self._next_resize or not self._groups:
            self._next_resize = now + 5.0
            self._capacity = self._max_gangs()
        for index in range(min(slots, self._capacity)):
            if index not in self._groups:
                if not self._barrier and complete < len(self._groups):
                    break  # one after another, so that no group waits for slots that another one holds
                self._groups[index] = _SlotGroup(index, len(self._members))
            for member_job in range(len(self._member_jobs)):
                if (number := index * len(self._member_jobs) + member_job) not in self._slots:
                    self._start_slot(number)
        self._release_idle_slots(slots)
        self._check_forming_timeout(now, complete, slots)

    def _max_gangs(self) -> int:
        """Number of gangs that fit at once."""
        member_count = self._member_jobs[-1].cluster.capacity() // len(self._members)
        limits = [member_count, self._resources.parallelism or member_count]
        if len(self._member_jobs) > 1 or self._resources.gpus_per_trial:
            limits.append(self._cluster.capacity() // len(self._member_jobs[0].ranks))
        return max(1, min(limits))

    def _release_idle_slots(self, slots: int) -> None:
        with self._lock:
            idle = [group for group in self._groups.values() if group.idle]
            busy = sum(group.gang is not None for group in self._groups.values())
            released = idle[: max(0, len(idle) + busy - slots)]
            sessions = [member_slot.session for group in released for member_slot in group.member_slots.values()]
            for group in released:
                del self._groups[group.index]
            for session in sessions:
                self._positions.pop(session, None)
            self._connected.difference_update(sessions)
        for session in sessions:
            session.send({"type": "exit"})

    def _check_forming_timeout(self, now: float, complete: int, slots: int) -> None:
        """Raise SparkUnavailable when not even one gang's slots have been acquired in time."""
        if complete or not slots:
            self._incomplete_since = None
            return
        self._incomplete_since = self._incomplete_since or now
        if now - self._incomplete_since < self._layout.forming_timeout:
            return
        with self._lock:
            best = max(self._groups.values(), key=lambda group: len(group.member_slots))
            hosts = Counter(member_slot.host for member_slot in best.member_slots.values())
        hosts_text = ", ".join(f"{host} ({count})" for host, count in sorted(hosts.items())) or "none"
        how = " Spark starts all slots of a gang or none." if self._barrier else ""
        raise SparkUnavailable(
            f"{sum(hosts.values())} of {len(self._members)} members started "
            f"within forming_timeout={self._layout.forming_timeout:g} s (executors with members: {hosts_text}).{how} "
            f"The cluster: {self._cluster.occupancy()}"
        )

    @property
    def width(self) -> int:
        """Number of gangs that run side by side."""
        return len(self._groups) if self._cluster.dynamic else self._capacity

    @property
    def free(self) -> int:
        with self._lock:
            return sum(group.idle for group in self._groups.values())

    def submit(self, spec: Spec) -> bool:
        with self._lock:
            group = next((group for group in self._groups.values() if group.idle), None)
            if group is None:
                return False
            gang = group.gang = Gang(spec, self._layout, self._members, group.member_slots, self._inbox.put)
        gang.reserve_ports()
        return True

    def wait(self, timeout: float) -> Sequence[Event]:
        events = super().wait(timeout)
        with self._lock:
            for group in self._groups.values():
                if group.gang and group.gang.over:
                    group.gang = None
        return events

    def stop(self, trial_id: str, why: str) -> None:
        for gang in self._gangs(trial_id):
            gang.stop(why)

    def answer(self, event: Event, answer: dict[str, Any]) -> None:
        for gang in self._gangs(event.trial or ""):
            gang.answer(event.data["rank"], answer)

    def kill(self, trial_id: str, why: str) -> None:
        for gang in self._gangs(trial_id):
            gang.kill(why)

    def _gangs(self, trial_id: str) -> list[Gang]:
        """The running gang of a trial, as a list of at most one."""
        with self._lock:
            gangs = [group.gang for group in self._groups.values() if group.gang]
        return [gang for gang in gangs if gang.spec.trial_id == trial_id]

    # --- the thread of a member job

    def _run_job(self, index: int) -> list[str]:
        number, job_index = divmod(index, len(self._member_jobs))
        member_job = self._member_jobs[job_index]
        first_slot = number * len(self._member_jobs[0].ranks)
        gpus = {
            rank: member_job.cluster.gpus_of_slot(first_slot + order) for order, rank in enumerate(member_job.ranks)
        }
        task = functools.partial(
            self._task, slot=index, group=number, gpus_by_rank=gpus, driver=self._cluster.driver_host
        )
        while self._barrier and member_job.cluster.capacity() < len(
            member_job.ranks
        ):  # Spark itself would check every 15 s
            if self._closed.wait(0.25):
                return []
        return self._backend.run(
            member_job.cluster, task, member_job.ranks, barrier=self._barrier, names=self._names(index)
        )

    # --- the channel's thread

    def _on_message(self, session: SlotSession, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            self._on_ready(session, message)
            return
        if message["type"] in ("no_room", "room"):
            super()._on_message(session, message)
            self._set_paused(session, message["type"] == "no_room")
            return
        with self._lock:
            group, rank = self._positions.get(session, (None, 0))
            gang = group.gang if group else None
        if gang:
            gang.on_message(rank, message)

    def _on_ready(self, session: SlotSession, message: dict[str, Any]) -> None:
        self._register(session, message)
        with self._lock:
            group = self._groups.get(message["group"])
            rank = message["rank"]
            if self._closed.is_set() or group is None:
                session.send({"type": "exit"})
                return
            gpus = tuple(message["gpus"] or ()) if self._members[rank].gpu else ()
            group.member_slots[rank] = MemberSlot(session, message["address"], gpus)
            self._positions[session] = (group, rank)
            self._connected.add(session)
        self._inbox.put(None)

    def _set_paused(self, session: SlotSession, is_paused: bool) -> None:
        """Exclude a group from further gangs while one of its slots cannot write."""
        with self._lock:
            group, rank = self._positions.get(session, (None, 0))
            if group:
                (group.paused_ranks.add if is_paused else group.paused_ranks.discard)(rank)

    def _on_lost(self, session: SlotSession) -> None:
        self._set_paused(session, is_paused=False)
        with self._lock:
            self._note_orphaned_job(session)
            self._connected.discard(session)
            group, rank = self._positions.pop(session, (None, 0))
            gang = group.gang if group else None
            if group and group.member_slots.get(rank) and group.member_slots[rank].session is session:
                del group.member_slots[rank]
        if gang and not self._closed.is_set():
            gang.on_lost(rank)
        self._inbox.put(Event("room", time.time(), None, {"slot": str(id(session))}))
