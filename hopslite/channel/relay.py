"""Connections of slots to the driver that are relayed through files in the run's directory.

For executors that cannot connect to the driver: they and the driver can both reach the project. A slot connects to its
`RelayEntrance` on its own machine, and the driver's `RelayExit` to the driver's server. What is sent in between is
written to files, a piece of the stream in each. Handshake, frames and sessions are those of the channel, from end to
end.

    relay/TOKEN/alive                      a number that rises while the driver lives
    relay/TOKEN/up/CONNECTION-00000001     to the driver; `down` to the slot

The first byte of a piece is its kind: `o` opens the connection, `d` has data, `c` closes it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..storage.run_directory import RunDir
from .client import shutdown_socket
from .heartbeat import HEARTBEAT_SECONDS, SILENCE_SECONDS

__all__ = ["RelayEntrance", "RelayExit"]

log = logging.getLogger(__name__)

FOLDER = "relay"
CHUNK = 1 << 16
MAX_PIECE = 1 << 20  # bytes in a file
OPEN, DATA, CLOSE = b"o", b"d", b"c"
LOCAL_WAITS = (0.002, 0.02)  # seconds between two looks for files: the least, and the most when nothing comes
REMOTE_WAITS = (0.05, 0.5)
MAX_STREAMS = 8  # of an entrance: its slot needs one, and others on the machine could open any number
RETRY_SECONDS = 1.0  # after an error of the store


class _Piece(NamedTuple):
    """Name of a file with a piece of a connection's stream."""

    connection: str
    number: int

    @classmethod
    def parse(cls, name: str) -> _Piece | None:
        connection, _, number = name.partition("-")
        return cls(connection, int(number)) if number.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.connection}-{self.number:08}"


class _Waits:
    """Pauses between two looks for files, which become longer while none come."""

    def __init__(self, run: RunDir, closing: threading.Event) -> None:
        self._least, self._most = LOCAL_WAITS if run.is_local else REMOTE_WAITS
        self._seconds, self._closing = self._least, closing

    def reset(self) -> None:
        self._seconds = self._least

    def wait(self) -> None:
        self._closing.wait(self._seconds)
        self._seconds = min(1.5 * self._seconds, self._most)


class _Sender:
    """Writes what comes from a socket to numbered files, until either end closes."""

    def __init__(self, folder: RunDir, connection: str, stream: socket.socket, closing: threading.Event) -> None:
        self._folder, self._connection, self._stream, self._closing = folder, connection, stream, closing
        self._number = 0

    def run(self) -> None:
        for data in _pieces(self._stream):
            if not self.write(DATA + data):
                return
        self.write(CLOSE)

    def write(self, content: bytes) -> bool:
        """Write the next file, as often as the store needs; False if the relay was closed before."""
        self._number += 1
        name = str(_Piece(self._connection, self._number))
        while not self._closing.is_set():
            try:
                self._folder.write_bytes(name, content)
                return True
            except OSError as error:
                log.debug("the relay cannot write %s: %s", name, error)
                self._closing.wait(RETRY_SECONDS)
        return False


def _pieces(stream: socket.socket) -> Iterator[bytes]:
    """Data that a socket receives, in pieces: each has all that has come since the one before, up to `MAX_PIECE`."""
    with contextlib.suppress(OSError):
        while data := stream.recv(CHUNK):
            parts, size = [data], len(data)
            with contextlib.suppress(BlockingIOError):
                while size < MAX_PIECE and (data := stream.recv(CHUNK, socket.MSG_DONTWAIT)):
                    parts.append(data)
                    size += len(data)
            yield b"".join(parts)


def _deliver(stream: socket.socket, content: bytes) -> bool:
    """Send a piece to a socket; False at the end of the connection."""
    if content[:1] == DATA:
        with contextlib.suppress(OSError):
            stream.sendall(content[1:])
            return True
    shutdown_socket(stream)
    return False


def _start(target: Callable[[], None], name: str) -> None:
    threading.Thread(target=target, name=f"hopslite-relay-{name}", daemon=True).start()


