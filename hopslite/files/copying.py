"""Copying, moving and removing what a project's store holds, for `hopslite.hdfs` and its helpers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ..errors import InvalidArguments, StoreError
from ..runtime.context import current
from ..store._entry import remove_tree
from ..store._found import AlreadyThere, Found, NotThere, Tree, is_broken_link, list_tree, look, told
from ..store.cache import fetch_from, link
from ..store.filesystems import is_local
from ..store.manifest import local_tree
from ..store.transfer import Bar, beside, download, download_tree, remove_at, upload_files
from .install import (
    copy_file,
    copy_tree,
    found_at,
    install,
    make_parents,
    put_tree,
    renames,
)
from .listing import list_place
from .paths import Place, resolve

__all__ = [
    "copy",
    "file_to_read",
    "move_to",
    "remove",
    "to_local",
    "to_store",
    "write_whole",
]


def file_to_read(path: str, project: str | None = None) -> str:
    """A local path with the content of a file or directory: its own, or the one in this machine's cache."""
    place = resolve(path, project)
    if is_local(place.fs):
        look(place.fs, place.path)
        return place.path
    with Bar(place.name) as bar:
        return fetch_from(place.fs, place.path, progress=bar)


@contextlib.contextmanager
def write_whole(path: str) -> Iterator[str]:
    """A local path to write to; what is there in the end replaces the file, and nothing does after an error.

    A directory may be written there, too. None is replaced: what else it holds would be lost without a word.
    """
    place = resolve(path)
    _check_may_be_file(place)
    with tempfile.TemporaryDirectory(prefix="hopslite-") as folder:
        local = os.path.join(folder, place.name)
        yield local
        _put(local, place, True)


def _upload(place: Place, local: str) -> None:
    upload_files(place.fs, [(local, place.path)])


def _check_may_be_file(place: Place) -> None:
    place.check_may_be_file()
    found = found_at(place)
    if found is not None and found.is_folder:
        raise AlreadyThere(f"{place.url} is a directory; delete it first, or choose another name")


def to_local(place: Place, local_path: str, overwrite: bool) -> str:
    """As `hdfs.copy_to_local`."""
    folder = os.path.abspath(local_path or os.getcwd())
    if not os.path.isdir(folder):
        raise NotThere(f"{folder} is not a directory; local_path= is the directory to copy into, make it first")
    source = look(place.fs, place.path)
    tree = list_tree(place.fs, place.path) if source.is_folder else None
    target = os.path.join(folder, place.name)
    if os.path.lexists(target) and not overwrite:
        if (is_local(place.fs) and os.path.realpath(target) == os.path.realpath(place.path)) or _is_same(
            target, source, tree
        ):
            return target
        raise AlreadyThere(f"{target} is there already and differs from {place.url}; overwrite=True replaces it")
    with _replacing(target) as new, Bar(place.name) as bar:
        if current() is not None:
            link(fetch_from(place.fs, place.path, progress=bar), new)
        elif tree is not None:
            download_tree(place.fs, place.path, new, bar, tree)
        else:
            download(place.fs, place.path, new, bar, source)
    return target


def _is_same(target: str, source: Found, tree: Tree | None) -> bool:
    """Whether a local file has the size, or a local directory the names and sizes, of what is to be copied."""
    if tree is None:
        return os.path.isfile(target) and os.path.getsize(target) == source.size
    if not os.path.isdir(target):
        return False
    there = {}
    for folder, _, names in os.walk(target):
        for name in names:
            path = os.path.join(folder, name)
            there[os.path.relpath(path, target)] = os.path.getsize(path) if os.path.exists(path) else -1
    return there == {name: found.size for name, found in tree.files.items()}


@contextlib.contextmanager
def _replacing(target: str) -> Iterator[str]:
    """A new path; what is there in the end takes the place of `target`, which stays as it is after an error."""
    new = beside(target)
    try:
        yield new
        if os.path.isdir(target) or (os.path.isdir(new) and os.path.lexists(target)):
            old = beside(target)
            os.rename(target, old)
            os.rename(new, target)
            _remove_local(old)
        else:
            os.replace(new, target)
    finally:
        _remove_local(new)


