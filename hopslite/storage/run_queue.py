"""Queue of the runs that wait for this machine: one lock file for each, first in, first out.

A run holds the lock of its file while it waits and while it works. The kernel releases it when the process ends,
however it ends, so nothing compares process ids, and the queue goes on by itself when any of its members is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets

from .machine_cache import locked, state_folder

__all__ = ["Ticket", "take_ticket"]

FOLDER = "queue"
_NAME = re.compile(r"([0-9]{8,12})-[0-9a-f]{8}\.ticket")


class Ticket:
    """Place of a run in the queue, from `take_ticket` to `release` or the end of this process."""

    def __init__(self, folder: str, number: int, label: str) -> None:
        self._folder, self._number = folder, number
        self._path = os.path.join(folder, f"{number:08d}-{secrets.token_hex(4)}.ticket")
        self._file: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.write(self._file, json.dumps({"pid": os.getpid(), "run": label}).encode())  # for people

    def ahead(self) -> int:
        """Number of runs before this one that wait or work; files of ended ones are removed."""
        with locked(_lock(self._folder), exclusive=True):
            return sum(number < self._number and _is_alive(path) for number, path in _tickets(self._folder))

    def release(self) -> None:
        """Leave the queue; idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough: a forked process may have it open, too
            os.close(self._file)
            self._file = None


def take_ticket(label: str) -> Ticket:
    """Enter the queue at its end.

    Args:
        label: of the run, for people who look into the file.

    Raises:
        OSError: the queue's folder cannot be written.
    """
    folder = os.path.join(state_folder(), FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with locked(_lock(folder), exclusive=True):
        last = max((number for number, path in _tickets(folder) if _is_alive(path)), default=0)
        return Ticket(folder, last + 1, label)


def _lock(folder: str) -> str:
    return f"{folder}.lock"


def _tickets(folder: str) -> list[tuple[int, str]]:
    """Numbers and paths of the tickets; other files are passed over."""
    matches = (match for name in os.listdir(folder) if (match := _NAME.fullmatch(name)))
    return [(int(match[1]), os.path.join(folder, match[0])) for match in matches]


def _is_alive(path: str) -> bool:
    """True if a process holds the ticket; the file of another one is removed. The queue's lock is held."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # a directory, or somebody else's file
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return False
    finally:
        os.close(file)
