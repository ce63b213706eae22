"""Installed distributions: read once per process, and again only after something was installed.

Reading them takes a tenth of a second where some hundred are installed, and each run needs them several times.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoints

__all__ = ["entry_points", "versions"]

Metadata: TypeAlias = tuple[tuple[str, int], ...]  # names of the entries that describe distributions, and their times
ImportPath: TypeAlias = tuple[tuple[str, Metadata], ...]

METADATA = (".dist-info", ".egg-info", ".egg")


def entry_points(group: str) -> EntryPoints:
    """Entry points of a group, of all installed distributions."""
    return _entry_points(_import_path()).select(group=group)


def versions() -> list[str]:
    """Installed distributions as `name==version`, sorted."""
    return list(_versions(_import_path()))


def _import_path() -> ImportPath:
    """The import path with the distributions in its directories.

    The current directory is often on it, and changes with each file that a program writes there.
    """
    return tuple((entry, _metadata_in(entry or ".", _changed_at(entry or "."))) for entry in sys.path)


@functools.lru_cache(maxsize=256)
def _metadata_in(path: str, changed_at: int) -> Metadata:
    try:
        with os.scandir(path) as entries:
            return tuple(sorted((e.name, e.stat().st_mtime_ns) for e in entries if e.name.lower().endswith(METADATA)))
    except OSError:  # an archive, a directory that is not there, or one that is just being changed
        return (("", changed_at),)


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=1)
def _entry_points(import_path: ImportPath) -> EntryPoints:
    from importlib.metadata import entry_points  # imported late: it takes 6 ms in each slot

    return cast("EntryPoints", entry_points())  # Python 3.10 returns another class, which can select as well


@functools.lru_cache(maxsize=1)
def _versions(import_path: ImportPath) -> tuple[str, ...]:
    from importlib.metadata import distributions

    return tuple(sorted(set(filter(None, map(_pinned, distributions()))), key=str.lower))


def _pinned(distribution: Distribution) -> str | None:
    """Requirement of this version; None for a distribution that is half installed."""
    try:
        name, version = distribution.metadata["Name"], distribution.version
    except KeyError:  # what newer Pythons, and the package importlib_metadata, raise
        return None
    return f"{name}=={version}" if name and version else None
