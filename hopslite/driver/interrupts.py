"""SIGINT (Ctrl-C) during a run: raised only where the loop waits, so that no finished trial is lost between two steps.

If the exception of an interrupted run is not caught, it is printed in one line: a traceback would show where the loop
waited.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ..errors import RunInterrupted

__all__ = ["Interrupts", "show_in_one_line"]


class Interrupts:
    """Handler of SIGINT between `install` and `restore`; threads other than the main one receive no signals."""

    def __init__(self) -> None:
        self._previous_handler: Any = None
        self._installed = self._waiting = self._pending = self._ignored = False

    def install(self) -> None:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if (
            in_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ):  # SIGINT is ignored, as with nohup, and stays so
            self._previous_handler = signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True

    def _on_signal(self, *_: object) -> None:
        if self._ignored and not self._waiting:
            return
        if self._waiting or self._pending:  # a second one interrupts anything
            raise KeyboardInterrupt
        self._pending = True

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise an interrupt in this block; a pending one is raised at once."""
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
        if self._installed:
            signal.signal(
                signal.SIGINT, self._previous_handler if self._previous_handler is not None else signal.SIG_DFL
            )
            self._installed = False


def show_in_one_line() -> None:
    """Have the interpreter print the exception of an interrupted run without a traceback.

    The program's own hook gets all other exceptions. Notebooks use a method of the exception instead.
    """
    previous_hook = sys.excepthook
    if getattr(previous_hook, "shows_interrupted_runs", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, RunInterrupted):
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone
                sys.stderr.write(f"{kind.__module__}.{kind.__qualname__}: {error}\n")
        else:
            previous_hook(kind, error, trace)

    hook.shows_interrupted_runs = True  # type: ignore[attr-defined]
    sys.excepthook = hook
