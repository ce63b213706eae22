"""Local copies of a remote run's event files, for TensorBoard."""

from __future__ import annotations

import logging
import os
import threading

from ..storage.run_directory import RunDir

__all__ = ["EventFiles"]

log = logging.getLogger(__name__)


class EventFiles:
    """Copies growing event files of a run to a local directory, incrementally."""

    def __init__(self, run: RunDir, folder: str) -> None:
        self._run, self._folder = run, folder

    def follow(self, interval: float) -> None:
        """Update the copies periodically, from a thread, until this process ends."""
        threading.Thread(target=self._follow, args=(interval,), name="hopslite-events", daemon=True).start()

    def update(self) -> None:
        """Copy new bytes of all event files.

        Raises:
            OSError: the run, or the local directory, does not answer; the next call goes on from there.
        """
        for name, size in self._run.sizes().items():
            if "tfevents" in os.path.basename(name) and ".." not in name.split("/"):
                self._append(name, size)

    def _append(self, name: str, size: int) -> None:
        path = os.path.join(self._folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as file:
            there = file.tell()
            if size > there:
                file.write(self._run.read_bytes(name, there, size))

    def _follow(self, interval: float) -> None:
        pause = threading.Event()
        while True:
            try:
                self.update()
            except OSError as error:
                log.debug("event files could not be read just now: %s", error)
            pause.wait(interval)
