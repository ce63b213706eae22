"""A program's process: started in its folder, followed until its end, and ended when the trial is to end."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import CommandFailed, TrialStopped
from ..executor.context import current_reporter
from .event_files import EventFiles
from .metrics import ProgramMetrics
from .processes import Family, has_ended, output
from .termination import TerminationSignal

if TYPE_CHECKING:
    from .mlflow_stub import MlflowCalls

__all__ = ["Program", "Terminated"]

LONGEST = 1 << 16  # characters of a line that may be a metric
SAID = 200  # characters of the last line that a program wrote


class Terminated(BaseException):
    """This process got SIGTERM, and its program has ended."""


@dataclasses.dataclass(frozen=True)
class Program:
    """Program with its command line.

    Args:
        name: how messages call it.
        line: the words of its command line.
        folder: its working directory.
    """

    name: str
    line: list[str]
    folder: str
    environment: Mapping[str, str] = dataclasses.field(repr=False)

    def run(self, metrics: ProgramMetrics, events: EventFiles, calls: MlflowCalls, stop_grace: float) -> None:
        """Run the program until it ends, or until the trial is to end.

        In the latter case it gets SIGTERM, and is killed after `stop_grace` seconds; its output and metrics are read
        until then.

        Raises:
            CommandFailed: it cannot be started, or ends with another exit status than 0.
            TrialStopped: the trial was stopped early.
            Terminated: this process was asked to end.
        """
        with TerminationSignal() as termination, self._started() as process:
            follower = _Follower(process, metrics, events, calls)
            try:
                follower.follow(termination)
            except BaseException:
                follower.end(stop_grace)
                raise
        if process.returncode:
            outcome = f"exit status {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
            raise CommandFailed(f"{self.name} ended with {outcome}{follower.last_words}")

    def _started(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.line,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise CommandFailed(f"{self.name} cannot be started: {error.strerror or error}") from None


class _Follower:
    """Reader of what a program writes: its output goes to the log, its metrics are taken from it."""

    def __init__(
        self, process: subprocess.Popen[bytes], metrics: ProgramMetrics, events: EventFiles, calls: MlflowCalls
    ) -> None:
        self._process, self._metrics, self._events, self._calls = process, metrics, events, calls
        self._unfinished = self._said = b""

    @property
    def last_words(self) -> str:
        """The last line of the output, for messages."""
        return f": {self._said[-SAID:].decode(errors='replace')}" if self._said else ""

    def follow(self, termination: TerminationSignal) -> None:
        """Read until the program ends.

        Raises:
            TrialStopped: the trial is to stop.
            Terminated: this process is to end.
        """

        def look() -> None:
            self._look()
            _raise_if_to_end(termination)

        for piece in output(self._process, look, self._calls.fileno(), termination.fileno()):
            self._take(piece)
            _raise_if_to_end(termination)
        self._metrics.line(self._unfinished)
        self._said = self._unfinished.strip() or self._said
        while not has_ended(self._process):  # it closed its output and still runs
            look()
        self._events.tell(self._metrics)
        self._calls.told_all(self._metrics)
        self._metrics.flush()

    def end(self, grace: float) -> None:
        """End the program and all that it started: SIGTERM, time to save, SIGKILL."""
        family = Family(self._process.pid)
        family.terminate()
        deadline = time.monotonic() + grace
        for piece in output(self._process, self._look, self._calls.fileno(), deadline=deadline, until=family.has_ended):
            self._take(piece)
        family.wait(deadline)
        family.kill()
        self._process.wait()
        self._look()

    def _look(self) -> None:
        self._events.tell(self._metrics)
        self._calls.tell(self._metrics)
        self._metrics.flush()

    def _take(self, piece: bytes) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        *lines, unfinished = (self._unfinished + piece).split(b"\n")
        for line in lines:
            self._metrics.line(line)
            self._said = line.strip() or self._said
        self._unfinished = unfinished[-LONGEST:]
        self._calls.tell(self._metrics)
        self._metrics.flush()


def _raise_if_to_end(termination: TerminationSignal) -> None:
    reporter = current_reporter()
    reason = reporter.stop_reason() if reporter is not None else None
    if reason is not None:
        raise TrialStopped(reason)
    if termination.is_set:
        raise Terminated
