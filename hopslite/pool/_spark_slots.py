"""Slots on Spark executors: one long-lived Spark job of a single task per slot, which pulls trials over the channel."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..channel.server import Server, SlotSession
from ..core.types import Event, Spec
from ..errors import InvalidArguments, SparkUnavailable
from ..executor.job_spec import Job
from ..executor.port_reservation import parse_ports
from ..storage.run_directory import RunDir
from . import Resources
from ._backend import Backend, JobNames
from ._job_failures import explain, failed_rank
from ._slot_messages import drain, event_of, lost
from ._spark_backend import SparkBackend
from ._spark_task import run_slot

__all__ = ["SparkSlots"]

log = logging.getLogger(__name__)

RESIZE_SECONDS = 5.0  # between two checks whether the cluster has grown
MAX_START_FAILURES = 3  # jobs in a row that end before their slot has connected


class SparkSlots:
    """Pool on a Spark cluster, or on `local[*]`.

    Each slot is a Spark job of one task, submitted from a thread of its own: a slot that dies does not affect
    others and is started again, by Spark or by a new job. Slots beyond the cluster's size wait in Spark's queue.
    """

    BACKEND: ClassVar[type[Backend]] = SparkBackend

    def __init__(
        self, resources: Resources, spark: Any = None, channel_port: str = "0", **backend_options: Any
    ) -> None:
        self._resources, self._backend_options = resources, backend_options
        self._ports = parse_ports(channel_port, "channel_port")
        self._inbox: queue.SimpleQueue[Event | SparkUnavailable | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards the next five, which the channel's thread changes
        self._idle: deque[SlotSession] = deque()
        self._busy: dict[SlotSession, Spec] = {}
        self._connected: set[SlotSession] = set()
        self._registered: dict[tuple[int, int], SlotSession] = {}  # the latest ready slot, by Spark job and rank
        self._orphaned_jobs: set[int] = set()  # Spark jobs that still run although their slot is lost
        self._slots: dict[int, threading.Thread] = {}
        self._slots_wanted = 0
        self._capacity = 0
        self._next_resize = 0.0
        self._closed = threading.Event()
        try:
            self._connect(spark)
        except Exception:
            backend = getattr(self, "_backend", None)
            if backend is None or backend.stop_reason is None:
                raise
            if spark is not None:
                raise SparkUnavailable("the Spark session was stopped during the call; give another one") from None
            self._connect(None)  # when that session has ended

    def _connect(self, spark: Any) -> None:
        self._backend = self.BACKEND(spark, **self._backend_options)
        unit = self._resources.layout.per if self._resources.layout else "trial"
        try:
            self._cluster = self._backend.cluster(self._resources.cpus_per_trial, self._resources.gpus_per_trial, unit)
            problems = self._check()
            if problems:
                raise InvalidArguments("the cluster", problems)
            self._listen()
        except BaseException:
            self._backend.close()
            raise

    def _listen(self) -> None:
        self._server = Server(self._cluster.bind_address, self._ports, self._on_message, self._on_lost)
        try:
            self._backend.check(self._cluster, self._slot_address)
        except BaseException:
            self._server.close()
            raise
        self.notes = self._backend.notes  # for the user

    @property
    def _slot_address(self) -> tuple[str, int]:
        """The address to which slots connect."""
        return self._cluster.driver_host, self._server.address[1]

    def _check(self) -> list[str]:
        """Reasons why trials could never run here; empty when they can."""
        return self._cluster.problems()

    # --- the pool's interface

    @property
    def facts(self) -> dict[str, Any]:
        return self._backend.facts

    def start(self, job: Job, label: str, on_event: Callable[[Event], None]) -> None:
        self._job, self._label = job, label
        self._task = functools.partial(
            run_slot,
            address=self._slot_address,
            key=self._server.key,
            job=job,
            trials_per_gpu=self._cluster.trials_per_gpu,
            relay=self._backend.start_relay(RunDir(job.run_url), self._server),
        )
        self._group = f"hopslite-{job.run_id}"

    def want(self, slots: int) -> None:
        try:
            self._resize(slots)
        except Exception:
            if reason := self._backend.stop_reason:
                raise SparkUnavailable(reason) from None
            raise

    def _resize(self, slots: int) -> None:
        self._check_session()
        self._cancel_orphaned_jobs()
        now = time.monotonic()
        if slots > self._slots_wanted or now >= self._next_resize:
            self._next_resize = now + RESIZE_SECONDS
            parallelism = self._resources.parallelism
            if parallelism is None or self._cluster.local:
                capacity = self._cluster.capacity()
                self._capacity = min(parallelism or capacity, capacity)
            else:
                self._capacity = parallelism
        self._slots_wanted = slots
        for index in range(min(slots, self._capacity)):
            if len(self._slots) >= min(slots, self._capacity):
                break
            if index not in self._slots:
                self._start_slot(index)
        self._release_idle_slots(slots)

    def _check_session(self) -> None:
        if self._backend.closed:
            raise SparkUnavailable(self._backend.stop_reason or "the Spark session was closed")

    def _cancel_orphaned_jobs(self) -> None:
        """Cancel the Spark jobs of slots that were given up, which still hold their cores."""
        with self._lock:
            orphaned_jobs, self._orphaned_jobs = self._orphaned_jobs, set()
        for index in orphaned_jobs:
            with contextlib.suppress(Exception):  # the session may be stopped
                self._backend.cancel(self._names(index).tag)

    def _names(self, index: int) -> JobNames:
        return JobNames(self._group, f"{self._group}-slot-{index}", f"{self._label} | slot {index}")

    def _start_slot(self, index: int) -> None:
        thread = threading.Thread(
            target=self._run_slot_thread, args=(index,), name=f"hopslite-slot-{index}", daemon=True
        )
        self._slots[index] = thread
        thread.start()

    def _release_idle_slots(self, slots: int) -> None:
        """End idle slots that have no more work, so that others can have their cores."""
        with self._lock:
            surplus = len(self._connected) - slots
            released = [self._idle.pop() for _ in range(min(surplus, len(self._idle)))] if surplus > 0 else []
            self._connected.difference_update(released)
        for session in released:
            session.send({"type": "exit"})

    @property
    def free(self) -> int:
        return len(self._idle)

    @property
    def size(self) -> int:
        return len(self._connected)

    @property
    def width(self) -> int:
        """Number of trials that run side by side, including slots that Spark is about to start."""
        return len(self._connected) if self._cluster.dynamic else self._capacity

    def submit(self, spec: Spec) -> bool:
        with self._lock:
            if not self._idle:
                return False
            session = self._idle.popleft()
            self._busy[session] = spec
        session.send({"type": "run", "spec": spec.to_json()})
        return True

    def wait(self, timeout: float) -> Sequence[Event]:
        return drain(self._inbox, timeout)

    def stop(self, trial_id: str, why: str) -> None:
        self._send_for_trial({"type": "stop", "trial": trial_id, "why": why})

    def answer(self, event: Event, answer: dict[str, Any]) -> None:
        self._send_for_trial({"type": "answer", "trial": event.trial, "answer": answer})

    def kill(self, trial_id: str, why: str) -> None:
        self._send_for_trial({"type": "kill", "trial": trial_id, "why": why})

    def _send_for_trial(self, message: dict[str, Any]) -> None:
        with self._lock:
            sessions = [session for session, spec in self._busy.items() if spec.trial_id == message["trial"]]
        for session in sessions:
            session.send(message)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        with self._lock:
            sessions = list(self._connected)
        for session in sessions:
            session.send({"type": "exit"})
        self._await_slots(2.0)
        if any(thread.is_alive() for thread in list(self._slots.values())):
            with contextlib.suppress(Exception):  # the session may be stopped
                self._backend.cancel_group(self._group)
            self._await_slots(1.0 if self._backend.closed else 10.0)
        self._server.close()
        self._backend.close()

    def _await_slots(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for thread in list(self._slots.values()):
            thread.join(max(0.0, end - time.monotonic()))

    # --- a slot's thread

    def _run_slot_thread(self, index: int) -> None:
        """Submit the slot's job, and again when it fails for a reason outside of trials."""
        failures = 0
        while not self._closed.is_set():
            started, was_connected = time.monotonic(), False
            try:
                try:
                    problems = self._run_job(index)
                except Exception as error:
                    was_connected = self._unregister(index, failed_rank(error))
                    raise
                was_connected = self._unregister(index)
                if not problems or self._closed.is_set():
                    break
                raise SparkUnavailable(f"{problems[0]}; {self._backend.how_to_reach}")
            except Exception as error:  # noqa: BLE001 - Py4J and gRPC raise anything; a slot's failure must not end the run
                if self._closed.wait(0.5):  # the run is ending, or an interrupt has cancelled Spark's jobs
                    break
                if reason := self._backend.stop_reason:
                    self._inbox.put(SparkUnavailable(reason))
                    break
                failures = 0 if was_connected else failures + 1 if time.monotonic() - started < 60 else 1
                problem = explain(error)
                log.warning("slot %d failed: %s", index, problem)
                if failures >= MAX_START_FAILURES and not self._connected:
                    self._inbox.put(self._backend.start_failure(self._cluster, problem))
                    break
                self._closed.wait(min(2.0**failures, 30.0))
        if not self._closed.is_set():
            del self._slots[index]

    def _run_job(self, index: int) -> list[str]:
        """Run the slot's job to its end; returns the reasons why the slot could not serve, if any."""
        task = functools.partial(self._task, slot=index, gpus=self._cluster.gpus_of_slot(index))
        return self._backend.run(self._cluster, task, [index], barrier=False, names=self._names(index))

    def _unregister(self, index: int, failed: int | None = None) -> bool:
        """Drop the sessions of a job whose tasks have ended; returns True if there were any.

        Args:
            failed: the rank of the slot that made the others fail, if Spark names it; its session is dropped first.
        """
        with self._lock:
            positions = sorted((at for at in self._registered if at[0] == index), key=lambda at: at[1] != failed)
            sessions = [self._registered.pop(position) for position in positions]
            self._orphaned_jobs.discard(index)
        for session in sessions:
            session.request_drop()
        return bool(sessions)

    # --- the channel's thread

    def _register(self, session: SlotSession, message: dict[str, Any]) -> None:
        """Note the position of a ready slot, which replaces a lost one that Spark has started again."""
        position = (message["slot"], message.get("rank", 0))
        with self._lock:
            predecessor = self._registered.get(position)
            self._registered[position] = session
        if predecessor is not None:
            predecessor.drop()

    def _note_orphaned_job(self, session: SlotSession) -> None:
        """Note that the job of a lost slot may still run; `_lock` is held.

        A slot that has said goodbye ends its job itself.
        """
        if not session.said_goodbye:
            self._orphaned_jobs.update(job for (job, _), seated in self._registered.items() if seated is session)

    def _on_message(self, session: SlotSession, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "ready" and self._closed.is_set():
            session.send({"type": "exit"})
        elif kind == "ready":
            self._register(session, message)
            with self._lock:
                self._connected.add(session)
                self._idle.append(session)
            self._inbox.put(None)
        elif kind == "ended":
            with self._lock:
                spec = self._busy.pop(session, None)
                if message.get("paused"):
                    session.paused = True
                else:
                    self._idle.append(session)
            if spec is not None:
                self._inbox.put(Event("ended", time.time(), spec.trial_id, message["result"]))
        else:
            if kind == "room":
                with self._lock:
                    if session.paused:  # the message may have come during its trial
                        session.paused = False
                        self._idle.append(session)
            if event := event_of(message, str(id(session))):
                self._inbox.put(event)

    def _on_lost(self, session: SlotSession) -> None:
        with self._lock:
            self._note_orphaned_job(session)
            self._connected.discard(session)
            if session in self._idle:
                self._idle.remove(session)
            spec = self._busy.pop(session, None)
        self._inbox.put(Event("room", time.time(), None, {"slot": str(id(session))}))
        if spec is None or self._closed.is_set():
            return
        self._inbox.put(lost(spec.trial_id))
