"""Groups of slots on Spark executors, each of which runs one distributed trial after the other."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .._trial import Event, Spec
from ..distribute import Member
from ..errors import SparkUnavailable
from ..runtime.job import Job
from . import Resources
from ._channel import Peer
from ._gang import Gang, Seat
from ._session import Cluster
from .spark import Spark

__all__ = ["SparkGangs"]


class _Group:
    """The slots that one gang takes, by the member's rank; they stay together for the whole run."""

    def __init__(self, index: int, size: int) -> None:
        self.index, self._size = index, size
        self.seats: dict[int, Seat] = {}
        self.gang: Gang | None = None

    @property
    def complete(self) -> bool:
        return len(self.seats) == self._size

    @property
    def idle(self) -> bool:
        return self.complete and self.gang is None


@dataclasses.dataclass(frozen=True)
class _Part:
    """Ranks of a group that have one resource profile and therefore one Spark job."""

    cluster: Cluster
    ranks: tuple[int, ...]


class SparkGangs(Spark):
    """A pool whose unit is a group of slots, one for each member of a gang.

    Where all members have one resource profile a group is one Spark job in barrier mode, so that Spark gives all its
    slots at once or none, and two groups cannot hold half of what each needs. Barrier mode knows neither several
    profiles nor dynamic allocation; there the slots of a group are jobs that meet over the channel, and a group is only
    begun when the one before is complete.
    """

    def __init__(self, resources: Resources, spark: Any = None, channel_port: str = "0") -> None:
        assert resources.layout is not None
        self._layout = resources.layout
        super().__init__(resources, spark, channel_port)
        self._groups: dict[int, _Group] = {}
        self._homes: dict[Peer, tuple[_Group, int]] = {}
        self._incomplete_since: float | None = None

    def _check(self) -> list[str]:
        cluster, resources, size = self._cluster, self._resources, self._layout.size
        problems = cluster.problems()
        if problems:
            return problems
        strategy = resources.strategy()
        workers = size.workers
        if workers is None:  # a member on each executor
            others = len(strategy.members(dataclasses.replace(size, workers=1))) - 1
            workers = max(1, cluster.executors() - others)
        self._members: list[Member] = strategy.members(dataclasses.replace(size, workers=workers))
        with_gpu = tuple(rank for rank, member in enumerate(self._members) if member.gpu)
        without = tuple(rank for rank, member in enumerate(self._members) if not member.gpu)
        self._parts = [_Part(cluster, with_gpu)]
        if without and (resources.gpus_per_trial or cluster.gives_gpus):
            self._parts.append(_Part(Cluster(self.session, resources.cpus_per_trial, 0), without))
        elif without:
            self._parts = [_Part(cluster, tuple(range(len(self._members))))]
        self._barrier = len(self._members) > 1 and len(self._parts) == 1 and not cluster.dynamic
        return self._size_problems()

    def _size_problems(self) -> list[str]:
        """Whether a gang can ever be formed."""
        everyone = len(self._members)
        shown = ", ".join(f"{count} {role}" for role, count in Counter(m.role for m in self._members).items())
        any_slot = self._parts[-1].cluster
        there = any_slot.most_slots(everyone)
        if there < everyone:
            return [
                f"{everyone} members ({shown}) need {everyone} task slots at once, and the cluster has {there}; "
                "ask for fewer, or give the session more executors or cores"
            ]
        wanted = len(self._parts[0].ranks)
        if self._resources.gpus_per_trial and (there := self._cluster.most_slots(wanted)) < wanted:
            return [
                f"{wanted} members need {self._resources.gpus_per_trial} GPUs each, and the cluster has enough for "
                f"{there}; ask for fewer members or GPUs"
            ]
        return []

    # --- the pool's interface

    def start(self, job: Job, label: str, tell: Callable[[Event], None]) -> None:
        members = tuple(member.to_json() for member in self._members)
        super().start(dataclasses.replace(job, strategy=self._layout.strategy, members=members), label, tell)

    def want(self, slots: int) -> None:
        self._alive()
        self._end_astray()
        self._wanted = slots
        now = time.monotonic()
        with self._lock:
            gangs = [group.gang for group in self._groups.values() if group.gang]
            complete = sum(group.complete for group in self._groups.values())
        for gang in gangs:
            gang.tick()
        if now >= self._next_resize or not self._groups:
            self._next_resize = now + 5.0
            self._capacity = self._room()
        for index in range(min(slots, self._capacity)):
            if index not in self._groups:
                if not self._barrier and complete < len(self._groups):
                    break  # one after the other, so that none waits for what another one holds
                self._groups[index] = _Group(index, len(self._members))
            for part in range(len(self._parts)):
                if (number := index * len(self._parts) + part) not in self._slots:
                    self._begin_slot(number)
        self._give_back(slots)
        self._watch_forming(now, complete, slots)

    def _room(self) -> int:
        """How many gangs fit at once."""
        everyone = self._parts[-1].cluster.capacity() // len(self._members)
        rooms = [everyone, self._resources.parallelism or everyone]
        if len(self._parts) > 1 or self._resources.gpus_per_trial:
            rooms.append(self._cluster.capacity() // len(self._parts[0].ranks))
        return max(1, min(rooms))

    def _give_back(self, slots: int) -> None:
        with self._lock:
            idle = [group for group in self._groups.values() if group.idle]
            busy = sum(group.gang is not None for group in self._groups.values())
            leaving = idle[: max(0, len(idle) + busy - slots)]
            peers = [seat.peer for group in leaving for seat in group.seats.values()]
            for group in leaving:
                del self._groups[group.index]
            for peer in peers:
                self._homes.pop(peer, None)
            self._connected.difference_update(peers)
        for peer in peers:
            peer.send({"type": "exit"})

    def _watch_forming(self, now: float, complete: int, slots: int) -> None:
        """Raise when not even one gang's slots have come together in time."""
        if complete or not slots:
            self._incomplete_since = None
            return
        self._incomplete_since = self._incomplete_since or now
        if now - self._incomplete_since < self._layout.forming_timeout:
            return
        with self._lock:
            best = max(self._groups.values(), key=lambda group: len(group.seats))
            hosts = Counter(seat.host for seat in best.seats.values())
        came = ", ".join(f"{host} ({count})" for host, count in sorted(hosts.items())) or "none"
        how = " Spark gives a gang all its slots or none." if self._barrier else ""
        raise SparkUnavailable(
            f"{sum(hosts.values())} of {len(self._members)} members came "
            f"within forming_timeout={self._layout.forming_timeout:g} s (executors that have one: {came}).{how} "
            f"The cluster: {self._cluster.occupancy()}"
        )

    @property
    def free(self) -> int:
        with self._lock:
            return sum(group.idle for group in self._groups.values())

    def submit(self, spec: Spec) -> bool:
        with self._lock:
            group = next((group for group in self._groups.values() if group.idle), None)
            if group is None:
                return False
            gang = group.gang = Gang(spec, self._layout, self._members, group.seats, self._inbox.put)
        gang.begin()
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

    def kill(self, trial_id: str, why: str) -> None:
        for gang in self._gangs(trial_id):
            gang.kill(why)

    def _gangs(self, trial_id: str) -> list[Gang]:
        """That of the trial, while it runs."""
        with self._lock:
            gangs = [group.gang for group in self._groups.values() if group.gang]
        return [gang for gang in gangs if gang.spec.trial_id == trial_id]

    # --- a part's thread

    def _run_job(self, index: int) -> list[str]:
        number, which = divmod(index, len(self._parts))
        part = self._parts[which]
        first = number * len(self._parts[0].ranks)
        gpus = {rank: part.cluster.gpus_of_slot(first + order) for order, rank in enumerate(part.ranks)}
        task = functools.partial(self._task, slot=index, group=number, gpus_by_rank=gpus, driver=self._host)
        while self._barrier and part.cluster.capacity() < len(part.ranks):  # Spark itself would look every 15 s
            if self._closed.wait(0.25):
                return []
        rdd = part.cluster.context.parallelize(part.ranks, len(part.ranks))
        if part.cluster.profile is not None:
            rdd = rdd.withResources(part.cluster.profile)
        return list((rdd.barrier() if self._barrier else rdd).mapPartitions(task).collect())

    # --- the channel's thread

    def _on_message(self, peer: Peer, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            self._on_ready(peer, message)
            return
        with self._lock:
            group, rank = self._homes.get(peer, (None, 0))
            gang = group.gang if group else None
        if gang:
            gang.on_message(rank, message)

    def _on_ready(self, peer: Peer, message: dict[str, Any]) -> None:
        self._seat(peer, message)
        with self._lock:
            group = self._groups.get(message["group"])
            rank = message["rank"]
            if self._closed.is_set() or group is None:
                peer.send({"type": "exit"})
                return
            gpus = tuple(message["gpus"] or ()) if self._members[rank].gpu else ()
            group.seats[rank] = Seat(peer, message["address"], gpus)
            self._homes[peer] = (group, rank)
            self._connected.add(peer)
        self._inbox.put(None)

    def _on_lost(self, peer: Peer) -> None:
        with self._lock:
            self._note_astray(peer)
            self._connected.discard(peer)
            group, rank = self._homes.pop(peer, (None, 0))
            gang = group.gang if group else None
            if group and group.seats.get(rank) and group.seats[rank].peer is peer:
                del group.seats[rank]
        if gang and not self._closed.is_set():
            gang.on_lost(rank)
        self._inbox.put(None)
