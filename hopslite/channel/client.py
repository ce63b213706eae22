"""A slot's end of the channel: a session with the driver that reconnects by itself.

Imports little, since every slot pays for it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import socket
import threading
import time
from collections import deque
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from ..errors import HopsliteError
from .heartbeat import RECONNECT_SECONDS
from .message_log import MAX_UNACKED_BYTES, MessageBuffer, MessageLog, encode_message

__all__ = ["HANDSHAKE_SECONDS", "ReconnectingClient", "shutdown_socket"]

HANDSHAKE_SECONDS = 10.0
REFUSED_SECONDS = 3.0  # the machine answers, and nothing listens there any more: the driver has ended
ATTEMPT_SECONDS = 4.0
UNCONFIRMED_SECONDS = 6.0  # data that the driver's machine does not confirm within this time: the connection is broken
CLOSE_SECONDS = 1.0
BACKOFF_SECONDS = (0.1, 1.0)
CHUNK = 1 << 16


class SessionOver(HopsliteError, EOFError):
    """Raised when the driver does not know the session, or has ended it."""


def shutdown_socket(connection: socket.socket) -> None:
    """Shut down a socket, which wakes threads that read from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ReconnectingClient:
    """Session with the driver that continues over successive connections; thread-safe.

    `send` never waits for the network. While there is no connection, a thread tries to reconnect, and messages are
    queued. Data that the network does not accept at once is written by the next `send` (a heartbeat, for example) or
    `receive`. `receive` raises EOFError, and `send` OSError, when the session is over: the driver has ended it, or
    could not be reached again in time.
    """

    def __init__(self, address: tuple[str, int], key: bytes) -> None:
        self._address, self._key = address, key
        self._name = os.urandom(16).hex()
        self._lock = threading.Lock()  # never held while anything waits for the network
        self._log = MessageLog()
        self._inbox: deque[dict[str, Any]] = deque()
        self._frames = MessageBuffer()
        self._output = memoryview(b"")  # to be written to the connection before anything else
        self._unacked_bytes = 0  # received since the last heartbeat
        self._selector = selectors.DefaultSelector()  # its descriptor stays the same when the connection changes
        self._wakeup_registered = False
        self._needs_wakeup = False  # another method has handled an event for which `receive` may have been woken
        self.session_over = (
            threading.Event()
        )  # the driver has ended the session or cannot be reached, or `close` was called
        self._closing = threading.Event()
        self._socket: socket.socket | None = None
        try:
            connected, received = self._connect_with_retry()
        except BaseException:
            self._selector.close()
            raise
        self._own_address = str(connected.getsockname()[0])
        with self._lock:
            self._attach(connected, received)

    def fileno(self) -> int:
        """Descriptor that becomes readable when `receive` has something to do."""
        return self._selector.fileno()

    def local_address(self) -> str:
        """The address of this machine's interface towards the driver."""
        return self._own_address

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, or queue it while there is no connection."""
        with self._lock:
            if self.session_over.is_set():
                raise BrokenPipeError("the session with the driver is over")
            if message["type"] == "beat":
                self._needs_wakeup |= self._read()  # a slot that trains in its main thread does not read elsewhere
                self._queue_heartbeat()
            else:
                self._log.append(message)
            self._write()
            self._update_wakeup()

    def receive(self) -> dict[str, Any]:
        """The driver's next message, or a heartbeat when only the connection had to be maintained."""
        if not self._inbox:
            self._selector.select()
        with self._lock:
            if not self._inbox:
                self._read()
            self._write()
            self._needs_wakeup = False
            message = self._inbox.popleft() if self._inbox else None
            self._update_wakeup()
            if message is None and self.session_over.is_set():
                raise EOFError("the session with the driver is over")
        return message or {"type": "beat"}

    def close(self) -> None:
        """End the session; messages sent before are delivered if that takes at most `CLOSE_SECONDS`."""
        with self._lock:
            self.session_over.set()
            if self._closing.is_set():
                return
            self._closing.set()
            connection, self._socket = self._socket, None
            farewell = b"".join((self._output, self._log.take_pending(), encode_message({"type": "bye"})))
            self._selector.close()
        if connection:
            connection.settimeout(CLOSE_SECONDS)
            with contextlib.suppress(OSError):
                connection.sendall(farewell)
                deadline = time.monotonic() + CLOSE_SECONDS
                while connection.recv(CHUNK) and time.monotonic() < deadline:
                    pass  # the driver disconnects when it has read the farewell
            shutdown_socket(connection)  # a child of this process may hold it too
            connection.close()

    # --- under the lock

    def _queue_heartbeat(self) -> None:
        if self._socket and not self._output:
            self._unacked_bytes = 0
            self._output = memoryview(encode_message({"type": "beat", "received": self._log.received}))

    def _write(self) -> None:
        while self._socket:
            if not self._output:
                self._output = memoryview(self._log.take_pending())
            if not self._output:
                break
            try:
                self._output = self._output[self._socket.send(self._output) :]
            except BlockingIOError:
                break
            except OSError:
                self._read()  # the driver's last messages may have arrived
                self._on_broken()
        if self._socket:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._output else 0)
            if self._selector.get_key(self._socket).events != events:
                self._selector.modify(self._socket, events)
                self._needs_wakeup |= not self._output

    def _read(self) -> bool:
        """Handle the messages that have arrived; True if there was any data."""
        has_data = False
        while self._socket:
            try:
                data = self._socket.recv(CHUNK)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            has_data = True
            if not data:
                self._on_broken()
                break
            try:
                for message in self._frames.messages(data):
                    self._handle(message)
            except ValueError:
                self._end()
            self._unacked_bytes += len(data)
            if self._unacked_bytes > MAX_UNACKED_BYTES:
                self._queue_heartbeat()
            if len(data) < CHUNK:
                break
        return has_data

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "over":
            self._end()
        elif message["type"] == "beat":
            self._log.acknowledge(message.get("received"))
        else:
            self._log.accept(message)
            self._inbox.append(message)

    def _update_wakeup(self) -> None:
        """Keep `fileno` readable as long as `receive` has something to return, whichever thread has read it."""
        is_needed = bool(self._inbox) or self._needs_wakeup or self.session_over.is_set()
        if is_needed != self._wakeup_registered and not self._closing.is_set():
            self._wakeup_registered = is_needed
            if is_needed:
                self._selector.register(_always_readable(), selectors.EVENT_READ)
            else:
                self._selector.unregister(_always_readable())

    def _attach(self, connection: socket.socket, received: Any) -> None:
        try:
            self._log.resume(received)
        except ValueError:
            connection.close()
            self._end()
            return
        connection.setblocking(False)
        self._frames, self._output, self._unacked_bytes = MessageBuffer(), memoryview(b""), 0
        self._socket = connection
        self._selector.register(connection, selectors.EVENT_READ)
        self._write()

    def _on_broken(self) -> None:
        """Close a broken connection and reconnect in a thread."""
        if self._detach() and not self.session_over.is_set():
            threading.Thread(target=self._reconnect, name="hopslite-reconnect", daemon=True).start()

    def _detach(self) -> bool:
        connection, self._socket = self._socket, None
        if connection:
            self._needs_wakeup = True
            self._selector.unregister(connection)
            shutdown_socket(connection)  # a child of this process may hold it too
            connection.close()
        return connection is not None

    def _end(self) -> None:
        self.session_over.set()
        self._detach()

    # --- connecting

    def _reconnect(self) -> None:
        try:
            connection, received = self._connect_with_retry(resumed=True)
        except Exception:  # noqa: BLE001 - whatever it is, the slot must learn that nothing reconnects any more
            with self._lock:
                self._end()
                self._update_wakeup()
            return
        with self._lock:
            if self._closing.is_set():
                connection.close()
                return
            self._attach(connection, received)
            self._update_wakeup()

    def _connect_with_retry(self, resumed: bool = False) -> tuple[socket.socket, Any]:
        """Connect with retries; returns the connection and the number of messages that the driver has received."""
        deadline = time.monotonic() + RECONNECT_SECONDS
        backoff, longest_backoff = BACKOFF_SECONDS
        refused: float | None = None
        while True:
            try:
                return self._connect(resumed, ATTEMPT_SECONDS if resumed else HANDSHAKE_SECONDS)
            except SessionOver:
                raise
            except (OSError, EOFError) as error:
                now = time.monotonic()
                refused = (refused or now) if isinstance(error, ConnectionRefusedError) else None
                if now + backoff > deadline or (refused and now - refused >= REFUSED_SECONDS):
                    raise
            if self._closing.wait(backoff):
                raise EOFError
            backoff = min(2 * backoff, longest_backoff)

    def _connect(self, resumed: bool, seconds: float) -> tuple[socket.socket, Any]:
        connection = socket.create_connection(self._address, timeout=seconds)
        guard = threading.Timer(seconds, shutdown_socket, [connection])
        guard.daemon = True
        guard.start()
        try:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNCONFIRMED_SECONDS))
            hello = {"type": "hello", "session": self._name, "resumed": resumed, "received": self._log.received}
            welcome = self._handshake(connection, hello)
        except BaseException:
            connection.close()
            raise
        finally:
            guard.cancel()
        return connection, welcome

    def _handshake(self, connection: socket.socket, hello: dict[str, Any]) -> Any:
        raw_connection = Connection(os.dup(connection.fileno()))
        try:
            answer_challenge(raw_connection, self._key)
            deliver_challenge(raw_connection, self._key)
            raw_connection.send_bytes(json.dumps(hello).encode())
            answer = json.loads(raw_connection.recv_bytes(CHUNK))
            welcome, received = answer["type"] == "welcome", answer.get("received")
        except (AssertionError, ValueError, LookupError, TypeError) as error:
            raise AuthenticationError(
                f"the process that answered is not a driver of this version ({error!r})"
            ) from error
        finally:
            raw_connection.close()
        if not welcome:
            raise SessionOver("the driver has ended the session")
        return received


@functools.cache
def _always_readable() -> socket.socket:
    """A socket that is always readable, since its other end is closed."""
    here, there = socket.socketpair()
    there.close()
    return here
