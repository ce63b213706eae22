"""Messages of slots as events for the loop of a run."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import Any

from ..core.types import Event, Result, State
from ..errors import SparkUnavailable

__all__ = ["drain", "event_of", "lost"]

_FIELDS = {
    "started": ("slot", "host", "gpus"),
    "report": ("step", "value", "metrics", "attempt"),
    "output": ("lines",),
    "ask": ("request", "attempt"),
    "no_room": ("host", "problem"),
    "room": (),
}


def event_of(message: dict[str, Any], slot: str) -> Event | None:
    """The event for a message; None if it is for the pool only.

    Args:
        slot: a name of the slot, for events that belong to no trial.
    """
    kind = message["type"]
    if kind == "sample":
        return Event(kind, time.time(), message["trial"], message["metrics"])
    if kind not in _FIELDS:
        return None
    data = {name: message[name] for name in _FIELDS[kind] if name in message}
    if kind in ("no_room", "room"):
        return Event(kind, time.time(), None, {"slot": slot, **data})
    return Event(kind, time.time(), message["trial"], data)


def lost(trial_id: str) -> Event:
    """The end of a trial whose slot was lost."""
    error = "the slot was lost while the trial ran (the executor died, or the network was cut)"
    result = Result(trial_id, State.FAILED, error=error, cause="lost", started=time.time())
    return Event("ended", time.time(), trial_id, result.to_json())


def drain(inbox: queue.SimpleQueue[Event | SparkUnavailable | None], timeout: float) -> list[Event]:
    """All events of a queue, after a wait for the first item; None only wakes who waits.

    Raises:
        SparkUnavailable: it is in the queue, and no event before it.
    """
    events: list[Event] = []
    with contextlib.suppress(queue.Empty):
        item = inbox.get(timeout=timeout) if timeout > 0 else inbox.get_nowait()
        while True:
            if isinstance(item, SparkUnavailable):
                if events:  # events before the failure count
                    inbox.put(item)
                    break
                raise item
            if item is not None:
                events.append(item)
            item = inbox.get_nowait()
    return events
