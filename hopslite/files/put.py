"""Writing files and directories to a store, atomically where it can."""

from __future__ import annotations

import contextlib
import posixpath
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..storage.fs.file_info import AlreadyThere, FileInfo, NotThere, Tree, list_tree, stat, translate_errors
from ..storage.fs.local_files import put_local
from ..storage.fs.transfer import has_folders, upload_files
from ..storage.fs.urls import is_local
from .paths import ResolvedPath

__all__ = [
    "copy_file",
    "copy_tree",
    "info_at",
    "install",
    "is_s3",
    "make_folder",
    "make_parents",
    "put_tree",
    "renames",
]

AT_ONCE = 16


def info_at(resolved: ResolvedPath) -> FileInfo | None:
    """Metadata of a path; None if nothing exists there."""
    try:
        return stat(resolved.fs, resolved.path)
    except NotThere:
        return None


def make_folder(resolved: ResolvedPath) -> None:
    """As `hdfs.mkdir`."""
    info = info_at(resolved)
    if info is not None:
        if not info.is_folder:
            raise AlreadyThere(f"{resolved.url} is a file; choose another name for the directory")
        return
    with translate_errors(resolved.fs, resolved.path):
        if not _make_marker(resolved):
            resolved.fs.makedirs(resolved.path, exist_ok=True)


def _make_marker(resolved: ResolvedPath) -> bool:
    """Create an empty object whose name ends in `/`, which stands for an empty directory on S3."""
    if not is_s3(resolved):
        return False
    bucket, _, key = resolved.path.partition("/")
    resolved.fs.call_s3("put_object", Bucket=bucket, Key=f"{key}/")
    resolved.fs.invalidate_cache(resolved.path)
    return True


def is_s3(resolved: ResolvedPath) -> bool:
    return "s3" in resolved.fs.protocol and "/" in resolved.path


def renames(resolved: ResolvedPath) -> bool:
    """True if the store can rename a directory atomically."""
    return is_local(resolved.fs) or resolved.fs.protocol in ("hdfs", "viewfs")


def install(target: ResolvedPath, names: Iterable[str], fill: Callable[[str], None]) -> None:
    """Fill a directory and put it in the place of `target`, atomically where the store can rename.

    Elsewhere each file appears whole, and what an older directory has besides is removed at last.
    """
    old = info_at(target)
    make_parents(target)
    with translate_errors(target.fs, target.path):
        if not renames(target):
            is_file = old is not None and not old.is_folder
            if is_file and has_folders(target.fs):
                target.fs.rm_file(target.path)
            before = list_tree(target.fs, target.path).files if old is not None and old.is_folder else {}
            fill(target.path)
            for name in before.keys() - set(names):
                target.fs.rm_file(before[name].path)
            if is_file and not has_folders(target.fs):
                target.fs.rm_file(target.path)
            if not names:
                make_folder(target)
            return
        folder, name = posixpath.split(target.path)
        hidden = f"{folder}/.{name[:60]}.{secrets.token_hex(4)}"
        try:
            target.fs.makedirs(f"{hidden}.tmp")
            fill(f"{hidden}.tmp")
            if old is not None:
                target.fs.mv(target.path, f"{hidden}.old")
            try:
                target.fs.mv(f"{hidden}.tmp", target.path)
            except BaseException:
                if old is not None:
                    target.fs.mv(f"{hidden}.old", target.path)
                raise
        except BaseException:
            with contextlib.suppress(Exception):  # the original error is raised
                target.fs.rm(f"{hidden}.tmp", recursive=True)
            raise
        if old is not None:
            target.fs.rm(f"{hidden}.old", recursive=True)


def make_parents(resolved: ResolvedPath) -> None:
    if is_local(resolved.fs) or resolved.fs.protocol in ("hdfs", "viewfs") or has_folders(resolved.fs):
        with translate_errors(resolved.fs, resolved.path):
            resolved.fs.makedirs(posixpath.dirname(resolved.path), exist_ok=True)


def put_tree(fs: Any, files: Mapping[str, str], folders: Iterable[str], root: str) -> None:
    if has_folders(fs) or fs.protocol in ("hdfs", "viewfs"):
        for folder in folders:
            fs.makedirs(f"{root}/{folder}", exist_ok=True)
    upload_files(fs, [(path, f"{root}/{name}") for name, path in files.items()])


def copy_tree(fs: Any, tree: Tree, root: str) -> None:
    if has_folders(fs) or fs.protocol in ("hdfs", "viewfs"):
        for folder in sorted({*tree.folders, *(posixpath.dirname(name) for name in tree.files)}):
            fs.makedirs(f"{root}/{folder}", exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hopslite-copy") as threads:
        begun = [threads.submit(copy_file, fs, info.path, f"{root}/{name}") for name, info in tree.files.items()]
    for task in begun:
        task.result()


def copy_file(fs: Any, source: str, target: str) -> None:
    with translate_errors(fs, target):
        if is_local(fs):
            put_local(source, target)
        else:
            fs.cp_file(source, target)