class RelayEntrance:
    """The end of a relay in a slot, which listens on this machine for the slot's own connection.

    It closes when the driver's end has closed, or gives no sign of life for `SILENCE_SECONDS`.

    Raises:
        OSError: the directory of the relay is not there.
    """

    def __init__(self, url: str) -> None:
        self._folder = RunDir(url)
        self._up, self._down = self._folder.sub("up"), self._folder.sub("down")
        if not self._folder.exists("alive"):
            raise FileNotFoundError(f"{self._folder.shown} is not visible on {socket.gethostname()}")
        self._closing = threading.Event()
        self._streams: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        _start(self._accept, "accept")
        _start(self._watch, "watch")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                stream, _ = self._listener.accept()
                if len(self._streams) >= MAX_STREAMS:
                    stream.close()
                    continue
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._streams.add(stream)
                connection = secrets.token_hex(8)
                _start(lambda s=stream, c=connection: self._send(s, c), "up")  # type: ignore[misc]
                _start(lambda s=stream, c=connection: self._receive(s, c), "down")  # type: ignore[misc]

    def _send(self, stream: socket.socket, connection: str) -> None:
        sender = _Sender(self._up, connection, stream, self._closing)
        if sender.write(OPEN):
            sender.run()
        self._forget(stream)

    def _receive(self, stream: socket.socket, connection: str) -> None:
        number, waits = 1, _Waits(self._folder, self._closing)
        while not self._closing.is_set() and stream in self._streams:
            name = str(_Piece(connection, number))
            try:
                content = self._down.read_bytes(name)
            except FileNotFoundError:
                waits.wait()
                continue
            except OSError:
                self._closing.wait(RETRY_SECONDS)
                continue
            with contextlib.suppress(OSError):  # the driver removes all at the end
                self._down.remove([name])
            if not _deliver(stream, content):
                break
            number += 1
            waits.reset()
        self._forget(stream)

    def _forget(self, stream: socket.socket) -> None:
        self._streams.discard(stream)
        shutdown_socket(stream)

    def _watch(self) -> None:
        """Close when the number of the driver's end has not changed for long; a store that fails says nothing."""
        last, changed_at, gone = b"", time.monotonic(), 0
        while not self._closing.wait(HEARTBEAT_SECONDS):
            try:
                content = self._folder.read_bytes("alive")
            except FileNotFoundError:
                gone += 1
                if gone > 1:  # it is not being replaced
                    break
                continue
            except OSError:
                changed_at = time.monotonic()
                continue
            gone = 0
            if content != last:
                last, changed_at = content, time.monotonic()
            elif time.monotonic() - changed_at > SILENCE_SECONDS:
                break
        self.close()

    def close(self, patience: float = 0.0) -> None:
        """Close the listener and all connections, which have `patience` seconds to end by themselves."""
        deadline = time.monotonic() + patience
        while self._streams and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing.set()
        shutdown_socket(self._listener)
        self._listener.close()
        for stream in list(self._streams):
            self._forget(stream)


class RelayExit:
    """The end of a relay in the driver, which connects to the driver's server for each connection of a slot.

    Args:
        run: the run's directory.
        server: address of the channel's server.
        on_outage: is called with True when the store does not answer, and with False when it does again.
    """

    def __init__(self, run: RunDir, server: tuple[str, int], on_outage: Callable[[bool], None]) -> None:
        self._server, self._on_outage = server, on_outage
        self._folder = run.sub(FOLDER, secrets.token_hex(8))
        self._up, self._down = self._folder.sub("up"), self._folder.sub("down")
        for name in run.list(FOLDER):  # of a driver that was killed
            _remove(run.sub(FOLDER, name))
        for folder in (self._up, self._down):
            folder.makedirs()
        self._folder.write_bytes("alive", b"0")
        self._closing = threading.Event()
        self._streams: dict[str, socket.socket] = {}
        self._expected: dict[str, int] = {}
        _start(self._beat, "beat")
        _start(self._receive, "exit")

    @property
    def url(self) -> str:
        """The directory, for `RelayEntrance`."""
        return self._folder.url

    def _beat(self) -> None:
        number = 0
        while not self._closing.wait(HEARTBEAT_SECONDS):
            number += 1
            with contextlib.suppress(OSError):
                self._folder.write_bytes("alive", str(number).encode())

    def _receive(self) -> None:
        waits = _Waits(self._folder, self._closing)
        while not self._closing.is_set():
            try:
                received = self._receive_pieces()
                self._on_outage(False)
                if received:
                    waits.reset()
                else:
                    waits.wait()
            except OSError as error:
                log.debug("the relay cannot read %s: %s", self._folder.shown, error)
                self._on_outage(True)
                self._closing.wait(RETRY_SECONDS)

    def _receive_pieces(self) -> bool:
        """Deliver the files that have come; True if there were any."""
        pieces = sorted(piece for piece in map(_Piece.parse, self._up.list()) if piece is not None)
        names = [str(piece) for piece in pieces]
        for piece, content in zip(pieces, self._up.read_many(names), strict=True):
            if content is None or piece.number > self._expected.get(piece.connection, 1):
                continue  # an earlier one is not listed yet
            if piece.number == self._expected.get(piece.connection, 1):  # a smaller one could not be removed
                self._expected[piece.connection] = piece.number + 1
                self._handle(piece.connection, content)
            self._up.remove([str(piece)])
        return bool(pieces)

    def _handle(self, connection: str, content: bytes) -> None:
        if self._closing.is_set():
            return
        if content[:1] == OPEN:
            with contextlib.suppress(OSError):  # the server is being closed
                self._streams[connection] = stream = socket.create_connection(self._server, SILENCE_SECONDS)
                stream.settimeout(None)
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sender = _Sender(self._down, connection, stream, self._closing)
                _start(sender.run, "down")
        elif (stream_of := self._streams.get(connection)) is not None and not _deliver(stream_of, content):
            del self._streams[connection]

    def close(self) -> None:
        """Close all connections and remove the directory, as far as the store answers."""
        self._closing.set()
        for stream in list(self._streams.values()):  # the thread that receives may be changing them
            shutdown_socket(stream)
            stream.close()
        _remove(self._folder)


def _remove(folder: RunDir) -> None:
    """Remove the directory of a relay, as far as the store answers."""
    with contextlib.suppress(OSError):
        folder.remove(["alive"])
        for pieces in (folder.sub("up"), folder.sub("down")):
            pieces.remove_many(pieces.list())
        if folder.is_local:
            for path in (folder.path("up"), folder.path("down"), folder.url, os.path.dirname(folder.url)):
                os.rmdir(path)
