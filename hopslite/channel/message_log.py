"""Numbered messages with acknowledgements: a session's log, which outlives its connections."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from .framing import FrameBuffer, decode_json, encode_frame

__all__ = ["MAX_UNACKED_BYTES", "MessageBuffer", "MessageLog", "decode_message", "encode_message"]

MAX_UNACKED_BYTES = 1 << 20  # received before an acknowledgement is sent, so that the sender can drop its copies


def encode_message(message: dict[str, Any]) -> bytes:
    """A message as a frame with JSON."""
    return encode_frame(json.dumps(message).encode())


def decode_message(frame: bytes) -> dict[str, Any]:
    """The message in a frame. Raises ValueError if the frame holds none."""
    message = decode_json(frame)
    if not isinstance(message.get("type"), str):
        raise ValueError("JSON, but not a message")
    return message


class MessageBuffer(FrameBuffer):
    """Incremental parser that cuts a byte stream into messages."""

    def messages(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Add received bytes and return the messages that are complete. Raises ValueError for an invalid one."""
        return map(decode_message, self.feed(data))


class MessageLog:
    """One side's log of the messages sent and received in a session, over any number of connections.

    Messages are numbered. Those that the other side has not acknowledged are kept and sent again over the next
    connection, beginning after the last one that the other side has received: each message arrives exactly once and in
    order. Not thread-safe.
    """

    def __init__(self) -> None:
        self.received = 0
        self._sent = 0
        self._last_acked = 0
        self._pending: deque[bytes] = deque()  # not written to a connection yet
        self._unacked: deque[bytes] = deque()  # written to a connection, not acknowledged

    def append(self, message: dict[str, Any]) -> None:
        """Number a message and queue it for sending."""
        frame = encode_message({**message, "n": self._sent + 1})
        self._sent += 1
        self._pending.append(frame)

    def take_pending(self) -> bytes:
        """The frames to be written to the connection now."""
        if len(self._pending) == 1:
            data = self._pending.popleft()
            self._unacked.append(data)
            return data
        self._unacked += self._pending
        data = b"".join(self._pending)
        self._pending.clear()
        return data

    def acknowledge(self, received: Any) -> None:
        """Drop the messages that the other side has received. Raises ValueError for an impossible number."""
        if not isinstance(received, int) or not 0 <= received - self._last_acked <= len(self._unacked):
            raise ValueError(f"acknowledgement of {received} messages, which cannot have been received")
        for _ in range(received - self._last_acked):
            self._unacked.popleft()
        self._last_acked = received

    def resume(self, received: Any) -> None:
        """Queue all messages that the other side does not have, to be sent over a new connection."""
        self.acknowledge(received)
        self._pending.extendleft(reversed(self._unacked))
        self._unacked.clear()

    def accept(self, message: dict[str, Any]) -> None:
        """Count a received message. Raises ValueError when it is not the next one."""
        number = message.pop("n", None)
        if number != self.received + 1:
            raise ValueError(f"message {number} after message {self.received}")
        self.received += 1
