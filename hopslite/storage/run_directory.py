"""The directory of a run, on any file system."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.redaction import without_credentials
from ..core.types import json_safe
from .free_space import PROBE_BYTES, device_of, shown_room, try_to_write
from .fs.retries import persist
from .fs.urls import errors_of, local_path
from .local_io import (
    MISSING,
    OF_ONE_FILE,
    create_exclusively,
    names_in,
    read_content,
    read_range,
    sync_folder,
    temporary_file,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["AT_ONCE", "RunDir", "write_file"]

AT_ONCE = 32  # small files read in one go


class RunDir:
    """Directory on a file system; paths of its methods are relative to it.

    Safe from many threads. Whole files are replaced atomically where the file system can. Whatever a file system of
    fsspec raises comes out as an `OSError`.
    """

    def __init__(self, url: str) -> None:
        path = local_path(url)
        self.is_local = path is not None
        self._fs: AbstractFileSystem | None = None
        if path is None:
            self._fs, path = _opened(url)
        scheme, separator, rest = url.partition("://")
        self._given = scheme + separator + rest.rstrip("/")  # fsspec's own form of it may lack host and port
        self._root = path.rstrip("/") or "/"

    def __repr__(self) -> str:
        return f"RunDir({self.shown!r})"

    @property
    def fs(self) -> AbstractFileSystem:
        """fsspec's file system, which most methods do not need on a local disk."""
        if self._fs is None:
            self._fs, _ = _opened(self._root)
        return self._fs

    @property
    def url(self) -> str:
        """Plain absolute path of a local directory, otherwise its URL."""
        return self.path()

    @property
    def shown(self) -> str:
        """`url` without user name and password, for people and records."""
        return without_credentials(self.url)

    def path(self, *parts: str) -> str:
        """Path or URL of something in the directory, as user code would open it."""
        return "/".join((self._root if self.is_local else self._given, *parts))

    def sub(self, *parts: str) -> RunDir:
        return RunDir(self.path(*parts))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _failures_of(self, name: str) -> contextlib.AbstractContextManager[None]:
        return errors_of(self.path(name))

    def exists(self, name: str = "") -> bool:
        with self._failures_of(name):
            return bool((os.path if self.is_local else self.fs).exists(self._at(name)))

    def list(self, name: str = "") -> list[str]:
        """Sorted names in a directory; empty if it does not exist."""
        try:
            if self.is_local:
                return names_in(self._at(name))
            with self._failures_of(name):
                self.fs.invalidate_cache()
                return sorted(os.path.basename(p.rstrip("/")) for p in self.fs.ls(self._at(name), detail=False))
        except FileNotFoundError:
            return []

    def upload(
        self, files: Mapping[str, str], done: Callable[[str], None] = lambda _: None, in_order: bool = False
    ) -> None:
        """Copy local files here; `files` maps local paths to names. Each file appears as a whole.

        Args:
            done, in_order: as for `transfer.upload_files`.
        """
        from .fs.transfer import upload_files

        with self._failures_of(""):
            upload_files(self.fs, [(local, self._at(name)) for local, name in files.items()], done, in_order)

    def download_to(self, folder: str) -> None:
        """Copy the directory to a local folder that does not exist yet; does nothing if the directory is missing."""
        from .fs.transfer import download_tree

        with self._failures_of(""):
            if self.fs.exists(self._root):
                download_tree(self.fs, self._root, folder)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; missing ones are ignored."""
        for name in names:
            with contextlib.suppress(FileNotFoundError), self._failures_of(name):
                os.unlink(self._at(name)) if self.is_local else self.fs.rm_file(self._at(name))

    def remove_many(self, names: Sequence[str]) -> None:
        """Remove files, many at once where the file system can."""
        if self.is_local:
            self.remove(names)
            return
        from .fs.transfer import remove_files

        with self._failures_of(""):
            remove_files(self.fs, [self._at(name) for name in names])

    def makedirs(self, name: str = "", exist_ok: bool = True) -> None:
        with self._failures_of(name):
            (os if self.is_local else self.fs).makedirs(self._at(name), exist_ok=exist_ok)

    def read_bytes(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Content of a file, or of a range of its bytes."""
        if self.is_local:
            return read_range(self._at(name), start, end)
        with self._failures_of(name):
            return bytes(self.fs.cat_file(self._at(name), start=start, end=end))

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file below the directory, by name."""
        with self._failures_of(""):
            self.fs.invalidate_cache()
            infos = self.fs.find(self._root, detail=True)
        first = len(self._root.rstrip("/")) + 1
        return {path[first:]: info["size"] for path, info in infos.items() if path[first:]}

    def read_many(self, names: Sequence[str]) -> Sequence[bytes | None]:
        """Contents of several files, read in parallel where the file system can; None for missing ones."""
        contents = self.read_each(names)
        for name, content in zip(names, contents, strict=True):
            if isinstance(content, OSError):
                with self._failures_of(name):
                    raise content
        return [content for content in contents if not isinstance(content, OSError)]

    def read_each(self, names: Sequence[str], most: int | None = None) -> Sequence[bytes | OSError | None]:
        """Contents as of `read_many`, with an error in place of a file that cannot be read or is a directory.

        Args:
            most: of a larger local file only this much and one byte more is read.
        """
        if not names:
            return []
        if self.is_local:
            return [read_content(self._at(name), most) for name in names]
        with self._failures_of(names[0]):
            contents = self.fs.cat_ranges([self._at(name) for name in names], None, None, on_error="return")
            for content in contents:
                if isinstance(content, Exception) and not isinstance(content, (*MISSING, *OF_ONE_FILE)):
                    raise content
        return [None if isinstance(content, MISSING) else _bytes(content) for content in contents]

    def write_bytes(self, name: str, data: bytes, durable: bool = False, private: bool = False) -> None:
        """Write a whole file; a reader sees the old one or the new one, never a part.

        Args:
            durable: return only when a power loss cannot undo it.
            private: a local file is for its owner's eyes only.
        """
        target = self._at(name)
        if not self.is_local:
            persist(self.path(name), lambda: self.fs.pipe_file(target, data))
            return
        with temporary_file(target, data, durable, private) as temporary:
            os.replace(temporary, target)
        if durable:
            sync_folder(os.path.dirname(target))

    def create(self, name: str, data: bytes) -> bool:
        """Create a file exclusively; returns False if it exists, so that one of several callers wins."""
        try:
            if self.is_local:  # fsspec checks and then writes, which is a race
                create_exclusively(self._at(name), data)
            else:
                with self._failures_of(name):
                    self.fs.pipe_file(self._at(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    def try_to_write(self) -> None:
        """Write a small file and remove it.

        Raises:
            OSError: that cannot be done now; the message says how much room there is.
        """
        if self.is_local:
            try_to_write(self._root)
            return
        probe = f".probe-{secrets.token_hex(4)}"
        self.write_bytes(probe, b"\1" * PROBE_BYTES)
        self.remove([probe])

    @property
    def device(self) -> int | None:
        """Device number of a local directory's file system; None for a remote one."""
        return device_of(self._root) if self.is_local else None

    def is_deleted(self, name: str, device: int | None) -> bool:
        """True if a file of the directory is gone for good, with the directory above it.

        Args:
            device: the directory's, as it was. Where another file system is in its place now, it is not mounted.

        Raises:
            OSError: the store does not answer, or may not be read now.
        """
        if not self.is_local:
            return not self.exists(name)
        try:
            os.stat(self._at(name))
        except (FileNotFoundError, NotADirectoryError):
            return device is None or self.device == device
        return False

    @property
    def room(self) -> str:
        """Free space on a local directory's file system, as text; empty for a remote one."""
        return shown_room(self._root) if self.is_local else ""

    def remove_all(self) -> None:
        """Remove the directory and its content; run.json goes last, so that an interrupted removal can be repeated."""
        if self.is_local:
            folder, name = os.path.split(self._root)
            gone = os.path.join(folder, f".deleted-{name}-{secrets.token_hex(4)}")
            os.rename(self._root, gone)
            shutil.rmtree(gone)
            return
        from .fs.transfer import remove_at

        with self._failures_of(""):
            remove_at(self.fs, self._root, last=self._at("run.json"))

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError), self._failures_of(""):
            (os if self.is_local else self.fs).rmdir(self._root)

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(json_safe(value, strict=True), indent=2, allow_nan=False)
        self.write_bytes(name, f"{text}\n".encode())


def write_file(place: str, data: bytes) -> None:
    """Write a whole file at a path or URL, in a folder that exists."""
    RunDir(place).write_bytes("", data)


def _opened(url: str) -> tuple[AbstractFileSystem, str]:
    from .fs.open import open_url  # not above: runs on local disks need no fsspec

    return open_url(url)


def _bytes(content: Any) -> bytes | OSError:
    return content if isinstance(content, OSError) else bytes(content)
