"""Copies of local files with their checksum: by sharing blocks where the file system can, and with holes kept."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator

from ..fs.checksums import sha256_of

__all__ = ["copy_file"]

FICLONE = 0x40049409  # Linux's request to share all blocks of another file: btrfs, XFS, bcachefs
PIECE = 1 << 20
ZEROS = bytes(PIECE)
Progress = Callable[[int], None]


def copy_file(source: str, target: str, progress: Progress = lambda _: None) -> str:
    """Copy a local file to a new file; returns the SHA-256 of what was written.

    Args:
        progress: is called with the number of bytes of each piece; what it raises ends the copy.

    Raises:
        OSError: it cannot be read or written; part of the target may be there.
    """
    with open(source, "rb", buffering=0) as reader, open(target, "xb", buffering=0) as writer:
        if _shares_blocks(reader.fileno(), writer.fileno()):
            return sha256_of(target, progress)
        return _copy(reader.fileno(), writer.fileno(), progress)


def _shares_blocks(source: int, target: int) -> bool:
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, FICLONE, source)
        return True
    return False


def _copy(source: int, target: int, progress: Progress) -> str:
    digest = hashlib.sha256()
    size = os.fstat(source).st_size
    position = 0
    for begin, end in _data(source, size):
        _hash_zeros(digest, begin - position, progress)
        position = begin
        os.lseek(source, begin, os.SEEK_SET)
        os.lseek(target, begin, os.SEEK_SET)
        while position < end:
            piece = os.read(source, min(PIECE, end - position))
            if not piece:  # it was truncated meanwhile, which shows in the checksum
                break
            digest.update(piece)
            _write(target, piece)
            position += len(piece)
            progress(len(piece))
    _hash_zeros(digest, size - position, progress)
    os.ftruncate(target, size)
    return digest.hexdigest()


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of a file that are no holes; the whole file where the file system does not tell."""
    position = 0
    while position < size:
        try:
            begin = os.lseek(file, position, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return
            begin, end = position, size
        yield begin, min(end, size)
        position = end


def _hash_zeros(digest: hashlib._Hash, count: int, progress: Progress) -> None:
    for first in range(0, count, PIECE):
        piece = ZEROS[: min(PIECE, count - first)]
        digest.update(piece)
        progress(len(piece))


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
