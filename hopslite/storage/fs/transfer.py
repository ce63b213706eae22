"""Files between a file system and this machine: whole or not at all, verified, many at once."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

from ...errors import StoreError
from .download import Progress, fetch_files, has_no_room
from .file_info import (
    AlreadyThere,
    FileInfo,
    NotAFile,
    NotThere,
    Tree,
    list_tree,
    shown,
    size_text,
    stat,
    translate_errors,
)
from .local_files import beside, put_local
from .urls import is_local

__all__ = [
    "Bar",
    "check_room",
    "download",
    "download_tree",
    "has_folders",
    "remove_at",
    "remove_files",
    "upload_files",
]

AT_ONCE = 16  # files that are uploaded at once
S3_AT_ONCE = 1000  # objects that one request may delete
LARGE = 64 << 20  # larger ones are uploaded one after the other, each in parts at once
WORTH_A_BAR = 50_000_000
WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}


def download(
    fs: AbstractFileSystem,
    remote: str,
    local: str,
    progress: Progress | None = None,
    info: FileInfo | None = None,
) -> None:
    """Copy a file to this machine. `local` is there when all of it is, verified, and is replaced if it is there before.

    Its size is checked, and its checksum where the store has one: the MD5 that S3, Google and Azure keep (HDFS checks
    each block by itself). A file that changes meanwhile is copied again, up to three times.

    Args:
        fs, remote: as returned by `open_url`.
        local: in a directory that exists.
        progress: is called with the bytes that are done and those of the whole file, again and again, from several
            threads but never from two at once. When the file is copied again, it begins at 0 again.
        info: the result of a `stat` just now, if there is one.

    Raises:
        NotThere, NotAFile: there is no such file; it is a directory. Both are StoreError, too.
        StoreError: no room for it, or it does not arrive; nothing of it is left.
    """
    info = info or stat(fs, remote)
    if info.is_folder:
        raise NotAFile(f"{shown(fs, remote)} is a directory, and a file is due here")
    where = shown(fs, remote)
    check_room(where, info.size, local)
    with _leaving_nothing(where, local) as partial:
        fetch_files(fs, [(info, partial)], lambda _: {info.path: stat(fs, remote)}, progress)
        os.replace(partial, local)


def download_tree(
    fs: AbstractFileSystem,
    remote: str,
    local: str,
    progress: Progress | None = None,
    tree: Tree | None = None,
) -> None:
    """Copy a directory to this machine, as the new directory `local`, which is there when all of it is.

    Each file is verified as by `download`. Empty directories come along where the store knows any.

    Raises:
        AlreadyThere: there is something at `local`.
        NotThere, StoreError: as for `download`.
    """
    if os.path.lexists(local):
        raise AlreadyThere(f"{local} is there already; remove it, or choose another place")
    where = shown(fs, remote)
    tree = tree or list_tree(fs, remote)
    check_room(where, sum(file.size for file in tree.files.values()), local)
    with _leaving_nothing(where, local) as partial:
        os.mkdir(partial)
        for folder in {*tree.folders, *(os.path.dirname(name) for name in tree.files)}:
            os.makedirs(os.path.join(partial, folder), exist_ok=True)
        wanted = [(file, os.path.join(partial, name)) for name, file in tree.files.items()]
        fetch_files(fs, wanted, lambda files: _now(fs, remote, files), progress)
        os.rename(partial, local)


def upload_files(
    fs: AbstractFileSystem,
    pairs: Sequence[tuple[str, str]],
    done: Callable[[str], None] = lambda _: None,
    in_order: bool = False,
) -> None:
    """Copy local files to paths on a file system; each appears whole, and replaces what was there.

    The folders that they need are made.

    Args:
        done: is called with the local path of each file that has arrived.
        in_order: a file is there before the next is begun, and none is after one that cannot be copied. Otherwise many
            are copied at once, and all that can be.

    Raises:
        OSError: the first thing that went wrong.
    """
    if has_folders(fs):
        for folder in {os.path.dirname(remote) for _, remote in pairs}:
            with translate_errors(fs, folder):
                fs.makedirs(folder, exist_ok=True)
    if in_order:
        for pair in pairs:
            _upload(fs, *pair, done)
        return
    small: list[tuple[str, str]] = []
    large: list[tuple[str, str]] = []
    for pair in pairs:
        (large if os.path.exists(pair[0]) and os.path.getsize(pair[0]) > LARGE else small).append(pair)
    failures: list[BaseException] = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hopslite-upload") as threads:
        begun = [threads.submit(_upload, fs, *pair, done) for pair in small]
        for pair in large:  # each of them in many parts at once
            try:
                _upload(fs, *pair, done)
            except OSError as error:
                failures.append(error)
    failures += [failure for future in begun if (failure := future.exception()) is not None]
    for failure in failures:
        raise failure


def remove_at(fs: AbstractFileSystem, path: str, last: str = "") -> None:
    """Remove a directory with all that is in it, under just this name: `rm` takes `[` and `*` for a pattern.

    Args:
        last: the path of a file that is removed when all others are.
    """
    if is_local(fs) or fs.protocol in ("hdfs", "viewfs"):
        fs.rm(path, recursive=True)
        return
    fs.invalidate_cache(path)
    listed = fs.find(path, withdirs=True, detail=True)
    files = [name for name, info in listed.items() if info["type"] != "directory"]
    for some in ([name for name in files if name != last], [name for name in files if name == last]):
        remove_files(fs, some)
    folders = {path, *(listed.keys() - set(files)), *(name.rpartition("/")[0] for name in files), *_markers(fs, path)}
    for folder in sorted(folders, reverse=True):  # the innermost first
        if has_folders(fs):
            with contextlib.suppress(FileNotFoundError):
                fs.rmdir(folder)
        elif "s3" in fs.protocol:  # an empty object may stand for it, and SeaweedFS keeps it without one
            bucket, _, key = folder.partition("/")
            fs.call_s3("delete_object", Bucket=bucket, Key=f"{key}/")
    fs.invalidate_cache(path)


def _markers(fs: AbstractFileSystem, path: str) -> set[str]:
    """Directories below one on S3 that are marked by empty objects, which listings of files leave out."""
    if "s3" not in fs.protocol:
        return set()
    bucket, _, key = path.partition("/")
    folders: set[str] = set()
    more: dict[str, Any] = {}
    while True:
        answer = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{key}/", **more)
        folders |= {
            f"{bucket}/{entry['Key']}".rstrip("/") for entry in answer.get("Contents", []) if entry["Key"][-1] == "/"
        }
        if not answer.get("NextContinuationToken"):
            return folders
        more = {"ContinuationToken": answer["NextContinuationToken"]}


def remove_files(fs: AbstractFileSystem, paths: Sequence[str]) -> None:
    """Remove files, many at once."""
    if "s3" in fs.protocol:
        for first in range(0, len(paths), S3_AT_ONCE):
            sync(fs.loop, fs._bulk_delete, paths[first : first + S3_AT_ONCE])
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hopslite-remove") as threads:
        list(threads.map(fs.rm_file, paths))


def has_folders(fs: AbstractFileSystem) -> bool:
    """True if a file needs its folder to exist; HDFS makes missing ones."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return not protocols & {*WITHOUT_FOLDERS, "hdfs", "viewfs"}


