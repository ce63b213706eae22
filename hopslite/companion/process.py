"""The companion's program: takes the driver's requests until the driver ends, and then does what is left."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ..track import Tell, disable_tensorflow, own_stdout, prepare_environment
from .deliveries import Deliveries
from .drawing import DrawingQueue
from .priority import lower_companion
from .tensorboard import OnDemandTensorBoard

__all__ = ["main"]

POLL_SECONDS = 1.0  # between two looks whether the driver is there


def main() -> int:
    """Serve the driver; the argument is the descriptor of TensorBoard's socket, or -1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lower_companion()
    prepare_environment()
    disable_tensorflow()
    descriptor = int(sys.argv[1])
    listener = socket.socket(fileno=descriptor) if descriptor >= 0 else None
    _Companion(_status_lines(), OnDemandTensorBoard(listener)).run()
    sys.stderr.flush()
    os._exit(0)  # not delayed by threads of foreign libraries


def _status_lines() -> Tell:
    """Function that writes status lines to the driver."""
    stream, lock = own_stdout(), threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with lock, contextlib.suppress(OSError, ValueError):  # the driver may be gone
            stream.write(json.dumps(message) + "\n")
            stream.flush()

    return tell


class _Companion:
    """State of the companion, used by its main thread."""

    def __init__(self, tell: Tell, tensorboard: OnDemandTensorBoard) -> None:
        self._driver = os.getppid()
        self._deliveries = Deliveries(tell)
        self._drawing = DrawingQueue(tell)
        self._tensorboard = tensorboard
        self._received = b""
        self._has_input = True

    def run(self) -> None:
        """Take requests until the driver ends; then deliver and draw what is left."""
        while self._has_input and os.getppid() == self._driver:  # the driver's children may hold the input open
            self._wait()
            for request in self._requests():
                with contextlib.suppress(KeyError, TypeError, ValueError):  # garbage
                    self._take(request)
        self._tensorboard.close()
        self._deliveries.end_all()
        self._drawing.finish()  # does not wait for a server that is down
        self._deliveries.join()

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            if self._tensorboard.is_ready:
                selector.register(self._tensorboard, selectors.EVENT_READ)
            for key, _ in selector.select(POLL_SECONDS):
                if key.fileobj is self._tensorboard:
                    self._tensorboard.start()
                else:
                    self._read()

    def _read(self) -> None:
        received = os.read(0, 65536)
        self._received += received
        self._has_input = bool(received)

    def _requests(self) -> Iterator[dict[str, Any]]:
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):  # garbage
                request = json.loads(line)
                if isinstance(request, dict):
                    yield request

    def _take(self, request: dict[str, Any]) -> None:
        if "project" in request:
            self._tensorboard.project = str(request["project"])
        elif "follow" in request:
            self._deliveries.follow(int(request["follow"]), str(request["url"]), list(request["trackers"]))
        elif "ended" in request:
            self._deliveries.end(int(request["ended"]))
        elif "draw" in request:
            self._drawing.add(str(request["draw"]), bool(request["mlflow"]))
        self._drawing.set_active(self._deliveries.has_active)
