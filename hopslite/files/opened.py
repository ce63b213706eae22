"""Files of a project's store, opened as Python opens local ones."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from typing import Any

from ..errors import InvalidArguments, StoreError
from ..store._found import NotAFile, told
from ..store.filesystems import is_local
from ..store.transfer import upload_files
from .install import found_at
from .paths import Place

__all__ = ["open_place"]


def open_place(place: Place, flags: str, buff_size: int) -> Any:
    """As `hdfs.open_file`."""
    how, rest = flags[:1], flags[1:].replace("w", "", 1) if flags[:2] == "rw" else flags[1:]
    if how not in ("r", "w", "a") or rest not in ("", "t", "b"):
        raise InvalidArguments(
            "open_file", [f"flags={flags!r}; give 'r', 'w' or 'a', with a 't' behind it for text: 'rt'"]
        )
    if how != "r":
        place.check_may_be_file()
    found = found_at(place)
    if found is not None and found.is_folder:
        raise NotAFile(f"{place.url} is a directory; ls() lists it")
    size = buff_size if buff_size > 0 else io.DEFAULT_BUFFER_SIZE
    with told(place.fs, place.path):
        if how == "r":
            file: Any = io.BufferedReader(_Reader(place), size)
        elif how == "w":
            file = _Whole(place)
        else:
            file = _appending(place, found is None)
    return _Text(file, encoding="utf-8") if rest == "t" else file


def _appending(place: Place, is_new: bool) -> Any:
    if is_new:
        upload_files(place.fs, [(os.devnull, place.path)])
    try:
        return place.fs.open(place.path, "ab")
    except (NotImplementedError, ValueError) as error:
        raise StoreError(f"{place.url}: files in this store cannot be appended to") from error


class _Reader(io.RawIOBase):
    """What a file system opens, with all that Python's own buffers ask of a file."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file = place.fs.open(place.path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with told(self._place.fs, self._place.path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Whole(io.BufferedWriter):
    """Takes what is written, on this machine, and gives it to the store when it is closed.

    Nothing is given when a `with` block ends with an error, or when the file is not closed.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._is_wanted = True
        where = os.path.dirname(place.path) if is_local(place.fs) else None
        if where is not None:
            os.makedirs(where, exist_ok=True)
        number, self._local = tempfile.mkstemp(prefix="hopslite-")
        super().__init__(io.FileIO(number, "wb"))

    def discard(self) -> None:
        """What is written is not wanted."""
        self._is_wanted = False
        self.close()

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.close() if kind is None else self.discard()

    def __del__(self) -> None:
        if not self.closed:
            self.discard()

    def close(self) -> None:
        if self.closed:
            return
        try:
            super().close()
            if self._is_wanted:
                upload_files(self._place.fs, [(self._local, self._place.path)])
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._local)


class _Text(io.TextIOWrapper):
    """Text over one of the files above."""

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None and isinstance(self.buffer, _Whole):
            self.buffer.discard()
        self.close()

    def __del__(self) -> None:
        if isinstance(self.buffer, _Whole) and not self.buffer.closed:
            self.buffer.discard()
