"""A trial's end of its connection to its slot."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["Wire"]

_LENGTH = struct.Struct("!i")  # the framing of multiprocessing.connection, with which the slot reads


class Wire:
    """Sends messages without ever waiting for the slot, which may be busy, or stopped; may be used by any thread.

    What the socket does not take at once is kept and goes first the next time; `flush` waits for it. The slot says two
    things: why the trial is to stop, and, with an empty frame, that a member that is done may end.
    """

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._socket = socket.socket(fileno=link.fileno())
        self._unsent = bytearray()
        self._lock = threading.RLock()
        self._stop: str | None = None
        self._released = False

    def send(self, message: dict[str, Any]) -> None:
        frame = json.dumps(message).encode()
        with self._lock:
            self._unsent += _LENGTH.pack(len(frame)) + frame
            try:
                sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # the slot is gone, and will end this process
                sent = len(self._unsent)
            del self._unsent[:sent]

    def flush(self) -> None:
        with self._lock:
            with contextlib.suppress(OSError):
                self._socket.sendall(self._unsent)
            self._unsent.clear()

    def stop_asked(self) -> str | None:
        """Why the trial is to stop; None as long as it may go on. Does not wait."""
        with self._lock:
            while self._stop is None and select.select([self._socket], [], [], 0)[0]:
                if not self._receive():
                    break
            return self._stop

    def await_release(self) -> None:
        while not self._released and self._receive():
            pass

    def _receive(self) -> bool:
        try:
            frame = self._link.recv_bytes()
        except (EOFError, OSError):
            return False
        self._released = not frame
        self._stop = self._stop or frame.decode() or None
        return True
