"""Watching a run from a test: waiting for a condition, and a display that keeps what it was told."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

PATIENCE_S = 600.0  # many times what anything takes on a busy machine; a test itself has 900 s


def eventually(look: Callable[[], T], description: str, seconds: float = PATIENCE_S) -> T:
    """The first truthy answer of `look`; a failure that says `description` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {description}")
        time.sleep(0.02)


def end(process: subprocess.Popen[Any], seconds: float = PATIENCE_S, by: signal.Signals | None = None) -> None:
    """Wait for a process to end, of itself or by a signal to its group; when that takes too long the group is killed.

    How long a program needs to end says how busy the machine is, and nothing about what is tested.
    """
    if by is not None:
        _signal(process, by)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    """Send a signal to a process, and to its group where it leads one."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


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


def executor() -> psutil.Process:
    """The JVM in which this trial's slot is.

    The warm server above a trial may have outlived the Python worker that has started it, and is an orphan then; it has
    kept the executor's working directory.
    """
    fork_server = psutil.Process().parent()
    assert fork_server is not None
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_executor = any("CoarseGrainedExecutorBackend" in part for part in process.cmdline())
            if is_executor and process.cwd() == fork_server.cwd():
                return process
    raise AssertionError(f"no executor works in {fork_server.cwd()}")
