"""Copy, move and remove files of a project's store, for `hopslite.hdfs` and its helpers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ..errors import InvalidArguments, StoreError
from ..executor.context import in_trial
from ..storage.cache import fetch_from, identify, link
from ..storage.cache_entry import remove_tree
from ..storage.fs.checksums import local_tree
from ..storage.fs.file_info import (
    AlreadyThere,
    FileInfo,
    NotThere,
    Tree,
    is_broken_link,
    list_tree,
    stat,
    translate_errors,
)
from ..storage.fs.local_files import beside
from ..storage.fs.transfer import Bar, download, download_tree, remove_at, upload_files
from ..storage.fs.urls import is_local
from .copies import content_id, copied_content, remember
from .listing import list_path
from .paths import ResolvedPath, resolve
from .put import copy_file, copy_tree, info_at, install, make_parents, put_tree, renames

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
    """Local path with the content of a file or directory: the original, or a cached download."""
    resolved = resolve(path, project)
    if is_local(resolved.fs):
        stat(resolved.fs, resolved.path)
        return resolved.path
    with Bar(resolved.name) as bar:
        return fetch_from(resolved.fs, resolved.path, progress=bar)


@contextlib.contextmanager
def write_whole(path: str) -> Iterator[str]:
    """Local path to write to, which replaces the file on success and is dropped after an error.

    A directory may be written there, too. None is replaced: what else it holds would be lost without a word.
    """
    resolved = resolve(path)
    _check_may_be_file(resolved)
    with tempfile.TemporaryDirectory(prefix="hopslite-") as folder:
        local = os.path.join(folder, resolved.name)
        yield local
        _put(local, resolved, True)


def _upload(resolved: ResolvedPath, local: str) -> None:
    upload_files(resolved.fs, [(local, resolved.path)])


def _check_may_be_file(resolved: ResolvedPath) -> None:
    resolved.check_may_be_file()
    info = info_at(resolved)
    if info is not None and info.is_folder:
        raise AlreadyThere(f"{resolved.url} is a directory; delete it first, or choose another name")


def to_local(resolved: ResolvedPath, local_path: str, overwrite: bool) -> str:
    """As `hdfs.copy_to_local`."""
    folder = os.path.abspath(local_path or os.getcwd())
    if not os.path.isdir(folder):
        raise NotThere(f"{folder} is not a directory; local_path= is the directory to copy into, make it first")
    source, tree, mark = identify(resolved.fs, resolved.path)
    content = content_id(resolved.url, mark)
    target = os.path.join(folder, resolved.name)
    if os.path.lexists(target) and not overwrite and _is_there(target, resolved, source, tree, content):
        return target
    with _replacing(target) as new, Bar(resolved.name) as bar:
        if in_trial():
            link(fetch_from(resolved.fs, resolved.path, progress=bar), new)
        elif tree is not None:
            download_tree(resolved.fs, resolved.path, new, bar, tree)
        else:
            download(resolved.fs, resolved.path, new, bar, source)
    remember(target, content)
    return target


def _is_there(target: str, resolved: ResolvedPath, source: FileInfo, tree: Tree | None, content: str) -> bool:
    """True if a local path has the content already; False if it is an earlier copy, which may be replaced.

    Raises:
        AlreadyThere: it has something else, which is not ours to replace.
    """
    copied = copied_content(target)
    if copied is not None:
        return copied == content
    if (is_local(resolved.fs) and os.path.realpath(target) == os.path.realpath(resolved.path)) or _is_same(
        target, source, tree
    ):
        return True
    raise AlreadyThere(f"{target} is there already and differs from {resolved.url}; overwrite=True replaces it")


def _is_same(target: str, source: FileInfo, tree: Tree | None) -> bool:
    """True if a local file has the size, or a local directory the names and sizes, of the source."""
    if tree is None:
        return os.path.isfile(target) and os.path.getsize(target) == source.size
    if not os.path.isdir(target):
        return False
    there = {}
    for folder, _, names in os.walk(target):
        for name in names:
            path = os.path.join(folder, name)
            there[os.path.relpath(path, target)] = os.path.getsize(path) if os.path.exists(path) else -1
    return there == {name: info.size for name, info in tree.files.items()}


@contextlib.contextmanager
def _replacing(target: str) -> Iterator[str]:
    """New path that replaces `target` on success; after an error `target` is unchanged."""
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


def to_store(local: str, destination: ResolvedPath, into: bool, overwrite: bool) -> str:
    """As `hdfs.copy_to_hdfs`; with `into` the destination is a directory, whether it exists or not."""
    local = os.path.abspath(local)
    if not os.path.exists(local):
        raise NotThere(f"there is no local file or directory {local}")
    target = _target(destination, os.path.basename(local), into)
    _put(local, target, overwrite)
    return target.url


def _put(local: str, target: ResolvedPath, overwrite: bool) -> None:
    _check_free(target, overwrite)
    if os.path.isdir(local):
        files, folders = local_tree(local)
        for path in files.values():
            if is_broken_link(path):
                raise NotThere(f"{path} is a broken link; remove it")
        install(target, files, lambda root: put_tree(target.fs, files, folders, root))
    else:
        _check_may_be_file(target)
        _upload(target, local)


def copy(source: ResolvedPath, destination: ResolvedPath, overwrite: bool) -> None:
    """As `hdfs.cp`."""
    info = stat(source.fs, source.path)
    target = _target(destination, source.name)
    if target.url == source.url or (info.is_folder and f"{target.url}/".startswith(f"{source.url}/")):
        raise InvalidArguments(
            "cp", [f"{source.url} cannot be copied to {target.url}, which is itself or inside of it"]
        )
    _check_free(target, overwrite)
    if source.fs is not target.fs:
        with tempfile.TemporaryDirectory(prefix="hopslite-") as folder:
            local = os.path.join(folder, source.name)
            (download_tree if info.is_folder else download)(source.fs, source.path, local)
            _put(local, target, overwrite)
    elif info.is_folder:
        tree = list_tree(source.fs, source.path)
        install(target, tree.files, lambda root: copy_tree(source.fs, tree, root))
    else:
        _check_may_be_file(target)
        make_parents(target)
        copy_file(source.fs, source.path, target.path)


def move_to(source: ResolvedPath, destination: ResolvedPath, into: bool) -> None:
    """As `hdfs.move`, or with `into=False` as `hdfs.rename`."""
    info = stat(source.fs, source.path)
    target = _target(destination, source.name) if into else destination
    if target.url == source.url:
        return
    _check_free(target, False)
    if info.is_folder and f"{target.url}/".startswith(f"{source.url}/"):
        raise InvalidArguments("move", [f"{source.url} cannot be moved into itself: {target.url}"])
    if not info.is_folder:
        target.check_may_be_file()
    if source.fs is target.fs and renames(source):
        make_parents(target)
        with translate_errors(source.fs, source.path):
            source.fs.mv(source.path, target.path)
        return
    copy(source, target, False)
    remove(source, True)


def remove(resolved: ResolvedPath, recursive: bool) -> None:
    """As `hdfs.delete`."""
    project = resolve("").url
    if f"{project}/".startswith(f"{resolved.url.rstrip('/')}/"):
        role = "is the project itself" if resolved.url == project else f"holds the project, {project}"
        raise InvalidArguments("delete", [f"{resolved.url} {role}; name what is to be deleted in it"])
    info = stat(resolved.fs, resolved.path)
    with translate_errors(resolved.fs, resolved.path):
        resolved.fs.invalidate_cache(resolved.path)
        inside = list_path(resolved, internal=True) if info.is_folder else []
        if info.is_folder and inside and not recursive:
            raise StoreError(
                f"the directory {resolved.url} is not empty; recursive=True deletes it with all that it holds"
            )
        if not info.is_folder:
            resolved.fs.rm_file(resolved.path)
            return
        remove_at(resolved.fs, resolved.path)


def _target(resolved: ResolvedPath, name: str, into: bool = False) -> ResolvedPath:
    """Destination of a file of this name: below a directory, otherwise the path itself.

    The project and its own folders are directories before anything is in them.
    """
    if into or resolved.is_project:
        return resolved / name
    info = info_at(resolved)
    is_folder = resolved.is_known_folder if info is None else info.is_folder
    return resolved / name if is_folder else resolved


def _check_free(target: ResolvedPath, overwrite: bool) -> None:
    if not overwrite and info_at(target) is not None:
        raise AlreadyThere(f"{target.url} is there already; overwrite=True replaces it")
