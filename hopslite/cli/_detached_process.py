"""Process of a detached command: it tells the command that started it of its run, and goes on without a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

from ..core.types import json_safe
from ..driver.reservation import Reservation, Turn, with_turn
from ..storage.run_directory import RunDir
from . import main as run_command_line
from ._detach import LOG, RECORD, runs_folder

__all__ = ["main"]


def main() -> int:
    """Carry out the command line that comes by standard input; the arguments are a descriptor and a log."""
    writing, log = int(sys.argv[1]), sys.argv[2]
    words = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    output = Output(writing, log)
    with with_turn(Turn(on_reserved=output.on_reserved)):
        code = run_command_line(words)
    output.close()
    return code


class Output:
    """Output of this process: at first in a file for the command that waits, then in the run's directory."""

    def __init__(self, writing: int, log: str) -> None:
        self._writing, self._log = writing, log
        self._run: RunDir | None = None

    def on_reserved(self, reservation: Reservation) -> None:
        """Move the output to the run's directory, and tell the command that waits."""
        run = reservation.directory
        path = run.path(LOG) if run.is_local else os.path.join(runs_folder(), f"{reservation.run_id}.log")
        self._move_to(path)
        run.write_json(RECORD, {"host": socket.gethostname(), "pid": os.getpid(), "log": path})
        ahead = reservation.ticket.ahead() if reservation.ticket else 0
        message = {"run_id": reservation.run_id, "name": reservation.name, "version": reservation.version}
        with contextlib.suppress(OSError):  # the command that waited has been ended
            os.write(self._writing, json.dumps(json_safe({**message, "ahead": ahead})).encode())
        os.close(self._writing)
        self._run, self._log = None if run.is_local else run, path

    def _move_to(self, path: str) -> None:
        """Have all output go to another file, after what there is so far."""
        sys.stdout.flush()
        sys.stderr.flush()
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(self._log, "rb") as log:
            os.write(target, log.read())
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)

    def close(self) -> None:
        """Copy the output to a run on another machine."""
        if self._run is not None:
            with contextlib.suppress(OSError), open(self._log, "rb") as log:
                self._run.write_bytes(LOG, log.read())
