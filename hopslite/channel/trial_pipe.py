"""A trial's end of the connection to its slot, which never blocks a training loop."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
import weakref
from collections import deque
from typing import Any

from .framing import FrameBuffer, decode_json, encode_frame
from .shared_memory import SharedBuffers

__all__ = ["TrialPipe"]

RETRY_SECONDS = 0.005  # between two attempts where there is no event to wait for
POLL_SECONDS = 0.5
ASK_SECONDS = 0.05  # another thread may have read the answer
CHUNK = 1 << 12
IS_LINUX = os.uname().sysname == "Linux"
SO_COOKIE = 57  # of Linux, since 4.12
_encode = json.JSONEncoder(check_circular=False).encode  # every report waits for it
_NONBLOCKING = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)


class TrialPipe:
    """Thread-safe connection that sends messages without waiting for the slot, which may be busy or stopped.

    Data that the socket does not accept at once is buffered and sent first the next time; `flush` waits for it. The
    slot sends control messages, JSON objects: `stop` with the reason why the trial is to stop, `release` when a
    finished member may end, and `answer` to a request.

    The training function may have closed the socket, or opened another file under its number. That file is not touched,
    and the stream continues in shared memory where it ended in the socket. A process that the trial has forked may
    report, too; it does not inherit the trial's unsent data, and reads control messages without consuming them.
    """

    def __init__(self, descriptor: int, fallback: SharedBuffers | None = None) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._descriptor = descriptor
        self._identity = self._socket_identity()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._fallback = fallback
        self._socket_lost = False
        self._reset(is_copy=False)
        pipe_ref = weakref.ref(self)

        def reset_in_child() -> None:
            if pipe := pipe_ref():
                pipe._reset(is_copy=True)

        os.register_at_fork(after_in_child=reset_in_child)

    def _reset(self, is_copy: bool) -> None:
        self._is_copy = is_copy
        self._lock = threading.RLock()
        self._unsent: deque[bytes | memoryview] = deque()
        self._frames = FrameBuffer()
        self._stop: str | None = None
        self._released = False
        self._requests = 0
        self._answer: dict[str, Any] | None = None  # the latest one

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request to the driver and block until its answer arrives. One thread at a time.

        Raises:
            ConnectionError: the slot is gone, or this is a process that the trial has forked.
        """
        if self._is_copy:
            raise ConnectionError(
                "a process that the trial has started cannot ask the driver; only the trial itself can"
            )
        with self._lock:
            self._requests += 1
            number = self._requests
        sent_to_socket, is_open = None, True
        while True:
            with self._lock:
                if sent_to_socket is not (not self._socket_lost):  # the socket was lost, perhaps with the request
                    self.send({"ask": {**request, "number": number}})
                    sent_to_socket = not self._socket_lost
                is_open = self._read_control()
                if self._answer is not None and self._answer["number"] == number:
                    return self._answer
                self._flush_nowait()
            if not is_open or (self._socket_lost and self._fallback is None):
                raise ConnectionError("the slot of this trial is gone")
            self._wait(ASK_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Wait until the slot has sent something; where there is no event to wait for, a moment."""
        if self._socket_lost:
            time.sleep(RETRY_SECONDS)
        else:
            self._poll.poll(1000 * seconds)

    def send(self, message: dict[str, Any]) -> None:
        frame = encode_frame(_encode(message).encode())
        with self._lock:
            self._unsent.append(frame)
            self._flush_nowait()

    def flush(self) -> None:
        """Block until all buffered data is sent."""
        with self._lock:
            while self._unsent:
                time.sleep(RETRY_SECONDS)
                self._flush_nowait()

    def stop_reason(self) -> str | None:
        """The reason why the trial is to stop; None as long as it may continue. Does not wait."""
        with self._lock:
            if self._socket_lost or self._poll.poll(0):
                self._read_control()
            return self._stop

    def await_release(self) -> None:
        """Block until the slot allows this process to end, or has closed the connection."""
        is_open = True
        while is_open and not self._released:
            self._wait(POLL_SECONDS)
            with self._lock:
                is_open = self._read_control()

    # --- under the lock

    def _flush_nowait(self) -> None:
        """Send as many frames as the socket accepts at once; of a short frame it accepts all or nothing."""
        while self._unsent:
            frame = self._unsent[0]
            sent = self._write(frame)
            if sent == len(frame):
                self._unsent.popleft()
            elif sent:
                self._unsent[0] = memoryview(frame)[sent:]
            else:
                return

    def _write(self, data: bytes | memoryview) -> int:
        """Write to the socket or, once that is lost, to shared memory; returns the number of bytes accepted."""
        if not self._socket_lost and self._socket_is_intact():
            try:
                return self._socket.send(data, _NONBLOCKING)
            except BlockingIOError:
                return 0
            except OSError:  # the slot is gone, which ends this process
                return len(data)
        self._socket_lost = True
        if self._fallback is None or self._is_copy:
            return len(data)
        return self._fallback.to_slot.write(data)

    def _read_control(self) -> bool:
        """Read control messages; False when the connection is closed."""
        data = self._receive()
        if data and self._is_copy:
            self._frames = FrameBuffer()  # peeked data begins with what was read before
        with contextlib.suppress(ValueError):
            for frame in self._frames.feed(data or b""):
                message = decode_json(frame)
                self._released = self._released or "release" in message
                self._stop = self._stop or message.get("stop")
                self._answer = message.get("answer", self._answer)
        return data != b""

    def _receive(self) -> bytes | None:
        """Received bytes; None if there are none yet."""
        if self._socket_lost:
            return None if self._fallback is None or self._is_copy else self._fallback.to_trial.read() or None
        try:
            return self._socket.recv(CHUNK, _NONBLOCKING | (socket.MSG_PEEK if self._is_copy else 0))
        except BlockingIOError:
            return None
        except ConnectionResetError:  # the slot has closed it without reading everything
            return b""
        except OSError:
            self._socket_lost = True
            return None

    def _socket_is_intact(self) -> bool:
        """True if the descriptor still belongs to the socket."""
        try:
            return self._socket_identity() == self._identity
        except OSError:
            return False

    def _socket_identity(self) -> object:
        """Identity of the socket that no other socket or file shares."""
        if IS_LINUX:
            return self._socket.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
        status = os.fstat(self._descriptor)
        return status.st_ino, status.st_dev
