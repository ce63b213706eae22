"""Download cache shared by the processes of one machine: each file, directory or archive is fetched once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

from fsspec import AbstractFileSystem

from ..core.redaction import without_credentials
from ..errors import StoreError
from .cache_entry import Entry, link
from .fs.download import Progress
from .fs.file_info import FileInfo, NotAFile, Tree, list_tree, shown, stat
from .fs.open import open_url
from .fs.transfer import download, download_tree
from .machine_cache import cache_folder, locked, locked_at_once, remove_unused
from .safe_extract import ARCHIVES, stem, unpack_archive

__all__ = [
    "ARCHIVES",
    "cache_folder",
    "cached",
    "entries_with",
    "entry_folder",
    "fetch",
    "fetch_from",
    "identify",
    "link",
]

NAME_BYTES = 200


def fetch(
    url: str, known: str = "", *, strict: bool = False, unpack: bool = False, progress: Progress | None = None
) -> str:
    """Fetch a URL into the cache, unless this machine has it already; returns the local path.

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
    if known and (path := _cached_path(_entry(url, known, unpack))):
        return path  # does not need the file system's package, which takes a second to import
    fs, remote = open_url(url)
    return _fetch(url, fs, remote, known, strict, unpack, progress)


def fetch_from(
    fs: AbstractFileSystem, remote: str, known: str = "", *, unpack: bool = False, progress: Progress | None = None
) -> str:
    """Fetch a path of a file system into the cache, as `fetch` does for a URL."""
    return _fetch(shown(fs, remote), fs, remote, known, False, unpack, progress)


def identify(fs: AbstractFileSystem, remote: str) -> tuple[FileInfo, Tree | None, str]:
    """Metadata and fingerprint of a file or directory, and the tree below a directory."""
    source = stat(fs, remote)
    if not source.is_folder:
        return source, None, source.mark
    tree = list_tree(fs, remote)
    return source, tree, _mark_of(tree)


def _fetch(
    url: str, fs: AbstractFileSystem, remote: str, known: str, strict: bool, unpack: bool, progress: Progress | None
) -> str:
    source: FileInfo | None = None
    tree: Tree | None = None
    if not known:
        source, tree, known = identify(fs, remote)
    make = _archive if unpack else _file_or_tree

    def fill(target: str) -> str:
        nonlocal source, tree
        if strict:
            source, tree, now = identify(fs, remote)
            if now != known:
                raise StoreError(f"{without_credentials(url)} has changed since it was first checked")
        return make(fs, remote, target, source, tree, progress)

    return _made(_entry(url, known, unpack), without_credentials(url), _name(remote), fill)


def cached(key: tuple[str, ...], label: str, name: str, fill: Callable[[str], str]) -> str:
    """Content of the cache that `fill` makes, unless this machine has it already; returns its path, as `fetch`.

    Args:
        key: tells the content from any other.
        label: what the record of the entry calls it.
        name: of the file or directory.
        fill: is given the path to write to, and returns where the content is.
    """
    return _made(Entry(os.path.join(cache_folder()[0], _hash(key))), label, name, fill)


def entry_folder(target: str) -> str:
    """Directory of the entry whose content is written to `target`, for more records of whoever makes it."""
    return os.path.dirname(os.path.dirname(target))


def entries_with(record: str) -> Iterator[tuple[str, str]]:
    """Content and record of the entries that have a record of this name; none of them changes or goes meanwhile.

    Entries that another process makes or changes now are left out: waiting for them could be for each other.
    """
    root, _ = cache_folder()
    for name in sorted(os.listdir(root)):
        entry = Entry(os.path.join(root, name.removesuffix(".lock")))
        path = os.path.join(entry.path, record)
        if not name.endswith(".lock") or not os.path.exists(path):
            continue
        with locked_at_once(f"{entry.path}.lock") as is_locked:
            content = entry.sound_path() if is_locked else None
            if content is not None:
                yield content, path


def _made(entry: Entry, label: str, name: str, fill: Callable[[str], str]) -> str:
    if path := _cached_path(entry):
        return path
    with locked(f"{entry.path}.lock", exclusive=True):
        path = entry.sound_path()  # another process may have fetched it meanwhile
        if not path:
            root, is_shared = cache_folder()
            if is_shared:
                remove_unused(root)
            path = entry.make(label, name, fill)
    return path


def _entry(url: str, known: str, unpack: bool) -> Entry:
    return Entry(os.path.join(cache_folder()[0], _hash((url, known, unpack))))


def _hash(key: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(key).encode(errors="replace")).hexdigest()[:32]


def _cached_path(entry: Entry) -> str | None:
    with locked(f"{entry.path}.lock", exclusive=False):
        return entry.sound_path()


def _mark_of(tree: Tree) -> str:
    marks = sorted((name, file.mark) for name, file in tree.files.items())
    return hashlib.sha256(repr((marks, sorted(tree.folders))).encode(errors="replace")).hexdigest()


def _name(remote: str) -> str:
    """File name shown to users: the remote one if it is valid, without the query of a web address."""
    name = without_credentials(remote).rstrip("/").rpartition("/")[2]
    return name if 0 < len(os.fsencode(name)) <= NAME_BYTES and name not in (".", "..") else "content"


def _file_or_tree(
    fs: AbstractFileSystem,
    remote: str,
    target: str,
    source: FileInfo | None,
    tree: Tree | None,
    progress: Progress | None,
) -> str:
    source = source or stat(fs, remote)
    if source.is_folder:
        download_tree(fs, remote, target, progress, tree)
    else:
        download(fs, remote, target, progress, source)
    return target


def _archive(
    fs: AbstractFileSystem, remote: str, target: str, source: FileInfo | None, _: Tree | None, progress: Progress | None
) -> str:
    source = source or stat(fs, remote)
    if source.is_folder:
        raise NotAFile(f"{shown(fs, remote)} is a directory; an archive is required: {', '.join(ARCHIVES)}")
    packed = f"{os.path.dirname(target)}/.packed{os.path.splitext(target)[1]}"
    folder = os.path.join(os.path.dirname(target), stem(os.path.basename(target)))
    download(fs, remote, packed, progress, source)
    unpack_archive(packed, folder, shown(fs, remote))
    os.unlink(packed)
    return folder
