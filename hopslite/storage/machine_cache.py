"""Folders of this machine for what its processes make once and share, and the locks under which they make it.

It is apart from `cache`, whose imports take a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator

from ..errors import StoreError
from .cache_entry import remove_tree

__all__ = ["cache_folder", "locked", "locked_at_once", "machine_folder", "remove_unused", "state_folder"]

VARIABLES = "TMPDIR or XDG_STATE_HOME"
UNUSED_SECONDS = 7 * 24 * 3600


def cache_folder() -> tuple[str, bool]:
    """Cache directory of this machine; True if it outlives this program.

    It is in the first of Spark's scratch directories (`SPARK_LOCAL_DIRS`) that can be written to, which Spark removes
    with the executor; elsewhere it is this user's own below the directory for temporary files.

    Raises:
        StoreError: it belongs to somebody else, or cannot be made.
    """
    for folder in filter(None, os.environ.get("SPARK_LOCAL_DIRS", "").split(",")):
        with contextlib.suppress(OSError):
            return _private_folder(os.path.join(folder, "hopslite-cache")), False
    return machine_folder(), True


def machine_folder() -> str:
    """Cache directory of this user on this machine, which outlives programs and Spark's applications.

    Raises:
        StoreError: as for `cache_folder`.
    """
    return _private_folder(os.path.join(tempfile.gettempdir(), f"hopslite-cache-{os.getuid()}"))


def state_folder() -> str:
    """Directory of this user on this machine that outlives it: `XDG_STATE_HOME`, or below `~/.local/state`.

    Raises:
        StoreError: it cannot be made.
    """
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    parent = os.path.join(state, "hopslite")
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(f"no directory for runs that wait can be made: {error}; set XDG_STATE_HOME") from error
    return _private_folder(os.path.join(parent, re.sub(r"[^\w.-]", "_", socket.gethostname()) or "localhost"))


def _private_folder(folder: str) -> str:
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        status = os.lstat(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error}; set {VARIABLES} to a place that works") from error
    if not os.path.isdir(folder) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StoreError(
            f"{folder} is not a directory that only this user can use; remove it, or set {VARIABLES} to another place"
        )
    if not os.access(folder, os.W_OK):
        raise StoreError(f"{folder} cannot be written to; set {VARIABLES} to another place")
    return folder


@contextlib.contextmanager
def locked(path: str, *, exclusive: bool) -> Iterator[int]:
    """Hold a lock on this machine, which the kernel releases when its process ends; yields its descriptor."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            if _is_still(lock, path):
                yield lock
                return
        finally:
            _release(lock)


@contextlib.contextmanager
def locked_at_once(path: str) -> Iterator[bool]:
    """Share a lock that exists, without waiting for it; yields False if another process has it alone, or it is gone."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_locked = _is_still(lock, path)
        except OSError:
            is_locked = False
        yield is_locked
    finally:
        _release(lock)


def _release(lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: a process forked meanwhile has the file open, too
    os.close(lock)


def _is_still(lock: int, path: str) -> bool:
    """True if the locked file still has its name; it is removed together with its entry."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(lock), os.stat(path))
    return False


def remove_unused(root: str, now: Callable[[], float] = time.time) -> None:
    """Remove entries that were not used for a week, and leftovers of killed processes."""
    for lock in [name for name in os.listdir(root) if name.endswith(".lock")]:
        path = os.path.join(root, lock)
        with contextlib.suppress(OSError):
            if now() - os.stat(path).st_mtime < UNUSED_SECONDS:
                continue
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(file, path) and now() - os.stat(path).st_mtime >= UNUSED_SECONDS:
                    for left in (path.removesuffix(".lock"), f"{path.removesuffix('.lock')}.partial"):
                        remove_tree(left)
                    os.unlink(path)
            finally:
                _release(file)
