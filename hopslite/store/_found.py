"""What a file system tells of its files: where they are, how long, and what another content would change."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fsspec import AbstractFileSystem

from ..errors import StoreError
from .filesystems import errors_of, is_local, without_credentials
from .manifest import local_tree

__all__ = [
    "AlreadyThere",
    "Found",
    "NEVER_AGAIN",
    "NotAFile",
    "NotAllowed",
    "NotThere",
    "Tree",
    "all_below",
    "fingerprint",
    "followed",
    "is_broken_link",
    "list_tree",
    "look",
    "shown",
    "size_text",
    "told",
]

# What changes with a file's content, by the names that file systems have for it; the first one that is there counts.
MARKS = ("ETag", "etag", "md5Hash", "modification_time", "mtime", "LastModified", "last_modified", "updated", "created")
MD5_OF_S3 = re.compile(r"[0-9a-f]{32}(-[1-9][0-9]*)?")


class NotThere(StoreError, FileNotFoundError):
    """There is no such file or directory."""


class AlreadyThere(StoreError, FileExistsError):
    """Something is where something new is to be."""


class NotAllowed(StoreError, PermissionError):
    """The store says that this user, or nobody, may do so."""


class NotAFile(StoreError, IsADirectoryError):
    """A directory is where a file is due."""


# What will not change when it is tried again.
NEVER_AGAIN = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A file or directory on a file system.

    `mark` is another one when the content is; `md5` is what the store says of the content, in the form of S3's ETags
    (with `-3`, that of the MD5s of three parts), empty where it says nothing.
    """

    path: str
    size: int
    mark: str
    md5: str = ""
    is_folder: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """What is below a directory, by the names in it: `a/b.txt`."""

    files: Mapping[str, Found]
    folders: frozenset[str]


def look(fs: AbstractFileSystem, path: str) -> Found:
    """What is at a path now.

    Raises:
        NotThere: nothing.
    """
    with told(fs, path):
        fs.invalidate_cache(path)
        if is_local(fs) and is_broken_link(str(fs._strip_protocol(path))):
            raise _broken_link(fs, path)
        return _found(fs, fs.info(path))


def list_tree(fs: AbstractFileSystem, path: str) -> Tree:
    """All that is below a directory now; of a local one, what is behind links, too.

    Raises:
        NotThere: there is no such directory; a link in it leads nowhere.
        StoreError: a name in it would lead out of it.
    """
    with told(fs, path):
        fs.invalidate_cache(path)
        listed = all_below(fs, path)
    root = str(fs._strip_protocol(path)).rstrip("/")
    files, folders = {}, set()
    for info in listed:
        found = _found(fs, info)
        name = found.path[len(root) :].strip("/")
        if not name or not found.path.startswith(f"{root}/"):
            continue  # the directory itself
        if ".." in name.split("/"):
            raise StoreError(f"{shown(fs, found.path)} has a name that leads out of the directory {shown(fs, path)}")
        if found.is_folder:
            folders.add(name)
        else:
            files[name] = found
    if not files and not folders and not look(fs, path).is_folder:
        raise NotThere(f"{shown(fs, path)} is a file, not a directory")
    return Tree(files, frozenset(folders))


def all_below(fs: AbstractFileSystem, path: str) -> list[Mapping[str, Any]]:
    """What a file system tells of all that is below a directory; fsspec does not go where links on a disk lead."""
    root = str(fs._strip_protocol(path))
    if not is_local(fs) or not os.path.isdir(root):
        return list(fs.find(path, withdirs=True, detail=True).values())
    files, folders = local_tree(root)
    links_nowhere = {"size": 0, "type": "link", "islink": True}
    return [
        {**links_nowhere, "name": each} if is_broken_link(each) else fs.info(each)
        for each in [*files.values(), *(os.path.join(root, name) for name in folders)]
    ]


def followed(fs: AbstractFileSystem, info: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is told of a file where a listing of a local directory tells of a link to it; a broken link stays one."""
    if not is_local(fs) or not info.get("islink") or is_broken_link(str(info["name"])):
        return info
    told_of: Mapping[str, Any] = fs.info(info["name"])
    return told_of


def is_broken_link(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


@contextlib.contextmanager
def told(fs: AbstractFileSystem, path: str) -> Iterator[None]:
    """What goes wrong with a path comes out as an `OSError` that names it, without credentials."""
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
    """What is different when a file's content is, from what its file system tells of it (`fs.info`)."""
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
        return f"{size:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def _brief(error: BaseException) -> str:
    """What was wrong, without the path that `errors_of` puts in front of it."""
    error = error.__cause__ or error
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__


def _found(fs: AbstractFileSystem, info: Mapping[str, Any]) -> Found:
    path, kind = str(info["name"]), info["type"]
    if kind not in ("file", "directory"):
        if is_local(fs) and is_broken_link(path):
            raise _broken_link(fs, path)
        raise StoreError(f"{shown(fs, path)} is neither a file nor a directory, but a device or the like")
    is_folder = kind == "directory" or path.endswith("/")
    return Found(path.rstrip("/"), int(info.get("size") or 0), fingerprint(info), _md5(info), is_folder)


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
