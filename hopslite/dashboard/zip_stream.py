"""A zip archive of files that is made while it is sent."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator

__all__ = ["zipped"]


class _Buffer:
    """Output of a zip archive until it is taken; it cannot be sought in."""

    def __init__(self) -> None:
        self._content = bytearray()

    def write(self, data: bytes) -> int:
        self._content += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        content = bytes(self._content)
        self._content.clear()
        return content


def zipped(files: Iterable[tuple[str, Iterator[bytes]]]) -> Iterator[bytes]:
    """Content of a zip archive, piece by piece.

    Args:
        files: names, and their content in pieces.
    """
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for name, pieces in files:
            with archive.open(name, "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
                    if content := buffer.take():
                        yield content
    yield buffer.take()
