"""Snapshot of the program in the background, which neither precedes nor delays a run's first trial."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

__all__ = ["BackgroundSnapshot"]

log = logging.getLogger(__name__)

LATEST_SECONDS = 1.0  # without a trial it begins then, since a program changes while its run waits for a cluster


class BackgroundSnapshot:
    """Thread that calls `save` once the first trial has begun, or after a second; `save` returns what failed."""

    def __init__(self, save: Callable[[], list[str]]) -> None:
        self._save = save
        self._may_begin = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hopslite-snapshot", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> None:
        """Take the snapshot now; no operation when it has begun."""
        self._may_begin.set()

    def join(self, timeout: float) -> None:
        """Wait for the snapshot if the thread was started, at most `timeout` seconds."""
        self.begin()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        self._may_begin.wait(LATEST_SECONDS)
        for problem in self._save():
            log.warning(problem)
