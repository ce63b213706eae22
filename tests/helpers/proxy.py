"""A network between a slot and its driver that a test can cut, freeze and slow down."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time


class Proxy:
    """Relays TCP connections to `target` until it is closed."""

    def __init__(self, target: tuple[str, int], delay: float = 0.0) -> None:
        self.target, self.delay = target, delay
        self.accepted = 0
        self._down = False
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, hard: bool = False) -> None:
        """Break all connections, what is on its way included; new ones are possible.

        Args:
            hard: with a reset instead of an orderly end.
        """
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    if hard:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RD if hard else socket.SHUT_RDWR)

    def down(self) -> None:
        """Break all connections, and new ones at once, until `up`."""
        self._down = True
        self.cut()

    def up(self) -> None:
        self._down = False

    def freeze(self) -> None:
        """Swallow everything without a word, until `thaw`; connections stay."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._flows.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.down()

    def passes(self, data: bytes) -> None:
        """For those who want to see what is relayed."""

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.accepted += 1
                if self._down:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self.target, timeout=10)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pair = (near, far)
                with self._lock:
                    self._pairs.add(pair)
                for source, sink in (pair, pair[::-1]):
                    threading.Thread(target=self._relay, args=(pair, source, sink), daemon=True).start()
                if self._down:  # meanwhile
                    self.cut()

    def _relay(self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                if self.delay:
                    time.sleep(self.delay)
                if pair not in self._pairs:
                    break
                self.passes(data)
                sink.sendall(data)
        with self._lock:
            self._pairs.discard(pair)
        source.close()  # the other thread is woken by the end of its own source
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
