"""Content by checksum: objects of a data set are written once, whole, and never change."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from ...errors import StoreError
from ..free_space import shown_room
from ..fs.checksums import sha256_of
from ..fs.download import has_no_room
from ..fs.file_info import NEVER_AGAIN
from ..fs.local_files import beside
from ..run_directory import RunDir
from .file_list import SHA256
from .local_copy import copy_file
from .parallel import in_parallel

__all__ = ["AT_ONCE", "ChangedFile", "DamagedObject", "MEMORY", "Objects", "PIECE"]

PIECE = 4 << 20  # of a large file on a remote store: each is an object, so that an upload goes on after the last one
AT_ONCE = 16  # requests
MEMORY = 16 << 20  # bytes of all pieces at once, of which clients of stores make some copies
PAUSES = (0.2, 1.0, 3.0, 8.0)  # after which a request that failed is tried again: a server may be restarted
T = TypeVar("T")


class ChangedFile(StoreError):
    """A local file has changed since it was read for its checksum."""


class DamagedObject(StoreError):
    """An object has another content than its name says."""


class Objects:
    """Objects of a data set. Safe from many threads and processes: whoever writes an object writes the same."""

    def __init__(self, folder: RunDir) -> None:
        self.folder = folder
        self._made: set[str] = set()

    @property
    def piece_size(self) -> int:
        """Largest size of an object; 0 if files are stored whole, as on a local disk, where they can be linked."""
        return 0 if self.folder.is_local else PIECE

    def name(self, checksum: str) -> str:
        return f"{checksum[:2]}/{checksum}"

    def path(self, checksum: str) -> str:
        return self.folder.path(self.name(checksum))

    def sizes(self, checksums: Iterable[str]) -> dict[str, int]:
        """Sizes of those objects that exist."""
        wanted = set(checksums)
        shards = sorted({checksum[:2] for checksum in wanted})
        present: dict[str, int] = {}

        def list_shard(shard: str) -> None:
            present.update({name: size for name, size in self._in_shard(shard).items() if name in wanted})

        in_parallel((functools.partial(list_shard, shard) for shard in shards), AT_ONCE)
        return present

    def all_names(self) -> list[str]:
        """Names of all files below the folder, also of those that are no objects, such as leftovers."""
        try:
            return list(self.folder.sizes())
        except FileNotFoundError:
            return []

    def put(self, checksum: str, path: str, offset: int, size: int, progress: Callable[[int], None]) -> None:
        """Write an object from a range of a local file; `progress` is called with numbers of bytes.

        Raises:
            ChangedFile: the range has another checksum now.
            StoreError: it cannot be written.
        """
        self._make_shard(checksum[:2])
        if self.folder.is_local:
            self._put_local(checksum, path, progress)
            return
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(size)
        if hashlib.sha256(data).hexdigest() != checksum:
            raise _changed(path)
        repeat(lambda: self.folder.write_bytes(self.name(checksum), data))
        progress(size)

    def get(self, checksum: str, size: int) -> bytes:
        """Content of an object, verified.

        Raises:
            FileNotFoundError: it is missing.
            DamagedObject: it has another content.
        """
        data = b""
        for _ in range(2):  # it may have been damaged on the way
            data = repeat(lambda: self.folder.read_bytes(self.name(checksum)))
            if len(data) == size and hashlib.sha256(data).hexdigest() == checksum:
                return data
        raise self._damaged(checksum, f"{len(data)} bytes instead of {size}" if len(data) != size else "")

    def verify(self, checksum: str, size: int) -> None:
        """Read an object and compare it with its name.

        Raises:
            DamagedObject: it has another content.
        """
        if self.folder.is_local:
            if sha256_of(self.path(checksum)) != checksum:
                raise self._damaged(checksum)
        else:
            self.get(checksum, size)

    def get_file(self, checksum: str, target: str, link: bool, progress: Callable[[int], None]) -> None:
        """Show or copy an object of a local store at another path, verified.

        Args:
            link: by a hard link where that is possible; nobody may write to the file then.
        """
        source = self.path(checksum)
        linked = False
        if link:
            with contextlib.suppress(OSError):
                os.link(source, target)
                linked = True
        actual = sha256_of(target, progress) if linked else copy_file(source, target, progress)
        if actual != checksum:
            os.unlink(target)
            raise self._damaged(checksum)

    def _damaged(self, checksum: str, problem: str = "") -> DamagedObject:
        return DamagedObject(
            f"{self.folder.shown}/{self.name(checksum)} is damaged: it has {problem or 'another content (SHA-256)'}; "
            "upload the files again with check (--check) to replace it"
        )

    def _put_local(self, checksum: str, path: str, progress: Callable[[int], None]) -> None:
        target = self.path(checksum)
        partial = beside(target)
        try:
            if copy_file(path, partial, progress) != checksum:
                raise _changed(path)
            os.chmod(partial, 0o444)
            os.replace(partial, target)
        except OSError as error:
            if has_no_room(error):
                room = shown_room(os.path.dirname(target))
                raise StoreError(f"no room left for {path} in {self.folder.shown}: {room}") from error
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)

    def _make_shard(self, shard: str) -> None:
        if shard not in self._made:
            self.folder.makedirs(shard)
            self._made.add(shard)

    def _in_shard(self, shard: str) -> Mapping[str, int]:
        if not self.folder.is_local:
            return self.folder.sub(shard).sizes()
        try:
            with os.scandir(self.folder.path(shard)) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if SHA256.fullmatch(entry.name)}
        except FileNotFoundError:
            return {}


def repeat(action: Callable[[], T]) -> T:
    """Call with retries, as a store may be unavailable for a while."""
    for pause in PAUSES:
        try:
            return action()
        except NEVER_AGAIN:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            time.sleep(pause)
    return action()


def _changed(path: str) -> ChangedFile:
    return ChangedFile(f"{path} was changed while it was uploaded; upload it again when nobody writes to it")