def _remove_local(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def to_store(local: str, place: Place, into: bool, overwrite: bool) -> str:
    """As `hdfs.copy_to_hdfs`; `into` says that the place is a directory, whether it is there yet or not."""
    local = os.path.abspath(local)
    if not os.path.exists(local):
        raise NotThere(f"there is no local file or directory {local}")
    target = _target(place, os.path.basename(local), into)
    _put(local, target, overwrite)
    return target.url


def _put(local: str, target: Place, overwrite: bool) -> None:
    _check_free(target, overwrite)
    if os.path.isdir(local):
        files, folders = local_tree(local)
        for path in files.values():
            if is_broken_link(path):
                raise NotThere(f"{path} is a broken link: there is nothing where it leads; remove it")
        install(target, files, lambda root: put_tree(target.fs, files, folders, root))
    else:
        _check_may_be_file(target)
        _upload(target, local)


def copy(source: Place, place: Place, overwrite: bool) -> None:
    """As `hdfs.cp`."""
    found = look(source.fs, source.path)
    target = _target(place, source.name)
    if target.url == source.url or (found.is_folder and f"{target.url}/".startswith(f"{source.url}/")):
        raise InvalidArguments(
            "cp", [f"{source.url} cannot be copied to {target.url}, which is itself or inside of it"]
        )
    _check_free(target, overwrite)
    if source.fs is not target.fs:
        with tempfile.TemporaryDirectory(prefix="hopslite-") as folder:
            local = os.path.join(folder, source.name)
            (download_tree if found.is_folder else download)(source.fs, source.path, local)
            _put(local, target, overwrite)
    elif found.is_folder:
        tree = list_tree(source.fs, source.path)
        install(target, tree.files, lambda root: copy_tree(source.fs, tree, root))
    else:
        _check_may_be_file(target)
        make_parents(target)
        copy_file(source.fs, source.path, target.path)


def move_to(source: Place, place: Place, into: bool) -> None:
    """As `hdfs.move`, or with `into=False` as `hdfs.rename`."""
    found = look(source.fs, source.path)
    target = _target(place, source.name) if into else place
    if target.url == source.url:
        return
    _check_free(target, False)
    if found.is_folder and f"{target.url}/".startswith(f"{source.url}/"):
        raise InvalidArguments("move", [f"{source.url} cannot be moved into itself: {target.url}"])
    if not found.is_folder:
        target.check_may_be_file()
    if source.fs is target.fs and renames(source):
        make_parents(target)
        with told(source.fs, source.path):
            source.fs.mv(source.path, target.path)
        return
    copy(source, target, False)
    remove(source, True)


def remove(place: Place, recursive: bool) -> None:
    """As `hdfs.delete`."""
    project = resolve("").url
    if f"{project}/".startswith(f"{place.url.rstrip('/')}/"):
        what = "is the project itself" if place.url == project else f"holds the project, {project}"
        raise InvalidArguments("delete", [f"{place.url} {what}; name what is to be deleted in it"])
    found = look(place.fs, place.path)
    with told(place.fs, place.path):
        place.fs.invalidate_cache(place.path)
        inside = list_place(place) if found.is_folder else []
        if found.is_folder and inside and not recursive:
            raise StoreError(
                f"the directory {place.url} is not empty; recursive=True deletes it with all that it holds"
            )
        if not found.is_folder:
            place.fs.rm_file(place.path)
            return
        remove_at(place.fs, place.path)


def _target(place: Place, name: str, into: bool = False) -> Place:
    """Where something of this name goes: into a directory, otherwise to the place itself.

    The project and its own folders are directories before anything is in them.
    """
    if into or place.is_project:
        return place / name
    found = found_at(place)
    is_folder = place.is_known_folder if found is None else found.is_folder
    return place / name if is_folder else place


def _check_free(target: Place, overwrite: bool) -> None:
    if not overwrite and found_at(target) is not None:
        raise AlreadyThere(f"{target.url} is there already; overwrite=True replaces it")
