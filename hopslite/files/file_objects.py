"""File objects for a project's store, with the interface of local ones."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from typing import Any

from ..errors import InvalidArguments, StoreError
from ..storage.fs.file_info import NotAFile, translate_errors
from ..storage.fs.transfer import upload_files
from ..storage.fs.urls import is_local
from .paths import ResolvedPath
from .put import info_at

__all__ = ["open_path"]


def open_path(resolved: ResolvedPath, flags: str, buff_size: int) -> Any:
    """As `hdfs.open_file`."""
    how, rest = flags[:1], flags[1:].replace("w", "", 1) if flags[:2] == "rw" else flags[1:]
    if how not in ("r", "w", "a") or rest not in ("", "t", "b"):
        raise InvalidArguments(
            "open_file", [f"flags={flags!r}; give 'r', 'w' or 'a', with a 't' behind it for text: 'rt'"]
        )
    if how != "r":
        resolved.check_may_be_file()
    info = info_at(resolved)
    if info is not None and info.is_folder:
        raise NotAFile(f"{resolved.url} is a directory; ls() lists it")
    size = buff_size if buff_size > 0 else io.DEFAULT_BUFFER_SIZE
    with translate_errors(resolved.fs, resolved.path):
        if how == "r":
            file: Any = io.BufferedReader(_Reader(resolved), size)
        elif how == "w":
            file = _Whole(resolved)
        else:
            file = _appending(resolved, info is None)
    return _Text(file, encoding="utf-8") if rest == "t" else file


def _appending(resolved: ResolvedPath, is_new: bool) -> Any:
    if is_new:
        upload_files(resolved.fs, [(os.devnull, resolved.path)])
    try:
        return resolved.fs.open(resolved.path, "ab")
    except (NotImplementedError, ValueError) as error:
        raise StoreError(f"{resolved.url}: files in this store cannot be appended to") from error


class _Reader(io.RawIOBase):
    """Adapter of a file system's reader to the interface that Python's buffers need."""

    def __init__(self, resolved: ResolvedPath) -> None:
        self._resolved = resolved
        self._file = resolved.fs.open(resolved.path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with translate_errors(self._resolved.fs, self._resolved.path):
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
    """Local buffer for writing, uploaded to the store when it is closed.

    Nothing is given when a `with` block ends with an error, or when the file is not closed.
    """

    def __init__(self, resolved: ResolvedPath) -> None:
        self._resolved = resolved
        self._is_wanted = True
        where = os.path.dirname(resolved.path) if is_local(resolved.fs) else None
        if where is not None:
            os.makedirs(where, exist_ok=True)
        number, self._local = tempfile.mkstemp(prefix="hopslite-")
        super().__init__(io.FileIO(number, "wb"))

    def discard(self) -> None:
        """Discard the written content."""
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
                upload_files(self._resolved.fs, [(self._local, self._resolved.path)])
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._local)


class _Text(io.TextIOWrapper):
    """Text layer over one of the files above."""

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None and isinstance(self.buffer, _Whole):
            self.buffer.discard()
        self.close()

    def __del__(self) -> None:
        if isinstance(self.buffer, _Whole) and not self.buffer.closed:
            self.buffer.discard()
