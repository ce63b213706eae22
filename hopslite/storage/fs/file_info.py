"""File metadata: path, size and the change marker used to detect that a file was modified."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...core.redaction import without_credentials
from ...errors import StoreError
from .checksums import local_tree
from .urls import errors_of, is_local

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "AlreadyThere",
    "FileInfo",
    "NEVER_AGAIN",
    "NotAFile",
    "NotAllowed",
    "NotThere",
    "Tree",
    "all_below",
    "fingerprint",
    "followed",
    "is_broken_link",
    "largest",
    "list_tree",
    "shown",
    "size_text",
    "stat",
    "translate_errors",
]

# Attributes that change with a file's content, by file systems' names for them; the first one present counts.
MARKS = ("ETag", "etag", "md5Hash", "modification_time", "mtime", "LastModified", "last_modified", "updated", "created")
MD5_OF_S3 = re.compile(r"[0-9a-f]{32}(-[1-9][0-9]*)?")


class NotThere(StoreError, FileNotFoundError):
    """There is no such file or directory."""


class AlreadyThere(StoreError, FileExistsError):
    """The target exists already."""


class NotAllowed(StoreError, PermissionError):
    """Permission denied by the store."""


class NotAFile(StoreError, IsADirectoryError):
    """There is a directory where a file is needed."""


# Errors for which a retry is pointless.
NEVER_AGAIN = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


@dataclasses.dataclass(frozen=True, slots=True)
class FileInfo:
    """Metadata of a file or directory.

    `mark` changes with the content; `md5` is what the store says of the content, in the form of S3's ETags
    (with `-3`, that of the MD5s of three parts), empty where it says nothing.
    """

    path: str
    size: int
    mark: str
    md5: str = ""
    is_folder: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """Files and folders below a directory, by their relative paths: `a/b.txt`."""

    files: Mapping[str, FileInfo]
    folders: frozenset[str]


def stat(fs: AbstractFileSystem, path: str) -> FileInfo:
    """Present metadata of a file or directory.

    Raises:
        NotThere: there is neither.
    """
    with translate_errors(fs, path):
        fs.invalidate_cache(path)
        if is_local(fs) and is_broken_link(str(fs._strip_protocol(path))):
            raise _broken_link(fs, path)
        return _file_info(fs, fs.info(path))


def list_tree(fs: AbstractFileSystem, path: str) -> Tree:
    """Recursive listing of a directory; of a local one, links are followed.

    Raises:
        NotThere: there is no such directory; a link in it leads nowhere.
        StoreError: a name in it would lead out of it.
    """
    with translate_errors(fs, path):
        fs.invalidate_cache(path)
        listed = all_below(fs, path)
    root = str(fs._strip_protocol(path)).rstrip("/")
    files, folders = {}, set()
    for entry in listed:
        file = _file_info(fs, entry)
        name = file.path[len(root) :].strip("/")
        if not name or not file.path.startswith(f"{root}/"):
            continue  # the directory itself
        if ".." in name.split("/"):
            raise StoreError(f"{shown(fs, file.path)} has a name that leads out of the directory {shown(fs, path)}")
        if file.is_folder:
            folders.add(name)
        else:
            files[name] = file
    if not files and not folders and not stat(fs, path).is_folder:
        raise NotThere(f"{shown(fs, path)} is a file, not a directory")
    return Tree(files, frozenset(folders))


def all_below(fs: AbstractFileSystem, path: str) -> list[Mapping[str, Any]]:
    """Recursive listing as fsspec's entries, with links of a local disk followed, which fsspec does not do."""
    root = str(fs._strip_protocol(path))
    if not is_local(fs) or not os.path.isdir(root):
        return list(fs.find(path, withdirs=True, detail=True).values())
    files, folders = local_tree(root)
    links_nowhere = {"size": 0, "type": "link", "islink": True}
    return [
        {**links_nowhere, "name": name} if is_broken_link(name) else fs.info(name)
        for name in [*files.values(), *(os.path.join(root, folder) for folder in folders)]
    ]


def followed(fs: AbstractFileSystem, info: Mapping[str, Any]) -> Mapping[str, Any]:
    """fsspec's entry of a link's target, for an entry of a local listing; a broken link stays one."""
    if not is_local(fs) or not info.get("islink") or is_broken_link(str(info["name"])):
        return info
    target: Mapping[str, Any] = fs.info(info["name"])
    return target


def is_broken_link(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


@contextlib.contextmanager
def translate_errors(fs: AbstractFileSystem, path: str) -> Iterator[None]:
    """Raise errors of a file system as an `OSError` that names the path, without credentials."""
    try:
        with errors_of(shown(fs, path)):
            yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise NotThere(f"{shown(fs, path)} does not exist") from error
    except PermissionError as error:
        raise NotAllowed(f"no permission for {shown(fs, path)}: {without_credentials(_brief(error))}") from error


def fingerprint(info: Mapping[str, Any]) -> str:
    """Change marker of a file, from its entry (`fs.info`)."""
    mark = next((str(info[name]) for name in MARKS if info.get(name)), "")
    return f"{info.get('size') or 0} {mark} {info.get('ino', '')}".strip()


def shown(fs: AbstractFileSystem, path: str) -> str:
    """A path as people would write it: an absolute one on this machine, otherwise a URL; without credentials."""
    if is_local(fs):
        return os.path.abspath(str(fs._strip_protocol(path)))
    return without_credentials(str(fs.unstrip_protocol(path)))


def size_text(size: float) -> str:
    """A number of bytes: `812 bytes`, `1.5 GB`."""
    if size < 1000:
        return f"{size:.0f} byte{'' if round(size) == 1 else 's'}"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def largest(sizes: Mapping[str, int], count: int = 3) -> str:
    """The largest of some entries with their sizes, for people: `data/ (1.5 GB), a.bin (3.0 MB)`."""
    names = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:count]
    return ", ".join(f"{name} ({size_text(sizes[name])})" for name in names)


def _brief(error: BaseException) -> str:
    """Text of an error, without the path that `errors_of` puts in front of it."""
    error = error.__cause__ or error
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__


def _file_info(fs: AbstractFileSystem, info: Mapping[str, Any]) -> FileInfo:
    path, kind = str(info["name"]), info["type"]
    if kind not in ("file", "directory"):
        if is_local(fs) and is_broken_link(path):
            raise _broken_link(fs, path)
        raise StoreError(f"{shown(fs, path)} is neither a file nor a directory, but a device or the like")
    is_folder = kind == "directory" or path.endswith("/")
    return FileInfo(path.rstrip("/"), int(info.get("size") or 0), fingerprint(info), _md5(info), is_folder)


def _broken_link(fs: AbstractFileSystem, path: str) -> NotThere:
    return NotThere(f"{shown(fs, path)} is a broken link: there is nothing where it leads")


def _md5(info: Mapping[str, Any]) -> str:
    tag = str(info.get("ETag") or "").strip('"')
    if MD5_OF_S3.fullmatch(tag):
        return tag
    if info.get("md5Hash"):  # Google's
        return base64.b64decode(info["md5Hash"]).hex()
    content = info.get("content_settings") or {}  # Azure's
    value = content.get("content_md5") if isinstance(content, Mapping) else None
    return bytes(value).hex() if value else ""
