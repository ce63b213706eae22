"""Directory listings of a project's store, in the form of HopsML."""

from __future__ import annotations

import contextlib
import datetime
import fnmatch
import grp
import posixpath
import pwd
import re
from collections.abc import Mapping
from stat import S_IMODE
from typing import Any

from ..storage.fs.file_info import NotThere, all_below, followed, stat, translate_errors
from .paths import ResolvedPath, resolve
from .put import info_at

__all__ = ["details", "details_of", "files_of", "list_path", "matches"]

MAGIC = "*?["
INTERNAL = re.compile(
    r"/(Models/[^/]+/\.records|Experiments/\.versions|Experiments/\.deleted-[^/]+)(/|$)"
)  # hopslite's own
TIMES = ("modification_time", "mtime", "LastModified", "last_modified", "updated", "created")


def list_path(resolved: ResolvedPath, recursive: bool = False, internal: bool = False) -> list[dict[str, Any]]:
    """Details of a directory's entries, by name; of a file, its own.

    Args:
        internal: also the records that hopslite keeps of models and runs in a project, unless they are listed anyway.
    """
    if not stat(resolved.fs, resolved.path).is_folder:
        return [details_of(resolved)]
    with translate_errors(resolved.fs, resolved.path):
        resolved.fs.invalidate_cache(resolved.path)
        if recursive:
            infos = all_below(resolved.fs, resolved.path)
        else:
            infos = []
            with contextlib.suppress(FileNotFoundError):  # raised by s3fs for an empty directory
                infos = [followed(resolved.fs, entry) for entry in resolved.fs.ls(resolved.path, detail=True)]
    listed = [details(info, resolved) for info in infos if str(info["name"]).rstrip("/") != resolved.path]
    if not internal and not INTERNAL.search(resolved.url):
        listed = [entry for entry in listed if not INTERNAL.search(str(entry["name"]))]
    return sorted(listed, key=lambda entry: str(entry["name"]))


def details_of(resolved: ResolvedPath) -> dict[str, Any]:
    with translate_errors(resolved.fs, resolved.path):
        resolved.fs.invalidate_cache(resolved.path)
        return details(resolved.fs.info(resolved.path), resolved)


def details(info: Mapping[str, Any], resolved: ResolvedPath) -> dict[str, Any]:
    """Details that the store has of a file or directory; None for unknown ones.

    Args:
        info: what fsspec tells.
    """
    path = str(info["name"])
    name = resolved.url_of(path)
    mode = info.get("permission", info.get("mode"))
    return {
        "kind": "directory" if info["type"] == "directory" or path.endswith("/") else "file",
        "name": name,
        "path": name,
        "size": int(info.get("size") or 0),
        "last_mod": _seconds(next((info[key] for key in TIMES if info.get(key)), None)),
        "last_access": _seconds(info.get("access_time") or None),
        "owner": info.get("owner") or _user(info.get("uid")),
        "group": info.get("group") if isinstance(info.get("group"), str) else _group(info.get("gid")),
        "permissions": None if mode is None else S_IMODE(int(mode)),
        "replication": info.get("replication"),
        "block_size": info.get("block_size"),
    }


def matches(pattern: str, recursive: bool = False, project: str | None = None) -> list[str]:
    """Sorted URLs that match a pattern: `*` and `?` stand for anything but `/`, `**` for any folders."""
    resolve(pattern, project)  # raises for an invalid path
    pattern = pattern.rstrip("/")
    parts = pattern.split("/")
    first = next((index for index, part in enumerate(parts) if _is_magic(part)), len(parts) - 1)
    start = "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")
    if start.endswith(":/") or start.endswith(":"):
        raise NotThere(f"{pattern!r} has a pattern in the address of its file system")
    resolved = resolve(start, project)
    if not stat(resolved.fs, resolved.path).is_folder:
        return []
    rest = parts[first:]
    return sorted(_below(resolved, [*rest[:-1], "**", rest[-1]] if recursive and "**" not in rest else rest))


def _below(resolved: ResolvedPath, parts: list[str]) -> set[str]:
    part, rest = parts[0], parts[1:]
    paths = set()
    if part == "**":
        inside = [
            resolved,
            *(_at(resolved, entry) for entry in list_path(resolved, True) if entry["kind"] == "directory"),
        ]
        for folder in inside:
            paths |= _below(folder, rest or ["*"])
        return paths
    for entry in list_path(resolved):
        name = str(entry["name"]).rpartition("/")[2]
        if not fnmatch.fnmatchcase(name, part) or (name.startswith(".") and not part.startswith(".")):
            continue
        if not rest:
            paths.add(str(entry["name"]))
        elif entry["kind"] == "directory":
            paths |= _below(resolved / name, rest)
    return paths


def _at(resolved: ResolvedPath, entry: Mapping[str, Any]) -> ResolvedPath:
    return resolved / str(entry["name"])[len(resolved.url) :].strip("/")


def _is_magic(part: str) -> bool:
    return any(character in part for character in MAGIC)


def _seconds(time: Any) -> int | None:
    """Seconds since the epoch; HDFS reports milliseconds."""
    if isinstance(time, str):
        try:
            time = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(time, datetime.datetime):
        return int(time.timestamp())
    if isinstance(time, int):
        return time // 1000
    return None if time is None else int(time)


def _user(number: Any) -> str | None:
    try:
        return None if number is None else pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: Any) -> str | None:
    try:
        return None if number is None else grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def files_of(path_or_glob: str, project: str | None = None) -> list[str]:
    """URLs of a file, of the files that a pattern matches, or of those in a directory that are not hidden.

    Raises:
        FileNotFoundError: there is no such file.
    """
    names = matches(path_or_glob, project=project) or [resolve(path_or_glob, project).url]
    places = [resolve(name) for name in names]
    infos = [info_at(place) for place in places]
    urls = [place.url for place, info in zip(places, infos, strict=True) if info is not None and not info.is_folder]
    if not urls and len(places) == 1 and infos[0] is not None:
        inside = [str(entry["name"]) for entry in list_path(places[0]) if entry["kind"] == "file"]
        urls = [name for name in inside if not posixpath.basename(name).startswith((".", "_"))]
    if not urls:
        raise NotThere(f"there is no file {resolve(path_or_glob, project).url}")
    return urls
