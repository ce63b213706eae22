"""Text files written by users."""

from __future__ import annotations

import codecs

from ..errors import InvalidArguments

__all__ = ["read_text"]


def read_text(path: str) -> str:
    """Read a file in UTF-8.

    Raises:
        InvalidArguments: it is in something else; the message has the first line that shows it.
    """
    with open(path, "rb") as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidArguments(
            path,
            [f"{path}, line {line}: this is not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8"],
        ) from None
