"""Free space of a file system, write probes, and the errors that mean that it is full."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable

from ..errors import StoreError

__all__ = ["FULL", "PROBE_BYTES", "device_of", "lacks_room", "shown_room", "try_to_write", "why_not_writable"]

FULL = (errno.ENOSPC, errno.EDQUOT)  # also raised without free inodes
PROBE_BYTES = 64 << 10  # a file system that takes less than this counts as full
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def try_to_write(folder: str) -> None:
    """Write a small file into a local folder and remove it; where Linux allows, the file never has a name.

    Raises:
        OSError: that cannot be done; the message says how much room there is.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".probe-") as file:
            file.write(b"\1" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _same_kind(error, f"{folder}: {error.strerror or error}{_room_of(folder, error)}") from error


def why_not_writable(folders: Iterable[str]) -> str | None:
    """First reason why one of these local folders cannot be written; None if all can."""
    for folder in folders:
        try:
            try_to_write(folder)
        except OSError as error:
            return str(error)
    return None


def lacks_room(error: BaseException | None, folders: Iterable[str] = ()) -> bool:
    """True if an exception, or one that led to it, says that a file system is full.

    Args:
        folders: the local folders whose file systems matter. An error that names its file must then be about one of
            them, and of one that names none the file system must still be full. Without folders any error counts.
    """
    places = list(folders)
    for link in _chain(error):
        if isinstance(link, shutil.Error) and any(os.strerror(number) in str(link) for number in FULL):
            return True  # from copying a folder; its errors are only text
        if isinstance(link, OSError) and link.errno in FULL:
            if not places:
                return True
            names = [name for name in (link.filename, link.filename2) if isinstance(name, str)]
            if names:  # a copy has two
                return not {device_of(name) for name in names}.isdisjoint(map(device_of, places))
            return any(map(_is_full, places))
    return False


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_full(folder: str) -> bool:
    """True if a local file system has hardly any bytes or no inodes left."""
    try:
        status = os.statvfs(_existing(folder))
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < PROBE_BYTES or (status.f_files > 0 and status.f_favail == 0)


def device_of(path: str) -> int | None:
    """Device number of the file system of a local path, which need not exist yet; None if unknown."""
    try:
        return os.stat(_existing(path)).st_dev
    except OSError:
        return None


def shown_room(path: str) -> str:
    """Free space on the file system of a local path, as text; empty if it is not known."""
    try:
        place = _existing(path)
        status = os.statvfs(place)
        while not os.path.ismount(place):
            place = os.path.dirname(place)
    except OSError:
        return ""
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    text = f"the file system {place} has {_shown_bytes(free)} of {_shown_bytes(size)} free"
    if status.f_files > 0 and status.f_favail == 0:
        text += f" and none of its {status.f_files} inodes (files and directories)"
    return text


def _room_of(folder: str, error: OSError) -> str:
    room = shown_room(folder) if error.errno in FULL else ""
    return f"; {room}" if room else ""


def _same_kind(error: OSError, text: str) -> OSError:
    """Copy of an error, of the same class and number, with another message."""
    kind = type(error) if isinstance(error, (FileNotFoundError, PermissionError)) else StoreError
    copied: OSError = kind(text)
    copied.errno = error.errno
    return copied


def _existing(path: str) -> str:
    """Path, or the nearest folder above it that exists."""
    path = os.path.abspath(path)
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _shown_bytes(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"
