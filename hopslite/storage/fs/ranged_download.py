"""Ranged download of a large file: ranges arrive in any order, and the MD5 is computed meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable

from fsspec import AbstractFileSystem

from .file_info import FileInfo

__all__ = ["Digest", "PIECE", "Pieces", "Received", "md5_of", "part_size", "write_at"]

PIECE = 16 << 20
READ = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """Size and MD5 of a received file; `md5` has the store's form, or is empty where that cannot be compared."""

    size: int
    md5: str

    def is_exactly(self, info: FileInfo) -> bool:
        return self.size == info.size and self.md5 == info.md5


class Pieces:
    """Local file that is filled in pieces; it is open from the first to the last of them."""

    def __init__(self, info: FileInfo, local: str, part: int | None = None, piece: int | None = None) -> None:
        self._piece = piece or PIECE
        self.info, self.local = info, local
        self.has_changed = False
        self._part = part
        self._file: int | None = None
        self._digest: Digest | None = None
        self._left, self._arrived = len(self.ranges()), 0
        self._md5 = ""
        self._lock = threading.Lock()

    def ranges(self) -> list[tuple[int, int]]:
        """Begin and end of each range to request; none reaches over the end of a part."""
        size, part = self.info.size, self._part or self.info.size
        limits = []
        for first in range(0, size, part):
            last = min(first + part, size)
            limits += [(begin, min(begin + self._piece, last)) for begin in range(first, last, self._piece)]
        return limits

    def fill(self, begin: int, copy: Callable[[int], int]) -> int:
        """Have a piece copied to the file, of which the descriptor is given; returns its length."""
        length = copy(self._open())
        if self._digest is not None:
            self._digest.add(begin, length)
        self._count(length)
        return length

    def _count(self, length: int) -> None:
        with self._lock:  # whoever comes here last does so when all of it has been hashed
            self._arrived += length
            self._left -= 1
            if not self._left:
                self._md5 = self._digest.text() if self._digest is not None else ""
                self._close()

    def got(self) -> Received:
        return Received(self._arrived, self._md5)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _open(self) -> int:
        with self._lock:
            if self._file is None:
                self._file = os.open(self.local, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
                if self.info.md5 and ("-" not in self.info.md5 or self._part):
                    self._digest = Digest(self._file, self.info.size, self._part)
            return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def write_at(file: int, begin: int, data: bytes) -> None:
    """Write all of it to a place in a file."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, begin)
        view, begin = view[count:], begin + count


class Digest:
    """The MD5 of a file, or that of the MD5s of its parts, as S3 has it for what was uploaded in parts.

    Pieces are read from the file when it is their turn: so no memory is needed for those that arrive out of order. Safe
    from many threads, of which one at a time works on each part.

    Args:
        file: the descriptor of the file, to which a piece has been written before `add`.
        size: the file's, in bytes.
        part: the size of its parts; None where it has none.
    """

    def __init__(self, file: int, size: int, part: int | None = None) -> None:
        self._length, self._in_parts = part or size, part is not None
        self._parts = [_Part(file, begin) for begin in range(0, size, self._length)]

    def add(self, begin: int, length: int) -> None:
        """Hash a piece that is in the file; it must not reach over the end of a part."""
        self._parts[begin // self._length].add(begin, length)

    def text(self) -> str:
        """The MD5 as S3 writes it, when all is there."""
        if not self._in_parts:
            return self._parts[0].md5.hexdigest()
        joined = b"".join(part.md5.digest() for part in self._parts)
        return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(self._parts)}"


class _Part:
    def __init__(self, file: int, begin: int) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._file, self._next = file, begin
        self._arrived: dict[int, int] = {}
        self._busy = False
        self._lock = threading.Lock()

    def add(self, begin: int, length: int) -> None:
        with self._lock:
            self._arrived[begin] = length
            if self._busy:
                return
            self._busy = True
        while (at := self._take()) is not None:
            self._read(*at)

    def _take(self) -> tuple[int, int] | None:
        """Begin and end of the next piece, for this thread to hash; None when it has not arrived yet."""
        with self._lock:
            start = self._next
            length = self._arrived.pop(start, None)
            if not length:
                self._busy = False
                return None
            self._next = start + length
            return start, start + length

    def _read(self, begin: int, end: int) -> None:
        while begin < end and (data := os.pread(self._file, min(READ, end - begin), begin)):
            self.md5.update(data)
            begin += len(data)


def md5_of(content: bytes, info: FileInfo) -> str:
    """The MD5 of a small file in the form in which the store has it; empty where it has none, or of several parts."""
    whole, _, parts = info.md5.partition("-")
    if not whole or parts not in ("", "1"):
        return ""
    digest = hashlib.md5(content, usedforsecurity=False)
    return f"{hashlib.md5(digest.digest(), usedforsecurity=False).hexdigest()}-1" if parts else digest.hexdigest()


def part_size(fs: AbstractFileSystem, info: FileInfo) -> int | None:
    """The size of the parts in which an object was uploaded, where S3 reports it; None when there are none."""
    _, _, count = info.md5.partition("-")
    if not count:
        return None
    bucket, _, key = info.path.partition("/")
    with contextlib.suppress(Exception):  # not every S3 knows this request, which only serves to check more
        first = int(fs.call_s3("head_object", Bucket=bucket, Key=key, PartNumber=1)["ContentLength"])
        if first and -(-info.size // first) == int(count):
            return first
    return None
