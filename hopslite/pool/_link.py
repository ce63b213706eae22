"""The slot's end of the channel. Imports little, since every slot pays for it."""

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
from ._frames import ACKNOWLEDGE_BYTES, Frames, Ledger, pack

__all__ = ["ClientLink", "HANDSHAKE_SECONDS", "RECONNECT_SECONDS", "shut"]

HANDSHAKE_SECONDS = 10.0
RECONNECT_SECONDS = 10.0  # how long a slot looks for its driver once the connection is broken
REFUSED_SECONDS = 3.0  # a machine that answers, but nobody listens there any more: the driver has ended
ATTEMPT_SECONDS = 4.0
UNANSWERED_SECONDS = 6.0  # what the driver's machine has not confirmed for so long makes the connection broken
CLOSE_SECONDS = 1.0
PAUSES = (0.1, 1.0)
CHUNK = 1 << 16


class SessionOver(HopsliteError, EOFError):
    """The driver knows nothing of the session, or has ended it."""


def shut(connection: socket.socket) -> None:
    """Wake whoever reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ClientLink:
    """A session with the driver, which lasts from one connection to the next.

    Safe from any thread; `send` never waits for the network. While there is no connection, a thread looks for one, and
    what was sent waits. What the network does not take at once is written by the next `send` (a beat, for example) or
    `receive`. `receive` raises EOFError, and `send` OSError, when the session is over: the driver has ended it, or was
    not found again in time.
    """

    def __init__(self, address: tuple[str, int], key: bytes) -> None:
        self._address, self._key = address, key
        self._name = os.urandom(16).hex()
        self._lock = threading.Lock()  # never held while anything waits for the network
        self._ledger = Ledger()
        self._inbox: deque[dict[str, Any]] = deque()
        self._frames = Frames()
        self._out = memoryview(b"")  # what the connection still has to take before anything else
        self._owed = 0  # bytes received since the last beat
        self._selector = selectors.DefaultSelector()  # its descriptor stays the same, whatever the connection
        self._rung = False
        self._touched = False  # others than `receive` have dealt with what it may have been woken for
        self.over = threading.Event()  # the driver has ended the session or was not found, or `close` was called
        self._closing = threading.Event()
        self._socket: socket.socket | None = None
        try:
            connected, received = self._find()
        except BaseException:
            self._selector.close()
            raise
        self._own_address = str(connected.getsockname()[0])
        with self._lock:
            self._attach(connected, received)

    def fileno(self) -> int:
        """Ready to read when `receive` has something to do."""
        return self._selector.fileno()

    def local_address(self) -> str:
        """This machine's address on the way to the driver."""
        return self._own_address

    def send(self, message: dict[str, Any]) -> None:
        with self._lock:
            if self.over.is_set():
                raise BrokenPipeError("the session with the driver is over")
            if message["type"] == "beat":
                self._touched |= self._read()  # a slot that trains in its main thread reads nowhere else
                self._beat()
            else:
                self._ledger.add(message)
            self._write()
            self._ring()

    def receive(self) -> dict[str, Any]:
        """The driver's next message, or a beat when the connection had only itself to look after."""
        if not self._inbox:
            self._selector.select()
        with self._lock:
            if not self._inbox:
                self._read()
            self._write()
            self._touched = False
            message = self._inbox.popleft() if self._inbox else None
            self._ring()
            if message is None and self.over.is_set():
                raise EOFError("the session with the driver is over")
        return message or {"type": "beat"}

    def close(self) -> None:
        """End the session; what was sent before is delivered if that takes no longer than a moment."""
        with self._lock:
            self.over.set()
            if self._closing.is_set():
                return
            self._closing.set()
            connection, self._socket = self._socket, None
            last = b"".join((self._out, self._ledger.take(), pack({"type": "bye"})))
            self._selector.close()
        if connection:
            connection.settimeout(CLOSE_SECONDS)
            with contextlib.suppress(OSError):
                connection.sendall(last)
                end = time.monotonic() + CLOSE_SECONDS
                while connection.recv(CHUNK) and time.monotonic() < end:
                    pass  # the driver cuts it when it has read the last word
            shut(connection)  # a child of this process may hold it too
            connection.close()

    # --- under the lock

    def _beat(self) -> None:
        if self._socket and not self._out:
            self._owed = 0
            self._out = memoryview(pack({"type": "beat", "received": self._ledger.received}))

    def _write(self) -> None:
        while self._socket:
            if not self._out:
                self._out = memoryview(self._ledger.take())
            if not self._out:
                break
            try:
                self._out = self._out[self._socket.send(self._out) :]
            except BlockingIOError:
                break
            except OSError:
                self._read()  # the driver's last words may be there
                self._break()
        if self._socket:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
            if self._selector.get_key(self._socket).events != events:
                self._selector.modify(self._socket, events)
                self._touched |= not self._out

    def _read(self) -> bool:
        """Whether anything has come."""
        came = False
        while self._socket:
            try:
                data = self._socket.recv(CHUNK)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            came = True
            if not data:
                self._break()
                break
            try:
                for message in self._frames.feed(data):
                    self._take(message)
            except ValueError:
                self._end()
            self._owed += len(data)
            if self._owed > ACKNOWLEDGE_BYTES:
                self._beat()
            if len(data) < CHUNK:
                break
        return came

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "over":
            self._end()
        elif message["type"] == "beat":
            self._ledger.acknowledge(message.get("received"))
        else:
            self._ledger.accept(message)
            self._inbox.append(message)

    def _ring(self) -> None:
        """Be ready to read as long as there is something for `receive`, whoever has read it."""
        wanted = bool(self._inbox) or self._touched or self.over.is_set()
        if wanted != self._rung and not self._closing.is_set():
            self._rung = wanted
            if wanted:
                self._selector.register(_always_readable(), selectors.EVENT_READ)
            else:
                self._selector.unregister(_always_readable())

    def _attach(self, connection: socket.socket, received: Any) -> None:
        try:
            self._ledger.resume(received)
        except ValueError:
            connection.close()
            self._end()
            return
        connection.setblocking(False)
        self._frames, self._out, self._owed = Frames(), memoryview(b""), 0
        self._socket = connection
        self._selector.register(connection, selectors.EVENT_READ)
        self._write()

    def _break(self) -> None:
        """The connection is broken; look for another one."""
        if self._detach() and not self.over.is_set():
            threading.Thread(target=self._reconnect, name="hopslite-reconnect", daemon=True).start()

    def _detach(self) -> bool:
        connection, self._socket = self._socket, None
        if connection:
            self._touched = True
            self._selector.unregister(connection)
            shut(connection)  # a child of this process may hold it too
            connection.close()
        return connection is not None

    def _end(self) -> None:
        self.over.set()
        self._detach()

    # --- finding the driver

    def _reconnect(self) -> None:
        try:
            found = self._find(resumed=True)
        except Exception:  # noqa: BLE001 - whatever it is, the slot must learn that nobody looks any more
            found = None
        with self._lock:
            if self._closing.is_set():
                if found:
                    found[0].close()
                return
            if found:
                self._attach(*found)
            else:
                self._end()
            self._ring()

    def _find(self, resumed: bool = False) -> tuple[socket.socket, Any]:
        """A connection for the session, and how many of its messages the driver has received."""
        end = time.monotonic() + RECONNECT_SECONDS
        pause, longest = PAUSES
        refused: float | None = None
        while True:
            try:
                return self._connect(resumed, ATTEMPT_SECONDS if resumed else HANDSHAKE_SECONDS)
            except SessionOver:
                raise
            except (OSError, EOFError) as error:
                now = time.monotonic()
                refused = (refused or now) if isinstance(error, ConnectionRefusedError) else None
                if now + pause > end or (refused and now - refused >= REFUSED_SECONDS):
                    raise
            if self._closing.wait(pause):
                raise EOFError
            pause = min(2 * pause, longest)

    def _connect(self, resumed: bool, seconds: float) -> tuple[socket.socket, Any]:
        connection = socket.create_connection(self._address, timeout=seconds)
        guard = threading.Timer(seconds, shut, [connection])
        guard.daemon = True
        guard.start()
        try:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNANSWERED_SECONDS))
            hello = {"type": "hello", "session": self._name, "resumed": resumed, "received": self._ledger.received}
            welcome = self._greet(connection, hello)
        except BaseException:
            connection.close()
            raise
        finally:
            guard.cancel()
        return connection, welcome

    def _greet(self, connection: socket.socket, hello: dict[str, Any]) -> Any:
        link = Connection(os.dup(connection.fileno()))
        try:
            answer_challenge(link, self._key)
            deliver_challenge(link, self._key)
            link.send_bytes(json.dumps(hello).encode())
            answer = json.loads(link.recv_bytes(CHUNK))
            welcome, received = answer["type"] == "welcome", answer.get("received")
        except (AssertionError, ValueError, LookupError, TypeError) as error:
            raise AuthenticationError(f"what answered is no driver of this version ({error!r})") from error
        finally:
            link.close()
        if not welcome:
            raise SessionOver("the driver has ended the session")
        return received


@functools.cache
def _always_readable() -> socket.socket:
    """The end of a pair whose other end is closed."""
    here, there = socket.socketpair()
    there.close()
    return here
