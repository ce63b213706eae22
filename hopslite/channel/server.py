"""The driver's end of the channel to its slots: authenticated TCP connections with JSON messages, and their sessions.

Handshake and framing are those of `multiprocessing.connection` (HMAC with a random key per run; a 4-byte length before
each frame). Nothing that comes from the network is ever unpickled. A slot then sends `hello`
with the name of its session and the number of messages it has received; the answer is `welcome` with the driver's
number, or `over`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..errors import InvalidArguments
from .client import ReconnectingClient
from .framing import MAX_FRAME, FrameBuffer
from .handshake import MAX_HANDSHAKE_FRAME, Handshake
from .heartbeat import RESUME_SECONDS, SILENCE_SECONDS
from .message_log import MAX_UNACKED_BYTES, MessageLog, decode_message, encode_message

__all__ = ["ReconnectingClient", "Server", "SlotSession"]

log = logging.getLogger(__name__)

ACKNOWLEDGE_MESSAGES = 32
HELLO_SECONDS = 5.0  # for a connection to authenticate and to send hello; a slot tries again
MAX_UNAUTHENTICATED = 64  # connections at a time
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
SESSION_OVER = encode_message({"type": "over"})


class SlotSession:
    """The driver's side of a slot's session, which continues over successive connections.

    Used in the server's thread; `send` and `request_drop` may be called from any. `on_lost` is called once: when the
    slot has ended the session, was silent or disconnected for too long, or was dropped.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._lock = threading.Lock()  # guards the message log, to which any thread appends
        self._log = MessageLog()
        self._connection: ServerConnection | None = None
        self._last_acked = 0  # received messages, as acknowledged to the slot
        self._unacked_bytes = 0  # received since then
        self._closed = False
        self._last_seen = time.monotonic()  # or disconnected
        self.said_goodbye = False  # the slot has ended the session itself
        self.paused = False  # it takes no trials, since its disk cannot be written

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, now or after the slot has reconnected; ignored after the session's end."""
        with self._lock:
            if self._closed:
                return
            self._log.append(message)
        with contextlib.suppress(RuntimeError):  # the server has been closed
            self._server._loop.call_soon_threadsafe(self._flush)

    def request_drop(self) -> None:
        """Call `drop` in the server's thread, from any thread."""
        with contextlib.suppress(RuntimeError):
            self._server._loop.call_soon_threadsafe(self.drop)

    def drop(self) -> None:
        """End the session for good and call `on_lost`. Only in the server's thread."""
        if self._closed:
            return
        with self._lock:
            self._closed = True
        connection, self._connection = self._connection, None
        if connection:
            connection.end()
        del self._server._sessions[self._name]
        self._server._on_lost(self)

    def attach(self, connection: ServerConnection, received: Any) -> None:
        """Continue over a new connection. Raises ValueError when the slot cannot have received that many messages."""
        with self._lock:
            self._log.resume(received)
        before, self._connection = self._connection, connection
        if before:
            before.abort()
        self._last_seen = time.monotonic()
        self._send_ack("welcome")
        self._flush()

    def detach(self, connection: ServerConnection) -> None:
        """Note that the connection is gone; the slot has some time to reconnect."""
        if self._connection is connection:
            self._connection, self._last_seen = None, time.monotonic()

    def handle(self, message: dict[str, Any]) -> None:
        """Handle a message of the slot. Raises ValueError for an invalid one."""
        if self._closed:
            return
        if message["type"] == "bye":
            self.said_goodbye = True
            self.drop()
        elif message["type"] == "beat":
            with self._lock:
                self._log.acknowledge(message.get("received"))
            if (
                self._log.received - self._last_acked >= ACKNOWLEDGE_MESSAGES
            ):  # keeping a few is cheaper than acknowledging each
                self._send_ack("beat")
        else:
            self._log.accept(message)
            self._server._on_message(self, message)

    def on_bytes(self, size: int) -> None:
        """Note that data has been received, and acknowledge it when there is much."""
        self._last_seen = time.monotonic()
        self._unacked_bytes += size
        if self._unacked_bytes > MAX_UNACKED_BYTES:
            self._send_ack("beat")

    def socket_lost(self, now: float) -> bool:
        return now - self._last_seen > (SILENCE_SECONDS if self._connection else RESUME_SECONDS)

    def reset_silence_timer(self, now: float) -> None:
        """Reset the silence timer."""
        self._last_seen = now

    def _send_ack(self, kind: str) -> None:
        """Send a message with the number of received messages."""
        self._last_acked, self._unacked_bytes = self._log.received, 0
        if self._connection:
            self._connection.write(encode_message({"type": kind, "received": self._last_acked}))

    def _flush(self) -> None:
        if self._connection:
            with self._lock:
                data = self._log.take_pending()
            if data:
                self._connection.write(data)


