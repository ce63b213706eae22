"""Downloads that the processes of one machine share: each file, directory or archive is fetched once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator

from fsspec import AbstractFileSystem

from ..errors import StoreError
from ._entry import Entry, is_cached, link, remove_tree
from ._fetch import Progress
from ._found import Found, NotAFile, Tree, list_tree, look, shown
from ._unpack import ARCHIVES, stem, unpack_archive
from .filesystems import open_url, without_credentials
from .transfer import download, download_tree

__all__ = ["ARCHIVES", "fetch", "fetch_from", "identify", "is_cached", "link", "scratch"]

UNUSED_SECONDS = 7 * 24 * 3600
NAME_BYTES = 200


def fetch(
    url: str, known: str = "", *, strict: bool = False, unpack: bool = False, progress: Progress | None = None
) -> str:
    """The local path of what is at a URL, which is downloaded when this machine does not have it yet.

    Several processes that ask at once cause one download. What is returned is read-only and shared: a file, a
    directory, or with `unpack` the directory that an archive was unpacked to. It is checked each time that it is asked
    for; when somebody has changed it, it is fetched again.

    Args:
        known: what tells this content from another one under the same URL, as `identify` returns it; default: the
            store is asked. When it is given and the content is here, there is no request to the store.
        strict: nothing else will do than the content that `known` was made for.
        unpack: it is one of `ARCHIVES`.
        progress: as for `transfer.download`.

    Raises:
        StoreError: it is not there, or has changed (`strict`), or there is no room for it; an archive has a member that
            would be put elsewhere.
    """
    if known and (path := _there(_entry(url, known, unpack))):
        return path  # without a file system's package, which takes a second to import
    fs, remote = open_url(url)
    return _fetched(url, fs, remote, known, strict, unpack, progress)


def fetch_from(
    fs: AbstractFileSystem, remote: str, known: str = "", *, unpack: bool = False, progress: Progress | None = None
) -> str:
    """As `fetch`, for what is at a path on a file system."""
    return _fetched(shown(fs, remote), fs, remote, known, False, unpack, progress)


def identify(fs: AbstractFileSystem, remote: str) -> tuple[Found, Tree | None, str]:
    """What is at a path, what is below it where that is a directory, and what tells this content from any other."""
    source = look(fs, remote)
    if not source.is_folder:
        return source, None, source.mark
    tree = list_tree(fs, remote)
    return source, tree, _mark_of(tree)


def _fetched(
    url: str, fs: AbstractFileSystem, remote: str, known: str, strict: bool, unpack: bool, progress: Progress | None
) -> str:
    source: Found | None = None
    tree: Tree | None = None
    if not known:
        source, tree, known = identify(fs, remote)
    entry = _entry(url, known, unpack)
    if path := _there(entry):
        return path
    with _locked(f"{entry.path}.lock", exclusive=True):
        path = entry.sound_path()  # somebody else may have been faster
        if not path:
            root, is_shared = scratch()
            if is_shared:
                _remove_unused(root)
            if strict:
                source, tree, now = identify(fs, remote)
                if now != known:
                    raise StoreError(f"{without_credentials(url)} has changed since it was looked at first")
            make = _archive if unpack else _file_or_tree
            path = entry.make(
                without_credentials(url), _name(remote), lambda target: make(fs, remote, target, source, tree, progress)
            )
    return path


def _entry(url: str, known: str, unpack: bool) -> Entry:
    key = hashlib.sha256(repr((url, known, unpack)).encode(errors="replace")).hexdigest()[:32]
    return Entry(os.path.join(scratch()[0], key))


def _there(entry: Entry) -> str | None:
    with _locked(f"{entry.path}.lock", exclusive=False):
        return entry.sound_path()


def scratch() -> tuple[str, bool]:
    """The directory of what is cached on this machine, and whether it outlives this program.

    It is in the first of Spark's scratch directories (`SPARK_LOCAL_DIRS`) that can be written to, which Spark removes
    with the executor; elsewhere it is this user's own below the directory for temporary files.

    Raises:
        StoreError: it belongs to somebody else, or cannot be made.
    """
    for folder in filter(None, os.environ.get("SPARK_LOCAL_DIRS", "").split(",")):
        with contextlib.suppress(OSError):
            return _own(os.path.join(folder, "hopslite-cache")), False
    return _own(os.path.join(tempfile.gettempdir(), f"hopslite-cache-{os.getuid()}")), True


def _own(folder: str) -> str:
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        status = os.lstat(folder)
    except OSError as error:
        raise StoreError(f"no directory for downloads can be made: {error}; set TMPDIR to one that works") from error
    if not os.path.isdir(folder) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StoreError(
            f"{folder} is not a directory that only this user can use; remove it, or set TMPDIR to another place"
        )
    if not os.access(folder, os.W_OK):
        raise StoreError(f"{folder} cannot be written to; set TMPDIR to another place")
    return folder


def _mark_of(tree: Tree) -> str:
    marks = sorted((name, file.mark) for name, file in tree.files.items())
    return hashlib.sha256(repr((marks, sorted(tree.folders))).encode(errors="replace")).hexdigest()


def _name(remote: str) -> str:
    """The name under which people see it: its own, where that can be a file's; of a web address without the query."""
    name = without_credentials(remote).rstrip("/").rpartition("/")[2]
    return name if 0 < len(os.fsencode(name)) <= NAME_BYTES and name not in (".", "..") else "content"


def _file_or_tree(
    fs: AbstractFileSystem, remote: str, target: str, source: Found | None, tree: Tree | None, progress: Progress | None
) -> str:
    source = source or look(fs, remote)
    if source.is_folder:
        download_tree(fs, remote, target, progress, tree)
    else:
        download(fs, remote, target, progress, source)
    return target


def _archive(
    fs: AbstractFileSystem, remote: str, target: str, source: Found | None, _: Tree | None, progress: Progress | None
) -> str:
    source = source or look(fs, remote)
    if source.is_folder:
        raise NotAFile(f"{shown(fs, remote)} is a directory, and an archive is due here: {', '.join(ARCHIVES)}")
    packed = f"{os.path.dirname(target)}/.packed{os.path.splitext(target)[1]}"
    folder = os.path.join(os.path.dirname(target), stem(os.path.basename(target)))
    download(fs, remote, packed, progress, source)
    unpack_archive(packed, folder, shown(fs, remote))
    os.unlink(packed)
    return folder


@contextlib.contextmanager
def _locked(path: str, *, exclusive: bool) -> Iterator[None]:
    """Hold a lock of this machine's, which the kernel takes back from a process that ends."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            if _is_still(lock, path):
                yield
                return
        finally:
            _release(lock)


def _release(lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_UN)  # a process that was forked meanwhile has it open, too
    os.close(lock)


def _is_still(lock: int, path: str) -> bool:
    """Whether the file that was locked is the one that has the name now; it is removed with an entry."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(lock), os.stat(path))
    return False


def _remove_unused(root: str, now: Callable[[], float] = time.time) -> None:
    """Remove what nobody has asked for in a week, and what killed processes have left."""
    for lock in [name for name in os.listdir(root) if name.endswith(".lock")]:
        path = os.path.join(root, lock)
        with contextlib.suppress(OSError):
            if now() - os.stat(path).st_mtime < UNUSED_SECONDS:
                continue
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(file, path) and now() - os.stat(path).st_mtime >= UNUSED_SECONDS:
                    for left in (path.removesuffix(".lock"), f"{path.removesuffix('.lock')}.partial"):
                        remove_tree(left)
                    os.unlink(path)
            finally:
                _release(file)
