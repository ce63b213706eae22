"""Content in the cache of this machine that versions of a data set share: it is linked, and not fetched again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence

from ..cache import entries_with
from .file_list import StoredFile

__all__ = ["link_known", "remember"]

RECORD = "data_set.json"  # of an entry: the data set, and the names of files by checksum


def remember(source: str, files: Sequence[StoredFile], entry: str) -> None:
    """Record the checksums of the files of an entry.

    Args:
        source: tells the data set from any other.
        entry: directory of the entry.
    """
    names = {file.sha256: file.name for file in files}
    with open(os.path.join(entry, RECORD), "w", encoding="utf-8") as record:
        json.dump({"source": source, "files": names}, record)


def link_known(source: str, files: Sequence[StoredFile], target: str) -> list[StoredFile]:
    """Link files that other versions in the cache have; returns those that have to be fetched.

    Those files were verified when they were fetched, and have not changed since by size and time.
    """
    missing = list(files)
    for content, path in entries_with(RECORD):
        if not missing:
            break
        names = _names(path, source)
        missing = [file for file in missing if not _link(content, names.get(file.sha256), target, file.name)]
    return missing


def _names(path: str, source: str) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), open(path, encoding="utf-8") as file:
        record = json.load(file)
        if record["source"] == source:
            return dict(record["files"])
    return {}


def _link(content: str, known: str | None, target: str, name: str) -> bool:
    if known is None:
        return False
    try:
        os.link(os.path.join(content, known), os.path.join(target, name))
    except OSError:
        return False
    return True