class ServerConnection(asyncio.Protocol):
    """A connection to the driver: unauthenticated at first, and part of a session after its `hello`.

    Used only in the server's thread.
    """

    def __init__(self, server: Server, host: str) -> None:
        self.host = host
        self._server = server
        self._handshake = Handshake(server.key)
        self._frames = FrameBuffer(MAX_HANDSHAKE_FRAME)
        self._transport: asyncio.Transport | None = None
        self._session: SlotSession | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._connections.add(self)
        self._server._unauthenticated[self] = None
        self._hello_timer = self._server._loop.call_later(HELLO_SECONDS, self.abort)
        self.write(self._handshake.challenge)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                if self._session:
                    self._session.handle(decode_message(frame))
                elif self._handshake.completed:
                    self._on_hello(decode_message(frame))
                else:
                    self._authenticate(frame)
        except ValueError as error:
            log.debug("dropping a connection of the channel: %s", error)
            self._drop()
        except Exception:
            log.exception("a message of the channel could not be handled")
            self._drop()
        if self._session:
            self._session.on_bytes(len(data))

    def _authenticate(self, frame: bytes) -> None:
        self.write(self._handshake.answer(frame))
        if not self._handshake.peer_verified:
            raise ValueError("a wrong key")
        self._server._unauthenticated.pop(self, None)
        if self._handshake.completed:
            self._frames.max_size = MAX_FRAME

    def _on_hello(self, message: dict[str, Any]) -> None:
        name = message.get("session")
        if message["type"] != "hello" or not isinstance(name, str):
            raise ValueError("a message that is not hello")
        self._hello_timer.cancel()
        session = self._server._sessions.get(name)
        if session is None and message.get("resumed"):
            self.end()
            return
        session = session or SlotSession(self._server, name)
        session.attach(self, message.get("received"))
        self._session = self._server._sessions[name] = session

    def _drop(self) -> None:
        if self._session:
            self._session.drop()
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hello_timer.cancel()
        self._server._unauthenticated.pop(self, None)
        self._server._connections.discard(self)
        if self._session:
            self._session.detach(self)

    def write(self, data: bytes) -> None:
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """Tell the slot that the session is over, if the network accepts that at once, and disconnect."""
        self.write(SESSION_OVER)
        self.abort()

    def abort(self) -> None:
        self._server._unauthenticated.pop(self, None)
        if self._transport:
            self._transport.abort()


class Server:
    """Listens for slots in a thread of its own.

    A connection costs one descriptor and no thread. Unauthenticated ones have a time limit, and there are at most
    `MAX_UNAUTHENTICATED`: one more evicts the oldest connection of the host that has the most. So strangers, however
    many, neither keep slots out nor exhaust the driver's descriptors. `on_message` and
    `on_lost` are called in the server's thread and must be quick. A slot whose connection breaks is lost only when it
    does not resume its session in time.
    """

    def __init__(
        self,
        host: str,
        ports: range,
        on_message: Callable[[SlotSession, dict[str, Any]], None],
        on_lost: Callable[[SlotSession], None],
    ) -> None:
        self.key = os.urandom(32)
        self.silence_excused = False  # True while no slot can be heard, for no fault of theirs
        self._on_message, self._on_lost = on_message, on_lost
        self._sessions: dict[str, SlotSession] = {}
        self._connections: set[ServerConnection] = set()
        self._unauthenticated: dict[
            ServerConnection, None
        ] = {}  # those that have not proven to know the key, the oldest first
        self._socket = _listen(host, ports)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hopslite-channel", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        tasks = [self._loop.create_task(self._accept()), self._loop.create_task(self._watch_silence())]
        self._loop.run_forever()
        for task in (*tasks, *asyncio.all_tasks(self._loop)):
            task.cancel()
        for session in list(self._sessions.values()):
            session.drop()
        for connection in list(self._connections):
            connection.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self) -> None:
        while True:
            try:
                connection, address = await self._loop.sock_accept(self._socket)
                await self._start_connection(connection, address[0])
            except OSError as error:  # out of descriptors, or the stranger is gone already
                evicted = error.errno in OUT_OF_RESOURCES and self._evict_unauthenticated()
                await asyncio.sleep(0 if evicted else 0.02)
            except Exception:
                log.exception("a connection to the channel could not be accepted")
                await asyncio.sleep(0.1)

    async def _start_connection(self, connection: socket.socket, host: str) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._unauthenticated) >= MAX_UNAUTHENTICATED:
                self._evict_unauthenticated()
            await self._loop.connect_accepted_socket(lambda: ServerConnection(self, host), connection)
        except BaseException:
            connection.close()
            raise

    def _evict_unauthenticated(self) -> bool:
        """Disconnect the oldest unauthenticated connection of the host that has the most; False if there is none."""
        hosts = Counter(connection.host for connection in self._unauthenticated)
        for connection in self._unauthenticated:
            if hosts[connection.host] == max(hosts.values()):
                connection.abort()
                return True
        return False

    async def _watch_silence(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(min(SILENCE_SECONDS, RESUME_SECONDS) / 12)
            now = time.monotonic()
            for session in list(self._sessions.values()):
                if self.silence_excused or now - before > SILENCE_SECONDS / 2:
                    session.reset_silence_timer(now)  # this process was suspended; messages of slots wait to be read
                elif session.socket_lost(now):
                    session.drop()

    def close(self) -> None:
        """Stop listening and end all sessions; data that the network has not accepted by then is dropped."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._socket.close()


def _listen(host: str, ports: range) -> socket.socket:
    last_error: OSError | None = None
    for port in ports:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            last_error = error
            continue
        listener.setblocking(False)
        return listener
    raise InvalidArguments(
        "channel_port", [f"no free port among {ports[0]}-{ports[-1]} on {host} ({last_error}); choose others"]
    )
