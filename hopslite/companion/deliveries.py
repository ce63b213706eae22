"""Deliveries of the followed runs, each in threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ..core.redaction import redact
from ..storage.run_directory import RunDir
from ..track import Tell, deliver
from .priority import be_patient

__all__ = ["Deliveries"]


class Deliveries:
    """Runs that are followed, by number. Used by one thread."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._endings: dict[int, threading.Event] = {}  # of active runs
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def has_active(self) -> bool:
        """True while a run goes on."""
        return bool(self._endings)

    def follow(self, number: int, url: str, trackers: Sequence[str]) -> None:
        """Deliver a run until its end, or soon after."""
        ending = self._endings[number] = threading.Event()
        if not trackers:
            return
        thread = threading.Thread(target=self._deliver, args=(number, url, trackers, ending), daemon=True)
        thread.start()
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]

    def end(self, number: int) -> None:
        """Deliver what a run's journal has, and no more."""
        ending = self._endings.pop(number, None)
        if ending is not None:
            ending.set()

    def end_all(self) -> None:
        """Deliver what the journals have: the driver is gone."""
        for number in list(self._endings):
            self.end(number)

    def join(self) -> None:
        """Wait until all runs are delivered."""
        for thread in self._threads:
            thread.join()

    def _deliver(self, number: int, url: str, trackers: Sequence[str], ending: threading.Event) -> None:
        be_patient()

        def tell(message: dict[str, Any]) -> None:
            self._tell({"run": number, **message})

        delivered = False
        try:
            delivered = deliver(RunDir(url), trackers, ending, tell, wait=True, turn=self._turn)
        except Exception as error:  # noqa: BLE001  the driver must not wait for ever
            tell({"warning": redact(f"tracking failed ({type(error).__name__}: {error})")})
        finally:
            tell({"delivered": delivered})
