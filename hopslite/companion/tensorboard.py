"""TensorBoard by socket activation: its program starts when somebody opens a page."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from ..track import boot

__all__ = ["OnDemandTensorBoard"]

END_SECONDS = 5.0
PAUSE_SECONDS = 5.0  # after a failure


class OnDemandTensorBoard:
    """TensorBoard for all runs of a project on a listening socket, without a process while nobody looks.

    The program inherits the socket, with the connection that has started it, and ends when it has had no request for
    some time; the next connection starts it again.
    """

    def __init__(self, listener: socket.socket | None) -> None:
        self.project = ""
        self._listener = listener
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: str | None = None
        self._not_before = 0.0

    def fileno(self) -> int:
        """Descriptor that is readable when somebody connects."""
        return self._listener.fileno() if self._listener else -1

    @property
    def is_ready(self) -> bool:
        """True if a connection would start the program."""
        if self._process is not None and self._process.poll() is not None:
            if self._process.returncode > 0:  # not killed
                self._not_before = time.monotonic() + PAUSE_SECONDS
            self._clean_up()
        has_work = self._listener is not None and bool(self.project)
        return has_work and self._process is None and time.monotonic() >= self._not_before

    def start(self) -> None:
        """Start the program."""
        try:
            self._scratch = tempfile.mkdtemp(prefix="hopslite-tensorboard-")
            self._process = subprocess.Popen(
                boot("hopslite.track._tensorboard_pages", str(self.fileno())),
                env={**os.environ, "TMPDIR": self._scratch},  # for what TensorBoard makes and leaves when it is killed
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[self.fileno()],
                start_new_session=True,  # a person waits for it, so it does not share the session's low priority
                bufsize=0,
            )
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"project": self.project, "scratch": self._scratch}).encode() + b"\n")
        except OSError:  # no room, or no process: the connection waits
            self._not_before = time.monotonic() + PAUSE_SECONDS

    def close(self) -> None:
        """End the program, and listen no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            self._process.kill()
            self._process.wait()
        self._clean_up()

    def _clean_up(self) -> None:
        self._process = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
