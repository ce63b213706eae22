"""Completion of a run's record at its end, also while its storage cannot be written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..core.types import State
from ..errors import RunDeleted, RunTakenOver, StorageUnavailable
from ..result import Run
from .recorder import Recorder
from .storage_monitor import StorageMonitor

__all__ = ["Completion", "complete_record"]


@dataclasses.dataclass(frozen=True)
class Completion:
    """Outcome of the attempt to complete a record.

    `failure` is None if the record is complete. `problem` is the reason why no further attempt was made.
    """

    failure: OSError | None
    problem: StorageUnavailable | RunDeleted | RunTakenOver | None = None


def complete_record(
    recorder: Recorder,
    storage: StorageMonitor,
    result: Run,
    final_record: dict[str, Any],
    backoff: Callable[[], None],
) -> Completion:
    """Complete the record, waiting for free space within the run's patience."""
    failure = recorder.complete(result, final_record)
    if failure is None or result.state is State.KILLED:
        return Completion(failure)
    try:
        storage.retry_until_success(failure, lambda: recorder.complete(result, final_record), backoff)
    except KeyboardInterrupt:
        text = f"it was interrupted while its end could not be recorded: {failure}"
        return Completion(failure, StorageUnavailable(text))
    except (StorageUnavailable, RunDeleted, RunTakenOver) as problem:
        return Completion(failure, problem)
    return Completion(None)
