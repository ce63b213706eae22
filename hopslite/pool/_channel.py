"""The driver's end of the channel to its slots: sessions of authenticated connections that carry JSON frames over TCP.

Handshake and framing are those of `multiprocessing.connection` (HMAC with a random key per run; a 4-byte length before
each frame). Nothing that comes from the network is ever unpickled. A slot then says `hello` with the name of its
session and how many messages of it have come; the answer is `welcome` with the same, or `over`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from ..errors import InvalidArguments
from ._frames import ACKNOWLEDGE_BYTES, Frames, Ledger, pack
from ._link import HANDSHAKE_SECONDS, RECONNECT_SECONDS, ClientLink, shut

__all__ = ["ClientLink", "Peer", "Server"]

log = logging.getLogger(__name__)

SILENCE_SECONDS = 20.0  # a slot says something every 2 s; after this much silence it counts as lost
RESUME_SECONDS = RECONNECT_SECONDS + 2.0  # for a slot to come back; it may notice later that the connection is broken
ACKNOWLEDGE_MESSAGES = 32
OVER = pack({"type": "over"})


class Peer:
    """One slot's session, on the driver's side, which lasts from one connection to the next.

    Lives in the server's thread; `send` and `cut` may be called from any. `on_lost` is told once: when the slot has
    said that it ends, was silent or away for too long, or was dropped.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._lock = threading.Lock()  # guards the ledger, to which any thread adds
        self._ledger = Ledger()
        self._wire: _Wire | None = None
        self._told = 0  # what the slot knows to be received
        self._owed = 0  # bytes received since then
        self._over = False
        self._heard = time.monotonic()  # or lost sight of
        self.leaves = False  # the slot has said so

    def send(self, message: dict[str, Any]) -> None:
        """Deliver it, now or once the slot is back; nothing happens when the session is over."""
        with self._lock:
            if self._over:
                return
            self._ledger.add(message)
        with contextlib.suppress(RuntimeError):  # the server has been closed
            self._server._loop.call_soon_threadsafe(self._flush)

    def cut(self) -> None:
        """`drop`, from any thread."""
        with contextlib.suppress(RuntimeError):
            self._server._loop.call_soon_threadsafe(self.drop)

    def drop(self) -> None:
        """End the session for good and tell `on_lost`. Only in the server's thread."""
        if self._over:
            return
        with self._lock:
            self._over = True
        wire, self._wire = self._wire, None
        if wire:
            wire.end()
        del self._server._sessions[self._name]
        self._server._on_lost(self)

    def attach(self, wire: _Wire, received: Any) -> None:
        """Go on over this connection. Raises ValueError when the slot cannot have received that much."""
        with self._lock:
            self._ledger.resume(received)
        before, self._wire = self._wire, wire
        if before:
            before.abort()
        self._heard = time.monotonic()
        self._tell("welcome")
        self._flush()

    def detach(self, wire: _Wire) -> None:
        """The connection is gone; the slot has some time to come back."""
        if self._wire is wire:
            self._wire, self._heard = None, time.monotonic()

    def take(self, message: dict[str, Any]) -> None:
        """What the slot says. Raises ValueError where it makes no sense."""
        if self._over:
            return
        if message["type"] == "bye":
            self.leaves = True
            self.drop()
        elif message["type"] == "beat":
            with self._lock:
                self._ledger.acknowledge(message.get("received"))
            if self._ledger.received - self._told >= ACKNOWLEDGE_MESSAGES:  # few are cheaper to keep than to answer
                self._tell("beat")
        else:
            self._ledger.accept(message)
            self._server._on_message(self, message)

    def heard(self, size: int) -> None:
        """So many bytes have come."""
        self._heard = time.monotonic()
        self._owed += size
        if self._owed > ACKNOWLEDGE_BYTES:
            self._tell("beat")

    def is_lost(self, now: float) -> bool:
        return now - self._heard > (SILENCE_SECONDS if self._wire else RESUME_SECONDS)

    def forgive(self, now: float) -> None:
        """What was not heard until now does not count."""
        self._heard = now

    def _tell(self, kind: str) -> None:
        self._told, self._owed = self._ledger.received, 0
        if self._wire:
            self._wire.write(pack({"type": kind, "received": self._told}))

    def _flush(self) -> None:
        if self._wire:
            with self._lock:
                data = self._ledger.take()
            if data:
                self._wire.write(data)