def check_room(source: str, size: int, local: str) -> None:
    """Raise a `StoreError` when there is no room for `size` bytes where `local` is to be."""
    folder = os.path.dirname(os.path.abspath(local))
    try:
        free = shutil.disk_usage(folder).free
    except FileNotFoundError:
        raise NotThere(f"there is no directory {folder} to copy {source} to; make it first") from None
    if size > free:
        raise StoreError(
            f"no room for {source} in {folder}: it has {size_text(size)}, and {size_text(free)} are free there; remove "
            "something, or choose a directory on another disk"
        )


class Bar:
    """Progress bar on standard error for a download of more than 50 MB, in a terminal or notebook.

    ```python
    with Bar("train.tfrecords") as bar:
        download(fs, remote, local, bar)
    ```
    """

    def __init__(self, name: str, least: int = WORTH_A_BAR) -> None:
        self._name, self._least = name, least
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            if total < self._least or not (sys.stderr.isatty() or "ipykernel" in sys.modules):
                return
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self._name, unit="B", unit_scale=True, file=sys.stderr)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def _leaving_nothing(where: str, local: str) -> Iterator[str]:
    """Temporary name beside `local` to write to, removed with its content after an error."""
    partial = beside(local)
    try:
        yield partial
    except BaseException as error:
        if os.path.isdir(partial):
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(partial)
        if has_no_room(error):
            folder = os.path.dirname(os.path.abspath(local))
            raise StoreError(f"no room left in {folder} for {where}; nothing of it was kept") from error
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise StoreError(f"{where} has a name that is too long for a file on this machine") from error
        raise


def _now(fs: AbstractFileSystem, remote: str, files: Sequence[FileInfo]) -> Mapping[str, FileInfo]:
    if len(files) == 1:
        return {files[0].path: stat(fs, files[0].path)}
    return {file.path: file for file in list_tree(fs, remote).files.values()}


def _upload(fs: AbstractFileSystem, local: str, remote: str, done: Callable[[str], None]) -> None:
    if os.path.isdir(local):  # which s3fs, for one, leaves out without a word
        raise NotAFile(f"{local} is a directory, and only files are uploaded to {shown(fs, remote)}")
    with translate_errors(fs, remote):
        if is_local(fs):
            put_local(local, str(LocalFileSystem._strip_protocol(remote)))
        else:
            fs.put_file(local, remote)
    done(local)
