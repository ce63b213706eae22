"""Ctrl-C during a run: it takes effect where the loop waits, so that no finished trial is lost between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Holds SIGINT from `take` until `restore`; in threads other than the main one Python delivers none anyway."""

    def __init__(self) -> None:
        self._before: Any = None
        self._taken = self._waiting = self._pending = self._ignored = False

    def take(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # started with nohup: it stays deaf
            self._before = signal.signal(signal.SIGINT, self._on_signal)
            self._taken = True

    def _on_signal(self, *_: object) -> None:
        if self._ignored:
            return
        if self._waiting or self._pending:  # a second one means it, whatever is going on
            raise KeyboardInterrupt
        self._pending = True

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """An interrupt may come out here; one that came before does so now."""
        self._waiting = True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False

    def ignore(self) -> None:
        self._ignored = True

    def restore(self) -> None:
        if self._taken:
            signal.signal(signal.SIGINT, self._before if self._before is not None else signal.SIG_DFL)
            self._taken = False
