"""Delivery of one run to several trackers, by one process at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import HopsliteError
from ..storage.run_directory import RunDir
from ._base import Context, redact
from ._delivery import Delivery

__all__ = ["Tell", "deliver"]

Tell = Callable[[dict[str, Any]], None]

REMOTE_POLL_SECONDS = 2.0
LOCAL_POLL_SECONDS = 0.25


def deliver(
    run: RunDir,
    trackers: Sequence[str],
    ending: threading.Event,
    tell: Tell,
    wait: bool = False,
    turn: contextlib.AbstractContextManager[Any] | None = None,
) -> bool:
    """Deliver a run's journal until `ending` is set and all of it is delivered; returns False if some could not be.

    Args:
        tell: gets statuses, and warnings as `{"warning": line}`.
        wait: wait for another process that delivers the run, instead of failing.
        turn: as for `Context`.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")

    def warn(line: str) -> None:
        tell({"warning": redact(line, uri)})

    try:
        with _only_one(run, wait):
            return _deliver_to_all(Context(run, uri, tell, warn, turn or contextlib.nullcontext()), trackers, ending)
    except (HopsliteError, OSError) as error:
        warn(f"{type(error).__name__}: {error}")
        return False


def _deliver_to_all(context: Context, trackers: Sequence[str], ending: threading.Event) -> bool:
    interval = LOCAL_POLL_SECONDS if context.run.is_local else REMOTE_POLL_SECONDS
    deliveries = [Delivery(name, context, ending, interval) for name in dict.fromkeys(trackers)]
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join()
    return all(delivery.delivered for delivery in deliveries)


@contextlib.contextmanager
def _only_one(run: RunDir, wait: bool) -> Iterator[None]:
    """Lock a local run, so that two processes cannot both create it at a tracker."""
    if not run.is_local:
        yield
        return
    from filelock import FileLock, Timeout  # not by the driver, which imports this module

    lock = FileLock(run.path(".tracking.lock"), timeout=-1 if wait else 0)
    try:
        hold = lock.acquire()
    except Timeout:
        raise HopsliteError(f"another process is delivering {run.url} to the trackers now; try again later") from None
    with hold:
        yield
