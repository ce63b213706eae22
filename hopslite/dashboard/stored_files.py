"""Files of a directory of the project, for pages: no path leads out of it, neither by its name nor by a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ..errors import HopsliteError
from ..storage.run_directory import RunDir

__all__ = ["NoSuchFile", "StoredFiles"]

MOST_FILES = 5000  # that are listed
PIECE = 1 << 20


class NoSuchFile(HopsliteError):
    """A file is missing, is no regular file, or leads out of its directory."""


class StoredFiles:
    """Files below a directory. Each method reads the disk or the store, so call them in threads.

    Args:
        within: a directory above it; one that is a link to somewhere else has no files.
    """

    def __init__(self, directory: RunDir, within: RunDir | None = None) -> None:
        self._directory = directory
        self._within = within or directory

    @property
    def _root(self) -> str:
        """Path of a local directory.

        Raises:
            NoSuchFile: a link leads out of the directory above it.
        """
        root, top = os.path.realpath(self._directory.url), os.path.realpath(self._within.url)
        if root != top and not root.startswith(top + os.sep):
            raise NoSuchFile(f"{self._directory.shown} is a link that leads out of {self._within.shown}")
        return root

    def sizes(self, hidden: bool = False) -> dict[str, int]:
        """Size of each regular file by its name, sorted; at most `MOST_FILES`.

        Args:
            hidden: with those whose name, or that of a folder above them, begins with a dot.
        """
        if self._directory.is_local:
            try:
                listed = dict(_walk(self._root))
            except NoSuchFile:
                listed = {}
        else:
            listed = self._directory.sizes() if self._directory.exists() else {}
        names = sorted(name for name in listed if _has_address(name) and (hidden or not _is_hidden(name)))
        return {name: listed[name] for name in names[:MOST_FILES]}

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            NoSuchFile: there is no such file in the directory.
        """
        if self._directory.is_local:
            descriptor = _opened(self._root, name)
            try:
                return os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        _check(name)
        try:
            return int(self._directory.fs.size(self._directory.path(name)) or 0)
        except FileNotFoundError:
            raise NoSuchFile(f"there is no file {name!r}") from None

    def read(self, name: str, start: int, end: int) -> bytes:
        """Content of a range of a file's bytes; shorter where the file ends.

        Raises:
            NoSuchFile: there is no such file in the directory.
        """
        if not self._directory.is_local:
            _check(name)
            end = min(end, self.size(name))
            return self._directory.read_bytes(name, start, end) if start < end else b""
        descriptor = _opened(self._root, name)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Content of a file, piece by piece."""
        size = self.size(name)
        for start in range(0, size, PIECE):
            yield self.read(name, start, min(start + PIECE, size))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _has_address(name: str) -> bool:
    """True for names that are UTF-8; a browser can neither show nor ask for others."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(name: str) -> None:
    if {"", ".", ".."} & set(name.split("/")) or "\0" in name:
        raise NoSuchFile(f"{name!r} is not the name of a file here")


def _opened(root: str, name: str) -> int:
    """Descriptor of a regular file below a local directory."""
    _check(name)
    path = os.path.join(root, name)
    top = os.path.realpath(root) + os.sep
    if not os.path.realpath(path).startswith(top):
        raise NoSuchFile(f"{name!r} leads out of its directory")
    try:
        # What is at the path may be replaced meanwhile, so the opened file is checked again.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise NoSuchFile(f"{name!r} cannot be read: {error.strerror}") from None
    is_inside = os.path.realpath(f"/proc/self/fd/{descriptor}").startswith(top) if os.path.isdir("/proc/self") else True
    if not is_inside or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoSuchFile(f"{name!r} is not a regular file of its directory")
    return descriptor


def _walk(root: str) -> Iterator[tuple[str, int]]:
    """Names and sizes of regular files; links are passed over."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                    elif entry.is_file(follow_symlinks=False):
                        yield name, entry.stat(follow_symlinks=False).st_size
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
