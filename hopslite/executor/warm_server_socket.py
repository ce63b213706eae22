"""Sockets of the warm servers of an executor.

A server listens from its beginning on, under a hidden name. The slot that releases it gives the socket its public name,
and the slot that takes it over gives it the hidden name again, which only one can do. A server that is in use when
another slot connects forks one more (`warm_server_process`), so the names only save that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["WarmServerSocket", "connect", "evict", "listens", "offer", "server_pid", "socket_folder", "starting_lock"]

FOLDER = "hopslite-warm"
MAX_KEYS = 2  # kinds of runs for which servers wait
HIDDEN = "."
ATTEMPTS = 3  # names change while others connect
START_SECONDS = 10.0  # for another slot to start a server
_CREDENTIALS = struct.Struct("3i")
BACKLOG = 128  # slots that wait for an import to end


def socket_folder(scratch: str | None) -> str | None:
    """A folder below an executor's scratch directory that only this user can enter; None if there can be none."""
    if scratch is None:
        return None
    folder = os.path.join(scratch, FOLDER)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        status = os.lstat(folder)
    except OSError:
        return None
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if is_private else None


class WarmServerSocket:
    """Listening socket of a warm server.

    Raises:
        OSError: the folder does not exist.
    """

    def __init__(self, folder: str, key: str) -> None:
        self._path = Path(folder, _name(key, os.getpid()))
        self._listener = socket.socket(socket.AF_UNIX)
        with _short(folder) as short:
            self._listener.bind(os.path.join(short, _hidden(self._path).name))
        self._listener.listen(BACKLOG)

    def fileno(self) -> int:
        return self._listener.fileno()

    @property
    def is_reachable(self) -> bool:
        """False if the folder has been removed, with the executor's scratch directory."""
        return self._path.parent.is_dir()

    def close(self) -> None:
        """Close this process's descriptor of the socket."""
        self._listener.close()

    def accept(self) -> socket.socket:
        return self._listener.accept()[0]

    def remove(self) -> None:
        """Let no other slot connect."""
        for path in (self._path, _hidden(self._path)):
            with contextlib.suppress(OSError):
                path.unlink()
        self._listener.close()


def listens(folder: str, key: str, pid: int) -> bool:
    """True if a server has created its socket."""
    return _hidden(Path(folder, _name(key, pid))).exists()


def offer(folder: str, key: str, pid: int) -> None:
    """Let another slot take over a server."""
    path = Path(folder, _name(key, pid))
    with contextlib.suppress(OSError):  # it has ended
        _hidden(path).rename(path)


def _name(key: str, pid: int) -> str:
    return f"{key}-{pid}"


def _hidden(path: Path) -> Path:
    return path.with_name(f"{HIDDEN}{path.name}")


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(HIDDEN)


def _key(path: Path) -> str:
    return path.name.removeprefix(HIDDEN).rpartition("-")[0]


def connect(folder: str, key: str) -> socket.socket | None:
    """Connect to a server for runs with this key: one that waits for a run, otherwise one that is used."""
    for _ in range(ATTEMPTS):
        paths = [path for path in _entries(folder) if _key(path) == key]
        if not paths:
            break
        for path in sorted(_newest_first(paths), key=_is_hidden):
            if connection := _connect(path):
                return connection
    return None


@contextlib.contextmanager
def starting_lock(folder: str, key: str) -> Iterator[int]:
    """Hold a lock while a server is started; a child that inherits the descriptor holds it until it closes it.

    Slots of an executor begin at the same time: the others then connect to the server of the first.
    """
    descriptor = os.open(os.path.join(folder, f"{HIDDEN}{key}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    give_up_at = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < give_up_at:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.01)
        yield descriptor
    finally:
        os.close(descriptor)


def server_pid(connection: socket.socket) -> int | None:
    """The process that listens at the other end, if the system can say so."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    return int(_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0])


def evict(folder: str, key: str) -> None:
    """End the servers that wait for other keys than this one, except for those with the latest keys."""
    latest: list[str] = []
    for path in _newest_first(_entries(folder)):
        other = _key(path)
        if _is_hidden(path):
            continue
        if other not in (key, *latest):
            latest.append(other)
        if other in latest[MAX_KEYS - 1 :] and (connection := _connect(path)):
            connection.close()


def _entries(folder: str) -> list[Path]:
    with contextlib.suppress(OSError):  # it has been removed
        return list(Path(folder).iterdir())
    return []


def _newest_first(entries: Iterable[Path]) -> list[Path]:
    """The sockets among the entries of the folder that are still there."""
    paths: dict[Path, int] = {}
    for path in entries:
        with contextlib.suppress(OSError):  # it has just been taken, under another name
            if path.is_socket():
                paths[path] = path.stat().st_ctime_ns  # of its renaming
    return sorted(paths, key=lambda path: -paths[path])


def _connect(path: Path) -> socket.socket | None:
    """A connection to a server; None if another slot has just taken it over, or it has ended."""
    connection = socket.socket(socket.AF_UNIX)
    hidden = path if _is_hidden(path) else _hidden(path)
    try:
        if path != hidden:
            path.rename(hidden)
        with _short(str(path.parent)) as short:
            connection.connect(os.path.join(short, hidden.name))
        return connection
    except ConnectionRefusedError:  # it was killed
        hidden.unlink(missing_ok=True)
    except OSError:
        pass
    connection.close()
    return None


@contextlib.contextmanager
def _short(folder: str) -> Iterator[str]:
    """A path to a folder that fits into a socket's address, which has 108 bytes."""
    if not os.path.isdir("/proc/self/fd"):
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
