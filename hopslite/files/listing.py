"""What is in a directory of a project's store, in the form in which HopsML told it."""

from __future__ import annotations

import contextlib
import datetime
import fnmatch
import grp
import pwd
import stat
from collections.abc import Mapping
from typing import Any

from ..store._found import NotThere, all_below, followed, look, told
from .paths import Place, resolve

__all__ = ["details", "list_place", "matches", "of_place"]

MAGIC = "*?["
TIMES = ("modification_time", "mtime", "LastModified", "last_modified", "updated", "created")


def list_place(place: Place, recursive: bool = False) -> list[dict[str, Any]]:
    """`details` of all that is in a directory, by name; of a file, its own."""
    if not look(place.fs, place.path).is_folder:
        return [of_place(place)]
    with told(place.fs, place.path):
        place.fs.invalidate_cache(place.path)
        if recursive:
            infos = all_below(place.fs, place.path)
        else:
            infos = []
            with contextlib.suppress(FileNotFoundError):  # s3fs says so of a directory in which nothing is
                infos = [followed(place.fs, each) for each in place.fs.ls(place.path, detail=True)]
    found = [details(info, place) for info in infos if str(info["name"]).rstrip("/") != place.path]
    return sorted(found, key=lambda each: str(each["name"]))


def of_place(place: Place) -> dict[str, Any]:
    with told(place.fs, place.path):
        place.fs.invalidate_cache(place.path)
        return details(place.fs.info(place.path), place)


def details(info: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """What the store knows of a file or directory at or below a place; None is what it does not know.

    Args:
        info: what fsspec tells.
    """
    path = str(info["name"])
    name = place.url_of(path)
    mode = info.get("permission", info.get("mode"))
    return {
        "kind": "directory" if info["type"] == "directory" or path.endswith("/") else "file",
        "name": name,
        "path": name,
        "size": int(info.get("size") or 0),
        "last_mod": _seconds(next((info[each] for each in TIMES if info.get(each)), None)),
        "last_access": _seconds(info.get("access_time") or None),
        "owner": info.get("owner") or _user(info.get("uid")),
        "group": info.get("group") if isinstance(info.get("group"), str) else _group(info.get("gid")),
        "permissions": None if mode is None else stat.S_IMODE(int(mode)),
        "replication": info.get("replication"),
        "block_size": info.get("block_size"),
    }


def matches(pattern: str, recursive: bool = False, project: str | None = None) -> list[str]:
    """The URLs that a pattern describes, sorted: `*` and `?` stand for anything but `/`, `**` for any folders."""
    resolve(pattern, project)  # says what is wrong with it
    pattern = pattern.rstrip("/")
    parts = pattern.split("/")
    first = next((index for index, part in enumerate(parts) if _is_magic(part)), len(parts) - 1)
    start = "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")
    if start.endswith(":/") or start.endswith(":"):
        raise NotThere(f"{pattern!r} has a pattern where the address of a file system is due")
    place = resolve(start, project)
    if not look(place.fs, place.path).is_folder:
        return []
    rest = parts[first:]
    return sorted(_below(place, [*rest[:-1], "**", rest[-1]] if recursive and "**" not in rest else rest))


def _below(place: Place, parts: list[str]) -> set[str]:
    part, rest = parts[0], parts[1:]
    found = set()
    if part == "**":
        inside = [place, *(_at(place, each) for each in list_place(place, True) if each["kind"] == "directory")]
        for folder in inside:
            found |= _below(folder, rest or ["*"])
        return found
    for each in list_place(place):
        name = str(each["name"]).rpartition("/")[2]
        if not fnmatch.fnmatchcase(name, part) or (name.startswith(".") and not part.startswith(".")):
            continue
        if not rest:
            found.add(str(each["name"]))
        elif each["kind"] == "directory":
            found |= _below(place / name, rest)
    return found


def _at(place: Place, each: Mapping[str, Any]) -> Place:
    return place / str(each["name"])[len(place.url) :].strip("/")


def _is_magic(part: str) -> bool:
    return any(each in part for each in MAGIC)


def _seconds(time: Any) -> int | None:
    """Seconds since the epoch; HDFS tells milliseconds."""
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
