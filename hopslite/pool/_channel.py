"""The authenticated channel between the driver and its slots: JSON frames over TCP.

Handshake and framing are those of `multiprocessing.connection` (HMAC with a random key per run; a 4-byte length before
each frame). Nothing that comes from the network is ever unpickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from ..errors import InvalidArguments
from ._task import HANDSHAKE_SECONDS, ClientLink, shut

__all__ = ["ClientLink", "Peer", "Server"]

SILENCE_SECONDS = 20.0  # a slot says something every 2 s; after this much silence it counts as lost
MAX_FRAME = 64 << 20
_LENGTH = struct.Struct("!i")


class Peer(asyncio.Protocol):
    """One connected slot, on the driver's side. Lives in the server's thread; `send` may be called from any."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.last_heard = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._peers.add(self)

    def data_received(self, data: bytes) -> None:
        self.last_heard = time.monotonic()
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer)
            if not 0 <= size <= MAX_FRAME:
                self.drop()
                return
            if len(buffer) < _LENGTH.size + size:
                return
            frame = bytes(buffer[_LENGTH.size : _LENGTH.size + size])
            del buffer[: _LENGTH.size + size]
            try:
                message = json.loads(frame)
            except (ValueError, RecursionError):
                self.drop()
                return
            if message["type"] != "beat":
                self._server._on_message(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._peers.discard(self)
        self._server._on_lost(self)

    def send(self, message: dict[str, Any]) -> None:
        frame = json.dumps(message).encode()
        with contextlib.suppress(RuntimeError):  # the server has been closed
            self._server._loop.call_soon_threadsafe(self._write, _LENGTH.pack(len(frame)) + frame)

    def _write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def cut(self) -> None:
        """`drop`, from any thread."""
        with contextlib.suppress(RuntimeError):
            self._server._loop.call_soon_threadsafe(self.drop)

    def drop(self) -> None:
        """Cut the connection; `on_lost` follows. Only in the server's thread."""
        if self._transport:
            self._transport.abort()


class Server:
    """Listens for slots in a thread of its own.

    Every connection is authenticated in a thread of its own with a time limit, so that a silent stranger holds up
    nobody. `on_message` and `on_lost` are called in the server's thread and must be quick.
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
        self._peers: set[Peer] = set()
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
        for peer in list(self._peers):
            peer.drop()
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
        adoption = self._loop.connect_accepted_socket(lambda: Peer(self), connection)
        self._adopting = self._loop.create_task(adoption)

    async def _watch(self) -> None:
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(SILENCE_SECONDS / 6)
            limit = time.monotonic() - SILENCE_SECONDS
            if time.monotonic() - asleep > SILENCE_SECONDS / 2:
                continue  # this process itself was stopped; what slots have said meanwhile is still to be read
            for peer in list(self._peers):
                if peer.last_heard < limit:
                    peer.drop()

    def close(self) -> None:
        """Stop listening and cut all connections; what the network has not taken by then is dropped."""
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
