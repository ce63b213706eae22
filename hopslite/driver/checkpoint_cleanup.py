"""Deletion of checkpoints that no trial will go on from, while a run goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from ..search import Search
from ..storage.run_directory import RunDir
from .trial_table import TrialTable

__all__ = ["CheckpointCleanup"]


class CheckpointCleanup:
    """Deletes checkpoints in a thread, because a remote store takes long; those of the best trial are kept.

    It deletes them when the journal has the ends of trials that released them: a driver that resumes the run would run
    trials without a recorded end again, from these checkpoints.

    Args:
        unrecorded: returns the ids of trials whose ends are only in memory.
    """

    def __init__(
        self, directory: RunDir, search: Search, table: TrialTable, unrecorded: Callable[[], set[str]]
    ) -> None:
        self._directory, self._search, self._table, self._unrecorded = directory, search, table, unrecorded
        self._best: str | None = None  # the best trial so far, if its checkpoints are not needed otherwise
        self._waiting: list[tuple[list[str], set[str]]] = []  # released trials, and those whose ends must be recorded
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Delete what the search has released, as far as its reasons are recorded."""
        if not hasattr(self._search, "released"):
            return
        best = self._table.best.id if self._table.best else None
        released = list(self._search.released())
        if self._best not in (None, best):
            released.append(str(self._best))
            self._best = None
        if best in released:
            self._best = best
        unrecorded = self._unrecorded()
        if released:
            self._waiting.append(([trial_id for trial_id in released if trial_id != best], unrecorded))
        while self._waiting and not self._waiting[0][1] & unrecorded:
            for trial_id in self._waiting.pop(0)[0]:
                self._start_deleting(trial_id)

    def close(self, timeout: float) -> None:
        """Wait until all of that is deleted, `timeout` seconds at most."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)

    def _start_deleting(self, trial_id: str) -> None:
        self._queue.put(trial_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._delete, name="hopslite-checkpoints", daemon=True)
            self._thread.start()

    def _delete(self) -> None:
        while (trial_id := self._queue.get()) is not None:
            try:
                self._directory.sub("trials", trial_id, "checkpoints").remove_all()
            except OSError:  # it has none, or the store does not answer: then they stay, as for other algorithms
                continue