class _Wire(asyncio.Protocol):
    """An authenticated connection, which belongs to a session from its `hello` on. Only in the server's thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._wires.add(self)
        self._patience = self._server._loop.call_later(HANDSHAKE_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                if self._peer:
                    self._peer.take(message)
                else:
                    self._greet(message)
        except ValueError as error:
            log.debug("a connection of the channel is dropped: %s", error)
            self._give_up()
        except Exception:
            log.exception("a message of the channel could not be dealt with")
            self._give_up()
        if self._peer:
            self._peer.heard(len(data))

    def _greet(self, message: dict[str, Any]) -> None:
        name = message.get("session")
        if message["type"] != "hello" or not isinstance(name, str):
            raise ValueError("no hello")
        self._patience.cancel()
        peer = self._server._sessions.get(name)
        if peer is None and message.get("resumed"):
            self.end()
            return
        peer = peer or Peer(self._server, name)
        peer.attach(self, message.get("received"))
        self._peer = self._server._sessions[name] = peer

    def _give_up(self) -> None:
        if self._peer:
            self._peer.drop()
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        self._server._wires.discard(self)
        if self._peer:
            self._peer.detach(self)

    def write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """Say that the session is over, if the network takes that at once, and cut."""
        self.write(OVER)
        self.abort()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()


class Server:
    """Listens for slots in a thread of its own.

    Every connection is authenticated in a thread of its own with a time limit, so that a silent stranger holds up
    nobody. `on_message` and `on_lost` are called in the server's thread and must be quick. A slot whose connection
    breaks is lost only when it does not resume its session in time.
    """

    def __init__(
        self,
        host: str,
        ports: range,
        on_message: Callable[[Peer, dict[str, Any]], None],
        on_lost: Callable[[Peer], None],
    ) -> None:
        self.key = os.urandom(32)
        self._on_message, self._on_lost = on_message, on_lost
        self._sessions: dict[str, Peer] = {}
        self._wires: set[_Wire] = set()
        self._socket = _listen(host, ports)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hopslite-channel", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        tasks = [self._loop.create_task(self._accept()), self._loop.create_task(self._watch())]
        self._loop.run_forever()
        for task in (*tasks, *asyncio.all_tasks(self._loop)):
            task.cancel()
        for peer in list(self._sessions.values()):
            peer.drop()
        for wire in list(self._wires):
            wire.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(self._socket)
            except OSError:  # out of descriptors, or the stranger is gone already
                await asyncio.sleep(0.1)
                continue
            threading.Thread(target=self._authenticate, args=(connection,), daemon=True).start()

    def _authenticate(self, stranger: socket.socket) -> None:
        stranger.setblocking(True)
        guard = threading.Timer(HANDSHAKE_SECONDS, shut, [stranger])
        guard.daemon = True
        guard.start()
        link = Connection(os.dup(stranger.fileno()))
        try:
            deliver_challenge(link, self.key)
            answer_challenge(link, self.key)
        except (OSError, EOFError, multiprocessing.AuthenticationError):
            stranger.close()
            return
        finally:
            guard.cancel()
            link.close()
        stranger.setblocking(False)
        stranger.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._loop.call_soon_threadsafe(self._adopt, stranger)

    def _adopt(self, connection: socket.socket) -> None:
        adoption = self._loop.connect_accepted_socket(lambda: _Wire(self), connection)
        self._adopting = self._loop.create_task(adoption)

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(min(SILENCE_SECONDS, RESUME_SECONDS) / 12)
            now = time.monotonic()
            for peer in list(self._sessions.values()):
                if now - before > SILENCE_SECONDS / 2:
                    peer.forgive(now)  # this process itself was stopped; what slots have said is still to be read
                elif peer.is_lost(now):
                    peer.drop()

    def close(self) -> None:
        """Stop listening and end all sessions; what the network has not taken by then is dropped."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._socket.close()


def _listen(host: str, ports: range) -> socket.socket:
    failure: OSError | None = None
    for port in ports:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            failure = error
            continue
        listener.setblocking(False)
        return listener
    raise InvalidArguments(
        "channel_port", [f"no free port among {ports[0]}-{ports[-1]} on {host} ({failure}); choose others"]
    )
