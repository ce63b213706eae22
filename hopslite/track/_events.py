"""The event files of a run that is kept elsewhere, in a local directory that TensorBoard can read."""

from __future__ import annotations

import logging
import os
import threading

from ..store import RunDir

__all__ = ["EventFiles"]

log = logging.getLogger(__name__)


class EventFiles:
    """Copies what is added to a run's event files, which only ever grow, to a local directory."""

    def __init__(self, run: RunDir, folder: str) -> None:
        self._run, self._folder = run, folder

    def follow(self, interval: float) -> None:
        """Copy every so many seconds, from a thread, for as long as this process lives."""
        threading.Thread(target=self._follow, args=(interval,), name="hopslite-events", daemon=True).start()

    def update(self) -> None:
        """Copy what is new.

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
