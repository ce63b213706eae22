"""Upload of local files as a new version of a data set."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ...errors import StoreError
from ..free_space import FULL
from ..fs.file_info import size_text
from .dataset import UNPACKED, DataSet, list_name
from .file_list import StoredFile, classes_of, encode, fingerprint, objects_of
from .objects import AT_ONCE, MEMORY, DamagedObject, Objects
from .parallel import Counter, MemoryBudget, Progress, in_parallel
from .scan import SourceFile, describe
from .uploads import registering

__all__ = ["Reporting", "unpacking_folder", "upload"]

READERS = max(2, min(8, os.cpu_count() or 2))
Bars = Callable[[str], AbstractContextManager[Progress]]


@dataclasses.dataclass(frozen=True, slots=True)
class Reporting:
    """Output of an upload for the user: lines, and progress bars by their titles."""

    line: Callable[[str], None]
    bar: Bars


def unpacking_folder(data_set: DataSet) -> str | None:
    """Local folder for archives to be unpacked in; None for that of the machine.

    In a local project, it is where there has to be room for the content anyway.
    """
    if not data_set.folder.is_local:
        return None
    data_set.folder.makedirs(UNPACKED)
    return data_set.folder.path(UNPACKED)


def upload(
    data_set: DataSet,
    sources: Sequence[SourceFile],
    facts: Mapping[str, Any],
    reporting: Reporting,
    check: bool = False,
) -> dict[str, Any]:
    """Upload files as the next version, and return its manifest.

    Content that the data set has already is not sent again, whether it belongs to another version or to an upload that
    was interrupted. The version appears when all its files are there.

    Args:
        facts: are added to the manifest.
        check: read the content that is there already, and send it again where it is damaged.

    Raises:
        ChangedFile: a file was written to meanwhile.
        DataSetNotFound: the data set does not exist.
        StoreError: a file cannot be read, or the store cannot be written.
    """
    data_set.record()
    files = _described(sources, data_set.objects, reporting)
    paths = {source.name: source.path for source in sources}
    checksum, content = encode(files)
    with registering(data_set, checksum, reporting.line):
        data_set.folder.makedirs("lists")
        data_set.folder.write_bytes(list_name(checksum), content)
        _send(data_set.objects, files, paths, reporting, check)
        _make_durable(data_set)
        manifest = data_set.publish(
            {
                "created": time.time(),
                "list": checksum,
                "fingerprint": fingerprint(files),
                "num_files": len(files),
                "size": sum(file.size for file in files),
                "classes": classes_of(file.name for file in files),
                **facts,
            }
        )
    for earlier in data_set.manifests():
        if earlier["fingerprint"] == manifest["fingerprint"] and earlier["version"] != manifest["version"]:
            reporting.line(f"version {manifest['version']} has the same files as version {earlier['version']}")
            break
    return manifest


def _described(sources: Sequence[SourceFile], objects: Objects, reporting: Reporting) -> list[StoredFile]:
    """Sizes and checksums of local files."""
    sizes = {source.name: os.path.getsize(source.path) for source in sources}
    total = sum(sizes.values())
    reporting.line(f"{_count(len(sources))}, {size_text(total)}")
    files: list[StoredFile] = []
    with reporting.bar("reading") as bar:
        counter = Counter(total, bar)

        def read(source: SourceFile) -> None:
            file = describe(source, objects.piece_size, counter.add)
            files.append(file)

        in_parallel((functools.partial(read, source) for source in sources), READERS, counter)
    return files


def _send(
    objects: Objects, files: Sequence[StoredFile], paths: Mapping[str, str], reporting: Reporting, check: bool
) -> None:
    needed = objects_of(files)
    present = {name for name, size in objects.sizes(needed).items() if size == needed[name]}
    if check:
        present -= _damaged(objects, {name: needed[name] for name in present})
    missing = {name: size for name, size in needed.items() if name not in present}
    if present:
        reporting.line(
            f"{size_text(sum(needed[name] for name in present))} are there already, "
            f"{size_text(sum(missing.values()))} to send"
        )
    begun: set[str] = set()
    budget = MemoryBudget(MEMORY)
    with reporting.bar("uploading") as bar:
        counter = Counter(sum(missing.values()), bar)

        def put(checksum: str, path: str, offset: int, size: int) -> None:
            with budget.holding(size if objects.piece_size else 0):
                objects.put(checksum, path, offset, size, counter.add)

        def jobs() -> Iterator[Callable[[], None]]:
            for file in files:
                for checksum, offset, size in file.parts:
                    if checksum in missing and checksum not in begun:
                        begun.add(checksum)
                        yield functools.partial(put, checksum, paths[file.name], offset, size)

        in_parallel(jobs(), AT_ONCE if objects.piece_size else READERS, counter)


def _damaged(objects: Objects, present: Mapping[str, int]) -> set[str]:
    """Those of some objects that have another content than their names say."""
    damaged: set[str] = set()
    lock = threading.Lock()

    def check(checksum: str, size: int) -> None:
        try:
            objects.verify(checksum, size)
        except DamagedObject:
            with lock:
                damaged.add(checksum)

    in_parallel((functools.partial(check, *item) for item in present.items()), READERS)
    return damaged


def _make_durable(data_set: DataSet) -> None:
    """Write a local disk's buffers, once for all files: a power loss must not leave a version without its content."""
    if not data_set.folder.is_local:
        return
    try:
        folder = os.open(data_set.folder.url, os.O_RDONLY)
    except OSError:
        return
    try:
        sync = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if sync is not None and sync(folder) and (error := ctypes.get_errno()) in (errno.EIO, *FULL):
            raise StoreError(f"{data_set.folder.shown} cannot be written: {os.strerror(error)}")
    finally:
        os.close(folder)


def _count(number: int) -> str:
    return f"{number} file" if number == 1 else f"{number} files"
