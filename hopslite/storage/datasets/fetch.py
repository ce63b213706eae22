"""Files of a version on this machine: in a directory of the user's, or in the cache that trials share."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence

from ...errors import DataSetNotFound, StoreError
from ..cache import cached, entry_folder
from ..fs.checksums import differences
from ..fs.download import has_no_room
from ..fs.file_info import AlreadyThere
from ..fs.transfer import Bar, check_room
from ..fs.urls import local_path
from ..project import Project
from .dataset import DataSet
from .file_list import StoredFile, fingerprint
from .local_copy import copy_file
from .objects import AT_ONCE, MEMORY, Objects
from .parallel import Counter, MemoryBudget, Progress, in_parallel
from .reuse import link_known, remember

__all__ = ["download", "fetch_into_cache"]

LINKERS = 4
_Places = list[tuple[str, int]]


def download(
    data_set: DataSet, version: int, files: Sequence[StoredFile], target: str, overwrite: bool, progress: Progress
) -> None:
    """Copy a version to a new directory, which appears when it is complete and verified.

    Nothing is copied if the directory has exactly these files already.

    Args:
        overwrite: replace a directory or file that is something else.

    Raises:
        AlreadyThere: there is something else.
        StoreError: the version is damaged, or the directory cannot be written.
    """
    expected = {file.name: {"size": file.size, "sha256": file.sha256} for file in files}
    if os.path.lexists(target):
        if os.path.isdir(target) and not differences(target, expected, exact=True):
            return
        if not overwrite:
            raise AlreadyThere(
                f"{target} is there, and is not version {version} of {data_set.name!r}; replace it with overwrite=True "
                "(--force), or choose another directory"
            )
    parent = os.path.dirname(target)
    title = f"version {version} of {data_set.name!r}"
    with _writing(title, target):
        os.makedirs(parent, exist_ok=True)
    check_room(title, sum(file.size for file in files), target)
    with _writing(title, target), tempfile.TemporaryDirectory(prefix=".hopslite-", dir=parent) as scratch:
        copied = os.path.join(scratch, "copied")
        _make_folders(files, copied)
        _copy(data_set.objects, files, copied, False, progress)
        if os.path.lexists(target):
            os.rename(target, os.path.join(scratch, "before"))
        os.rename(copied, target)


@contextlib.contextmanager
def _writing(title: str, target: str) -> Iterator[None]:
    """Report what the disk or the store refuses as a `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{title} cannot be copied to {target:.200}: {error.strerror or error}") from error


def fetch_into_cache(project_url: str, name: str, version: int, expected: str) -> str:
    """Fetch a version into the cache of this machine, unless it is there; returns its read-only directory.

    Several processes that ask at once cause one download. The files of a local project are linked where that is
    possible, and read once to verify their checksums.

    Args:
        expected: the version's fingerprint when the run began.

    Raises:
        StoreError: the version was deleted, is damaged or is another one, or there is no room for it.
    """

    def fill(target: str) -> str:
        data_set = DataSet(Project(project_url), name)
        files = data_set.files(data_set.manifest(version))
        if fingerprint(files) != expected:
            raise StoreError(f"version {version} of {name!r} in {data_set.project.shown} is not the one of this run")
        _make_folders(files, target)
        missing = link_known(source, files, target)
        if not data_set.folder.is_local:
            check_room(f"version {version} of {name!r}", sum(file.size for file in missing), target)
        with Bar(f"{name}/{version}") as bar:
            _copy(data_set.objects, missing, target, True, bar)
        remember(source, files, entry_folder(target))
        return target

    where = local_path(project_url) or project_url
    source = f"{where}/{name}"
    return cached(("data set", where, name, expected), f"data:{name}/{version}", f"{name}-{version}", fill)


def _copy(objects: Objects, files: Sequence[StoredFile], target: str, link: bool, progress: Progress) -> None:
    """Write files into a directory that has their folders, each content fetched once and verified."""
    first_of = {file.sha256: file for file in reversed(files)}
    distinct = list(first_of.values())
    counter = Counter(sum(file.size for file in distinct), progress)
    try:
        if objects.folder.is_local:
            in_parallel(_local_jobs(objects, distinct, target, link, counter), LINKERS, counter)
        else:
            in_parallel(_remote_jobs(objects, distinct, target, counter), AT_ONCE, counter)
        for file in files:
            if (first := first_of[file.sha256]) is not file:
                _repeat(os.path.join(target, first.name), os.path.join(target, file.name), link)
    except DataSetNotFound:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"content of the data set is missing: {error}; was the version just deleted?") from error
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        if has_no_room(error):
            raise StoreError(f"no room left in {os.path.dirname(target)} for the data set") from error
        raise


def _make_folders(files: Sequence[StoredFile], target: str) -> None:
    os.mkdir(target)
    for folder in sorted({os.path.dirname(file.name) for file in files}):
        os.makedirs(os.path.join(target, folder), exist_ok=True)


def _repeat(source: str, target: str, link: bool) -> None:
    """Show a file that is here already under another name, or copy it."""
    try:
        if not link:
            raise OSError
        os.link(source, target)
    except OSError:  # a file system without hard links, or with no more for this file
        copy_file(source, target)


def _local_jobs(
    objects: Objects, files: Sequence[StoredFile], target: str, link: bool, counter: Counter
) -> Iterator[Callable[[], None]]:
    def get(file: StoredFile) -> None:
        objects.get_file(file.sha256, os.path.join(target, file.name), link, counter.add)

    for file in files:
        yield functools.partial(get, file)


def _remote_jobs(
    objects: Objects, files: Sequence[StoredFile], target: str, counter: Counter
) -> Iterator[Callable[[], None]]:
    budget = MemoryBudget(MEMORY)

    def get(checksum: str, size: int, places: _Places) -> None:
        with budget.holding(size):
            data = objects.get(checksum, size)
            is_zero = size > 0 and data.count(0) == size
            for path, offset in places:
                if not is_zero:  # a hole reads as zeros, and needs no room
                    _write_at(path, offset, data)
        counter.add(size * len(places))

    wanted: dict[str, tuple[int, _Places]] = {}
    for file in files:
        path = os.path.join(target, file.name)
        with open(path, "xb") as created:
            created.truncate(file.size)
        for checksum, offset, size in file.parts:
            wanted.setdefault(checksum, (size, []))[1].append((path, offset))
    for checksum, (size, places) in wanted.items():
        yield functools.partial(get, checksum, size, places)


def _write_at(path: str, offset: int, data: bytes) -> None:
    with open(path, "r+b", buffering=0) as file:
        file.seek(offset)
        view = memoryview(data)
        while view:
            view = view[file.write(view) or 0 :]
