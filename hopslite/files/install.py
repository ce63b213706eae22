"""Putting files and directories into a store: whole, where the store can."""

from __future__ import annotations

import contextlib
import posixpath
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..store._found import AlreadyThere, Found, NotThere, Tree, list_tree, look, told
from ..store.filesystems import is_local
from ..store.transfer import has_folders, put_local, upload_files
from .paths import Place

__all__ = [
    "copy_file",
    "copy_tree",
    "found_at",
    "install",
    "is_s3",
    "make_folder",
    "make_parents",
    "put_tree",
    "renames",
]

AT_ONCE = 16


def found_at(place: Place) -> Found | None:
    """What is there now; None: nothing."""
    try:
        return look(place.fs, place.path)
    except NotThere:
        return None


def make_folder(place: Place) -> None:
    """As `hdfs.mkdir`."""
    found = found_at(place)
    if found is not None:
        if not found.is_folder:
            raise AlreadyThere(f"{place.url} is a file; choose another name for the directory")
        return
    with told(place.fs, place.path):
        if not _make_marker(place):
            place.fs.makedirs(place.path, exist_ok=True)


def _make_marker(place: Place) -> bool:
    """On S3 an empty object with a `/` at the end stands for a directory in which nothing is yet."""
    if not is_s3(place):
        return False
    bucket, _, key = place.path.partition("/")
    place.fs.call_s3("put_object", Bucket=bucket, Key=f"{key}/")
    place.fs.invalidate_cache(place.path)
    return True


def is_s3(place: Place) -> bool:
    return "s3" in place.fs.protocol and "/" in place.path


def renames(place: Place) -> bool:
    """Whether the store can give a directory another name, at once."""
    return is_local(place.fs) or place.fs.protocol in ("hdfs", "viewfs")


def install(target: Place, names: Iterable[str], fill: Callable[[str], None]) -> None:
    """Have a directory filled with files and put it in the place of `target`: at once where a store can rename.

    Elsewhere each file appears whole, and what an older directory has besides is removed at last.
    """
    old = found_at(target)
    make_parents(target)
    with told(target.fs, target.path):
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
            with contextlib.suppress(Exception):  # what went wrong is what is told
                target.fs.rm(f"{hidden}.tmp", recursive=True)
            raise
        if old is not None:
            target.fs.rm(f"{hidden}.old", recursive=True)


def make_parents(place: Place) -> None:
    if is_local(place.fs) or place.fs.protocol in ("hdfs", "viewfs") or has_folders(place.fs):
        with told(place.fs, place.path):
            place.fs.makedirs(posixpath.dirname(place.path), exist_ok=True)


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
        begun = [threads.submit(copy_file, fs, found.path, f"{root}/{name}") for name, found in tree.files.items()]
    for each in begun:
        each.result()


def copy_file(fs: Any, source: str, target: str) -> None:
    with told(fs, target):
        if is_local(fs):
            put_local(source, target)
        else:
            fs.cp_file(source, target)
