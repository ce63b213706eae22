"""What both ends of the channel share: JSON frames, and the bookkeeping of a session that outlives its connections."""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

__all__ = ["ACKNOWLEDGE_BYTES", "Frames", "Ledger", "pack"]

MAX_FRAME = 64 << 20
ACKNOWLEDGE_BYTES = 1 << 20  # so much is received at most before the other side may forget it
_LENGTH = struct.Struct("!i")


def pack(message: dict[str, Any]) -> bytes:
    frame = json.dumps(message).encode()
    return _LENGTH.pack(len(frame)) + frame


class Frames:
    """Bytes of one connection, cut into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are complete with this. Raises ValueError where there is none to be made of it."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer)
            if not 0 <= size <= MAX_FRAME:
                raise ValueError(f"a frame of {size} bytes")
            if len(buffer) < _LENGTH.size + size:
                return
            frame = bytes(buffer[_LENGTH.size : _LENGTH.size + size])
            del buffer[: _LENGTH.size + size]
            yield _message(frame)


def _message(frame: bytes) -> dict[str, Any]:
    try:
        message = json.loads(frame)
    except RecursionError as error:
        raise ValueError("very deep JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("JSON, but no message")
    return message


class Ledger:
    """One side's account of a session: what it has sent and received, whichever connection that took.

    Messages are numbered. Those that the other side has not acknowledged are kept, and are sent again over the next
    connection from where the other side says that it stands: each arrives once, and in order. Not safe from several
    threads.
    """

    def __init__(self) -> None:
        self.received = 0
        self._sent = 0
        self._acknowledged = 0
        self._waiting: deque[bytes] = deque()  # no connection has taken them yet
        self._kept: deque[bytes] = deque()  # the connection has taken them, the other side may not have

    def add(self, message: dict[str, Any]) -> None:
        frame = pack({**message, "n": self._sent + 1})
        self._sent += 1
        self._waiting.append(frame)

    def take(self) -> bytes:
        """What is to be written to the connection now."""
        if len(self._waiting) == 1:
            data = self._waiting.popleft()
            self._kept.append(data)
            return data
        self._kept += self._waiting
        data = b"".join(self._waiting)
        self._waiting.clear()
        return data

    def acknowledge(self, received: Any) -> None:
        """Forget what the other side says it has. Raises ValueError when it cannot have that."""
        if not isinstance(received, int) or not 0 <= received - self._acknowledged <= len(self._kept):
            raise ValueError(f"{received} messages are said to be received")
        for _ in range(received - self._acknowledged):
            self._kept.popleft()
        self._acknowledged = received

    def resume(self, received: Any) -> None:
        """Over a new connection, send what the other side does not have."""
        self.acknowledge(received)
        self._waiting.extendleft(reversed(self._kept))
        self._kept.clear()

    def accept(self, message: dict[str, Any]) -> None:
        """Count a message in. Raises ValueError when it is not the next one."""
        number = message.pop("n", None)
        if number != self.received + 1:
            raise ValueError(f"message {number} after message {self.received}")
        self.received += 1
