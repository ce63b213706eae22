"""SIGTERM to a process that waits for a program."""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType

__all__ = ["TerminationSignal"]


class TerminationSignal:
    """SIGTERM as a file descriptor that becomes readable, so that the process is not ended by it while this is entered.

    Where the signal has a handler already, or in another thread than the main one, it stays as it is.
    """

    def __enter__(self) -> TerminationSignal:
        self.is_set = False
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        is_main = threading.current_thread() is threading.main_thread()
        self._is_installed = is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._is_installed:
            signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._reading)
        os.close(self._writing)

    def fileno(self) -> int:
        return self._reading

    def _on_signal(self, number: int, frame: object) -> None:
        if not self.is_set:
            self.is_set = True
            os.write(self._writing, b".")
