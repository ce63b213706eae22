"""Local files: complete or exclusive writes, reads that never wait, and durable directories."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator

__all__ = [
    "MISSING",
    "OF_ONE_FILE",
    "create_exclusively",
    "names_in",
    "nearest_existing",
    "read_content",
    "read_from",
    "read_range",
    "sync_folder",
]
__all__ += ["temporary_file"]

MISSING = (FileNotFoundError, NotADirectoryError)
OF_ONE_FILE = (PermissionError, IsADirectoryError)  # errors that say nothing about other files


def read_content(path: str, most: int | None) -> bytes | OSError | None:
    """Content of a local file; None if it is missing. A pipe or device is not read, which might never end."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return IsADirectoryError(errno.EISDIR, "it is no file", path)
            return file.read(-1 if most is None else most + 1)
    except MISSING:
        return None
    except OF_ONE_FILE as error:
        return error


def read_from(path: str, start: int) -> bytes:
    """Content of a local file from an offset on.

    Raises:
        OSError: it cannot be read, or is a pipe or device, which might never end.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is no file", path)
        file.seek(start)
        return file.read()


def names_in(path: str) -> list[str]:
    """Sorted names in a local folder; a file's own name."""
    try:
        return sorted(os.listdir(path))
    except NotADirectoryError:
        return [os.path.basename(path)]


def read_range(path: str, start: int | None, end: int | None) -> bytes:
    """Bytes of a local file from `start` to before `end`, which count from its end if they are negative."""
    with open(path, "rb") as file:
        first, last, _ = slice(start, end).indices(os.fstat(file.fileno()).st_size)
        file.seek(first)
        return file.read(max(0, last - first) if end is not None else -1)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def temporary_file(target: str, data: bytes, durable: bool = False, private: bool = False) -> Iterator[str]:
    """Temporary file beside `target`, removed afterwards unless it was renamed."""
    temporary = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb", opener=_private if private else None) as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def create_exclusively(target: str, data: bytes) -> None:
    """Create a local file exclusively, complete from the start where the file system has hard links."""
    with temporary_file(target, data) as temporary:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:
            with open(target, "xb") as file:
                file.write(data)


def sync_folder(path: str) -> None:
    """Sync a local folder, so that its list of files is durable."""
    with contextlib.suppress(OSError):  # not supported by every file system
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def nearest_existing(path: str) -> str:
    """The path itself, or the nearest folder above it that exists.

    Raises:
        OSError: the path can never exist, since a name is too long or belongs to a file.
    """
    while True:
        try:
            os.lstat(path)
        except FileNotFoundError:
            path = os.path.dirname(path)
        else:
            return path
