"""Slots on Spark executors: one long-lived single-task job per slot, which pulls trials over the channel."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .._trial import Event, Result, Spec, State
from ..errors import InvalidArguments, SparkUnavailable
from ..runtime.job import Job
from ..runtime.ports import parse_ports
from . import Resources
from ._channel import Peer, Server
from ._session import Cluster, session
from ._task import run_slot

__all__ = ["Spark"]

log = logging.getLogger(__name__)

RESIZE_SECONDS = 5.0  # how often the cluster is asked whether it has grown
HOW_TO_REACH = "executors must reach spark.driver.host on the ports of channel_port (HOPSLITE_CHANNEL_PORT)"
STOPPED = "the Spark session was stopped while the run went on"
MAX_START_FAILURES = 3  # jobs in a row that end without a slot having connected


class Spark:
    """A pool on a Spark cluster, or on `local[*]`.

    Each slot is a Spark job of one task, submitted from a thread of its own: a slot that dies takes nothing else down
    and is started again, by Spark or by a new job. Slots beyond the cluster's size wait in Spark's queue.
    """

    def __init__(self, resources: Resources, spark: Any = None, channel_port: str = "0") -> None:
        self.session = session(spark)
        self._resources = resources
        per = resources.layout.per if resources.layout else "trial"
        self._cluster = Cluster(self.session, resources.cpus_per_trial, resources.gpus_per_trial, per)
        problems = self._check()
        if problems:
            raise InvalidArguments("the cluster", problems)
        ports = parse_ports(channel_port, "channel_port")
        self._inbox: queue.SimpleQueue[Event | SparkUnavailable | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards the next five, which the channel's thread changes
        self._idle: deque[Peer] = deque()
        self._busy: dict[Peer, Spec] = {}
        self._connected: set[Peer] = set()
        self._seated: dict[tuple[int, int], Peer] = {}  # by Spark job and rank: who was the last to be ready there
        self._astray: set[int] = set()  # Spark jobs that run on although their slot is lost
        self._slots: dict[int, threading.Thread] = {}
        self._wanted = 0
        self._capacity = 0
        self._next_resize = 0.0
        self._closed = threading.Event()
        self._host = "127.0.0.1" if self._cluster.local else self._cluster.conf("spark.driver.host")
        self._server = Server(self._bind_address(), ports, self._on_message, self._on_lost)

    @staticmethod
    def GANGS() -> type[Spark]:
        from ._spark_gangs import SparkGangs

        return SparkGangs

    def _check(self) -> list[str]:
        """Why trials could never run here; nothing when they can."""
        return self._cluster.problems()

    # --- the pool's interface

    @property
    def facts(self) -> dict[str, Any]:
        context = self._cluster.context
        return {
            "application_id": context.applicationId,
            "master": context.master,
            "version": context.version,
            "ui": context.uiWebUrl,
            "conf": dict(context.getConf().getAll()),
        }

    def start(self, job: Job, label: str, tell: Callable[[Event], None]) -> None:
        self._job, self._label = job, label
        self._task = functools.partial(
            run_slot, address=(self._host, self._server.address[1]), key=self._server.key, job=job
        )
        self._group = f"hopslite-{job.run_id}"

    def _bind_address(self) -> str:
        host = self._host
        bind = host if self._cluster.local else self._cluster.conf("spark.driver.bindAddress", host)
        return host if bind in ("0.0.0.0", "::") and _is_ours(host) else bind

    def want(self, slots: int) -> None:
        self._alive()
        self._end_astray()
        now = time.monotonic()
        if slots > self._wanted or now >= self._next_resize:
            self._next_resize = now + RESIZE_SECONDS
            self._capacity = self._resources.parallelism or self._cluster.capacity()
            if self._cluster.local:
                self._capacity = min(self._capacity, self._cluster.capacity())
        self._wanted = slots
        for index in range(min(slots, self._capacity)):
            if len(self._slots) >= min(slots, self._capacity):
                break
            if index not in self._slots:
                self._begin_slot(index)
        self._give_back(slots)

    def _alive(self) -> None:
        if self._cluster.context._jsc is None:
            raise SparkUnavailable(STOPPED)

    def _end_astray(self) -> None:
        """Have Spark end slots that were given up, and what they run, and start them again: they hold their cores."""
        with self._lock:
            astray, self._astray = self._astray, set()
        for index in astray:
            with contextlib.suppress(Exception):  # the context may be stopped
                self._cluster.context.cancelJobsWithTag(self._tag(index))

    def _tag(self, index: int) -> str:
        return f"{self._group}-slot-{index}"

    def _begin_slot(self, index: int) -> None:
        thread = threading.Thread(target=self._keep_slot, args=(index,), name=f"hopslite-slot-{index}", daemon=True)
        self._slots[index] = thread
        thread.start()

    def _give_back(self, slots: int) -> None:
        """Let idle slots go that there is no more work for, so that others can have the cores."""
        with self._lock:
            surplus = len(self._connected) - slots
            leaving = [self._idle.pop() for _ in range(min(surplus, len(self._idle)))] if surplus > 0 else []
            self._connected.difference_update(leaving)
        for peer in leaving:
            peer.send({"type": "exit"})

    @property
    def free(self) -> int:
        return len(self._idle)

    @property
    def size(self) -> int:
        return len(self._connected)

    def submit(self, spec: Spec) -> bool:
        with self._lock:
            if not self._idle:
                return False
            peer = self._idle.popleft()
            self._busy[peer] = spec
        peer.send({"type": "run", "spec": spec.to_json()})
        return True

    def wait(self, timeout: float) -> Sequence[Event]:
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            item = self._inbox.get(timeout=timeout) if timeout > 0 else self._inbox.get_nowait()
            while True:
                if isinstance(item, SparkUnavailable):
                    if events:  # what came before it counts
                        self._inbox.put(item)
                        break
                    raise item
                if item is not None:
                    events.append(item)
                item = self._inbox.get_nowait()
        return events

    def stop(self, trial_id: str, why: str) -> None:
        self._order({"type": "stop", "trial": trial_id, "why": why})

    def kill(self, trial_id: str, why: str) -> None:
        self._order({"type": "kill", "trial": trial_id, "why": why})

    def _order(self, message: dict[str, Any]) -> None:
        with self._lock:
            peers = [peer for peer, spec in self._busy.items() if spec.trial_id == message["trial"]]
        for peer in peers:
            peer.send(message)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        with self._lock:
            peers = list(self._connected)
        for peer in peers:
            peer.send({"type": "exit"})
        self._await_slots(2.0)
        if any(thread.is_alive() for thread in list(self._slots.values())):
            with contextlib.suppress(Exception):  # the context may be stopped
                self._cluster.context.cancelJobGroup(self._group)
            self._await_slots(10.0)
        self._server.close()

    def _await_slots(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for thread in list(self._slots.values()):
            thread.join(max(0.0, end - time.monotonic()))

    # --- a slot's thread

    def _keep_slot(self, index: int) -> None:
        """Submit the slot's job, and again when it fails for a reason outside of trials."""
        context = self._cluster.context
        context.setJobGroup(self._group, f"{self._label} | slot {index}", interruptOnCancel=False)
        context.addJobTag(self._tag(index))
        failures = 0
        while not self._closed.is_set():
            began, served = time.monotonic(), False
            try:
                try:
                    complaints = self._run_job(index)
                except Exception as error:
                    served = self._unseat(index, _failed_rank(error))
                    raise
                served = self._unseat(index)
                if not complaints or self._closed.is_set():
                    break
                raise SparkUnavailable(f"{complaints[0]}; {HOW_TO_REACH}")
            except Exception as error:  # noqa: BLE001 - Py4J raises anything; a slot's failure must not end the run
                if self._closed.wait(0.5):  # the run is ending, or an interrupt has cancelled Spark's jobs
                    break
                if context._jsc is None:
                    self._inbox.put(SparkUnavailable(STOPPED))
                    break
                failures = 0 if served else failures + 1 if time.monotonic() - began < 60 else 1
                problem = _explain(error)
                log.warning("slot %d failed: %s", index, problem)
                if failures >= MAX_START_FAILURES and not self._connected:
                    self._inbox.put(SparkUnavailable(f"no slot could be started on {context.master}: {problem}"))
                    break
                self._closed.wait(min(2.0**failures, 30.0))
        if not self._closed.is_set():
            del self._slots[index]

    def _run_job(self, index: int) -> list[str]:
        """Run the slot's job to its end; returns why it could not serve, if it could not."""
        task = functools.partial(self._task, slot=index, gpus=self._cluster.gpus_of_slot(index))
        rdd = self._cluster.context.parallelize([index], 1)
        if self._cluster.profile is not None:
            rdd = rdd.withResources(self._cluster.profile)
        return list(rdd.mapPartitions(task).collect())

    def _unseat(self, index: int, failed: int | None = None) -> bool:
        """The slots of this job are gone: nobody will resume their sessions. Returns whether there were any.

        Args:
            failed: the rank of the slot that took the others with it, where Spark says so; it is told first.
        """
        with self._lock:
            gone = sorted((place for place in self._seated if place[0] == index), key=lambda place: place[1] != failed)
            peers = [self._seated.pop(place) for place in gone]
            self._astray.discard(index)
        for peer in peers:
            peer.cut()
        return bool(peers)

    # --- the channel's thread

    def _seat(self, peer: Peer, message: dict[str, Any]) -> None:
        """Note whose place a ready slot takes: Spark starts one again that it has lost."""
        place = (message["slot"], message.get("rank", 0))
        with self._lock:
            before = self._seated.get(place)
            self._seated[place] = peer
        if before is not None:
            before.drop()

    def _note_astray(self, peer: Peer) -> None:
        """A slot is lost whose job may go on; `_lock` is held. One that leaves ends its job itself."""
        if not peer.leaves:
            self._astray.update(job for (job, _), seated in self._seated.items() if seated is peer)

    def _on_message(self, peer: Peer, message: dict[str, Any]) -> None:
        kind, now = message["type"], time.time()
        trial = message.get("trial")
        if kind == "ready" and self._closed.is_set():
            peer.send({"type": "exit"})
        elif kind == "ready":
            self._seat(peer, message)
            with self._lock:
                self._connected.add(peer)
                self._idle.append(peer)
            self._inbox.put(None)
        elif kind == "started":
            self._inbox.put(Event("started", now, trial, {"host": message["host"], "gpus": message["gpus"]}))
        elif kind == "report":
            report = {name: message[name] for name in ("step", "value", "attempt")}
            self._inbox.put(Event("report", now, trial, report))
        elif kind == "output":
            self._inbox.put(Event("output", now, trial, {"lines": message["lines"]}))
        elif kind == "sample":
            self._inbox.put(Event("sample", now, trial, message["metrics"]))
        elif kind == "ended":
            with self._lock:
                spec = self._busy.pop(peer, None)
                self._idle.append(peer)
            if spec is not None:
                self._inbox.put(Event("ended", now, spec.trial_id, message["result"]))

    def _on_lost(self, peer: Peer) -> None:
        with self._lock:
            self._note_astray(peer)
            self._connected.discard(peer)
            if peer in self._idle:
                self._idle.remove(peer)
            spec = self._busy.pop(peer, None)
        if spec is None or self._closed.is_set():
            self._inbox.put(None)
            return
        error = "the slot was lost while the trial ran (the executor died, or the network was cut)"
        result = Result(spec.trial_id, State.FAILED, error=error, cause="lost", started=time.time())
        self._inbox.put(Event("ended", time.time(), spec.trial_id, result.to_json()))


def _is_ours(host: str) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _failed_rank(error: BaseException) -> int | None:
    """Which task of a barrier job failed; Spark ends its other tasks, whose connections may break before."""
    found = re.search(r"barrier task ResultTask\(\d+, (\d+)\)", str(getattr(error, "java_exception", "") or error))
    return int(found[1]) if found else None


def _explain(error: BaseException) -> str:
    """The line of a Spark failure that says what happened."""
    text = str(getattr(error, "java_exception", "") or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "No module named 'hopslite'" in text:
        return "hopslite is not installed where the executors' Python is; install it there, or ship it with --py-files"
    errors = [line for line in lines if "Error" in line.split(":")[0] and not line.startswith(("at ", "File "))]
    return (errors[-1] if errors else lines[0] if lines else type(error).__name__)[:500]
