"""Watching a run from a test: waiting for a condition, and a display that keeps what it was told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0


def eventually(look: Callable[[], T], what: str, seconds: float = PATIENCE_S) -> T:
    """The first truthy answer of `look`; a failure that says `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def text_of(path: str | Path) -> str:
    """A file's text; nothing when it is not there (yet)."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def files_below(folder: str | Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*")} if Path(folder).exists() else set()


class Lines:
    """A display that keeps everything; `run_id` is known as soon as the run has begun."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.statuses: list[Any] = []
        self.closed_with: Any = None
        self.logdir = ""
        self.started = threading.Event()

    def start(self, status: Any) -> None:
        self.logdir = status.logdir
        self.started.set()

    def update(self, status: Any) -> None:
        self.statuses.append(status)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def close(self, status: Any, run: Any) -> None:
        self.closed_with = run


class _Background:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - handed on by result()
            self._error = error

    def result(self, seconds: float = PATIENCE_S) -> Any:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the run did not end within {seconds:g} s"
        if self._error is not None:
            raise self._error
        return self._result


@contextmanager
def in_background(call: Callable[[], Any]) -> Iterator[_Background]:
    """Run something beside the test, which must have ended it by the end of the block."""
    running = _Background(call)
    yield running
    running._thread.join(PATIENCE_S)
