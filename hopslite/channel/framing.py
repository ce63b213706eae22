"""Message framing with a length prefix, and a non-blocking socket that sends and receives frames.

A frame is a 4-byte length followed by that many bytes, the format of `multiprocessing.connection`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["FrameBuffer", "FrameSocket", "MAX_FRAME", "decode_json", "encode_frame", "wait_readable"]

MAX_FRAME = 64 << 20
CHUNK = 8 << 10  # about 300 reports: the most that is read at a time from a trial that sends without end
_LENGTH = struct.Struct("!i")


def encode_frame(data: bytes) -> bytes:
    """Data with its length prefix."""
    return _LENGTH.pack(len(data)) + data


def decode_json(frame: bytes) -> dict[str, Any]:
    """The JSON object in a frame. Raises ValueError if the frame holds none."""
    try:
        message = json.loads(frame)
    except RecursionError as error:
        raise ValueError("very deep JSON") from error
    except ValueError as error:
        raise ValueError(f"{frame[:40]!r}, which is not JSON") from error
    if not isinstance(message, dict):
        raise ValueError(f"{frame[:40]!r}, which is not a JSON object")
    return message


class FrameBuffer:
    """Incremental parser that cuts a byte stream into frames of at most `max_size` bytes."""

    def __init__(self, max_size: int = MAX_FRAME) -> None:
        self.max_size = max_size
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add received bytes and yield the frames that are complete. Raises ValueError for an invalid length."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer)
            if not 0 <= size <= self.max_size:
                raise ValueError(f"a frame of {size} bytes")
            if len(buffer) < _LENGTH.size + size:
                return
            frame = bytes(buffer[_LENGTH.size : _LENGTH.size + size])
            del buffer[: _LENGTH.size + size]
            yield frame

    @property
    def has_partial_frame(self) -> bool:
        """True while the beginning of a frame has been received, and its end has not."""
        return bool(self._buffer)


class FrameSocket:
    """Non-blocking end of a local socket that sends and receives frames.

    The other side may be busy, stopped, or have sent half a frame. Data that the socket does not accept at once is
    buffered until `flush`, which `wait_readable` calls. `eof`: the other side has closed the socket, or it is broken.
    `has_more`: the last `read` received data, so there may be more.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._frames = FrameBuffer()
        self._unsent: deque[tuple[memoryview, Sequence[int]]] = deque()
        self.eof = self.has_more = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    @property
    def has_partial_frame(self) -> bool:
        """True while the last frame has been received in part only."""
        return self._frames.has_partial_frame

    def read(self) -> Iterator[bytes]:
        """Yield the frames completed by the data available now, some KB at most. Raises ValueError for garbage."""
        data = self._receive()
        self.has_more = bool(data)
        return self._frames.feed(data)

    def _receive(self) -> bytes:
        if self.eof:
            return b""
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.eof = not data
        return data

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send data, with file descriptors, which are closed here once they are sent; a broken socket sets `eof`."""
        self._unsent.append((memoryview(data), descriptors))
        self.flush()

    def flush(self) -> None:
        """Send buffered data, as far as the socket accepts it."""
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else self._socket.send(data)
            except BlockingIOError:
                return
            except OSError:
                self._drop_unsent()
                return
            for descriptor in descriptors:
                os.close(descriptor)
            self._unsent.popleft()
            if sent < len(data):
                self._unsent.appendleft((data[sent:], ()))

    def _drop_unsent(self) -> None:
        while self._unsent:
            for descriptor in self._unsent.popleft()[1]:
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    def close(self) -> None:
        self._drop_unsent()
        self._socket.close()


def wait_readable(sources: Sequence[Any], timeout: float) -> list[Any]:
    """Wait until a source can be read, and return those that can; unsent data of others is written meanwhile."""
    with selectors.PollSelector() as selector:  # `select` has a limit to the numbers of descriptors
        for source in sources:
            writes = selectors.EVENT_WRITE if getattr(source, "has_unsent", False) else 0
            selector.register(source, selectors.EVENT_READ | writes)
        events_by_source = selector.select(timeout)
    for key, events in events_by_source:
        if events & selectors.EVENT_WRITE:
            key.fileobj.flush()  # type: ignore[union-attr]
    return [key.fileobj for key, events in events_by_source if events & selectors.EVENT_READ]
