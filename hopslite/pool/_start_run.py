"""Pool for `start_run`: its only trial is code of the driver that is running already, in any thread."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..core.types import Event, Result, Spec, json_safe
from ..executor.job_spec import Job

__all__ = ["DriverCodePool"]


class DriverCodePool:
    """A single slot, occupied by code of the driver until that code ends the run.

    The driver's loop runs in a thread of its own and calls the methods of a pool; the code's thread calls `trial`,
    `report`, `end` and `interrupt`.
    """

    in_process = True

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | KeyboardInterrupt] = queue.SimpleQueue()
        self._spec: Spec | None = None
        self._is_submitted = threading.Event()
        self._job: Job | None = None

    # --- for the code

    def trial(self, patience: float) -> tuple[Job, Spec] | None:
        """The job and the trial that represent the code, once the run has begun; None after `patience` seconds."""
        if not self._is_submitted.wait(patience):
            return None
        assert self._job is not None
        assert self._spec is not None
        return self._job, self._spec

    def report(self, report: dict[str, Any]) -> None:
        assert self._spec is not None
        self._put("report", {**report, "attempt": self._spec.attempt})

    def end(self, result: Result) -> None:
        """Report the result of the code."""
        self._put("ended", dict(json_safe(result.to_json())))

    def interrupt(self, why: str = "") -> None:
        """End the run as KILLED."""
        self._events.put(KeyboardInterrupt(why))

    def _put(self, kind: str, data: dict[str, Any]) -> None:
        assert self._spec is not None
        self._events.put(Event(kind, time.time(), self._spec.trial_id, data))

    # --- for the loop

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def start(self, job: Job, label: str, on_event: Callable[[Event], None]) -> None:
        self._job = job

    def want(self, slots: int) -> None:
        pass

    @property
    def free(self) -> int:
        return 0 if self._spec else 1

    @property
    def size(self) -> int:
        return 1

    def submit(self, spec: Spec) -> bool:
        self._spec = spec
        self._put("started", {"slot": 0, "host": socket.gethostname(), "gpus": None})
        self._is_submitted.set()
        return True

    def wait(self, timeout: float) -> Sequence[Event]:
        """Events that arrived within the timeout.

        Raises:
            KeyboardInterrupt: the code was interrupted.
        """
        events: list[Event | KeyboardInterrupt] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=timeout) if timeout else self._events.get_nowait())
            while True:
                events.append(self._events.get_nowait())
        interrupts = [event for event in events if isinstance(event, KeyboardInterrupt)]
        trial_events = [event for event in events if isinstance(event, Event)]
        if interrupts:
            for event in trial_events:  # for the next call
                self._events.put(event)
            raise interrupts[0]
        return trial_events

    def stop(self, trial_id: str, why: str) -> None:
        pass

    def answer(self, event: Event, answer: dict[str, Any]) -> None:
        pass

    def kill(self, trial_id: str, why: str) -> None:
        pass

    def close(self) -> None:
        pass
