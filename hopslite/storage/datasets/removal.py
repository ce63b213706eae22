"""Deletion of versions and data sets, and of content that nothing refers to any more."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...core.types import json_safe
from ...errors import StoreError
from .dataset import DELETED, READY, RECORD, UNPACKED, DataSet, list_name
from .file_list import SHA256, decode, objects_of
from .uploads import KEPT_SECONDS, holding_removals, is_live, registered

__all__ = ["remove_data_set", "remove_versions"]


def remove_versions(data_set: DataSet, numbers: Sequence[int], now: Callable[[], float] = time.time) -> str | None:
    """Delete versions, and the content that neither other versions nor uploads need.

    Numbers of deleted versions are never used again.

    Returns:
        The reason why content was kept for now; None if it was not.

    Raises:
        StoreError: another process deletes versions, or the store cannot be written.
    """
    with holding_removals(data_set):
        _bury(data_set, numbers)
        _remove_unpacked(data_set, now())
        return _collect(data_set, now)


def remove_data_set(data_set: DataSet) -> None:
    """Delete a data set with all its versions. Numbers go on where it is created again.

    Raises:
        StoreError: somebody uploads to it, or another process deletes versions.
    """
    with holding_removals(data_set):
        for upload, _ in registered(data_set):
            if is_live(upload):
                raise StoreError(f"somebody is uploading to the data set {data_set.name!r}; delete it after that")
        _bury(data_set, [int(manifest["version"]) for manifest in data_set.manifests()])
        for name in ("uploads", "lists", "objects", UNPACKED):
            if data_set.folder.list(name):
                data_set.folder.sub(name).remove_all()
        data_set.folder.remove([RECORD])  # last: until then it can be deleted again after an interruption


def _bury(data_set: DataSet, numbers: Sequence[int]) -> None:
    """Replace manifests by tombstones, each in one step."""
    for number in numbers:
        record = {"name": data_set.name, "version": number, "state": DELETED, "deleted": time.time()}
        data_set.folder.write_json(f"versions/{number}.json", json_safe(record))


def _collect(data_set: DataSet, now: Callable[[], float]) -> str | None:
    """Delete lists and objects that nothing refers to; returns the reason if they are kept."""
    manifests = list(data_set.manifests(deleted=True))
    unknown = set(data_set.numbers()) - {manifest["version"] for manifest in manifests}
    if unknown:  # a newer version of hopslite may have made it
        return f"the record of version {min(unknown)} of {data_set.name!r} cannot be read, so no content was deleted"
    uploads, lists = _of_uploads(data_set, now())
    if uploads and None in lists.values():
        return f"an upload to {data_set.name!r} has just begun; content goes when a version is deleted after that"
    for manifest in manifests:
        if manifest["state"] == READY and (checksum := str(manifest["list"])) not in lists:
            lists[checksum] = data_set.list_content(checksum)
    needed: set[str] = set()
    for checksum, content in lists.items():
        if content is None:
            return f"{list_name(checksum)} of {data_set.name!r} is missing, so no content was deleted"
        needed.update(objects_of(decode(checksum, content)))
    kept_lists = {f"{checksum}.gz" for checksum in lists}
    data_set.folder.sub("lists").remove_many([name for name in data_set.folder.list("lists") if name not in kept_lists])
    names = ((name, name.rpartition("/")[2]) for name in data_set.objects.all_names())
    # A file that is no object is being written by an upload, or is left by a killed one.
    data_set.objects.folder.remove_many(
        [name for name, last in names if last not in needed and (not uploads or SHA256.fullmatch(last))]
    )
    return None


def _remove_unpacked(data_set: DataSet, now: float) -> None:
    """Remove unpacked archives that killed uploads have left."""
    if not data_set.folder.is_local:
        return
    for name in data_set.folder.list(UNPACKED):
        path = data_set.folder.path(UNPACKED, name)
        with contextlib.suppress(OSError):
            if now - os.stat(path).st_mtime > KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _of_uploads(data_set: DataSet, now: float) -> tuple[int, dict[str, bytes | None]]:
    """Number of uploads whose content is kept, and their lists; others are forgotten."""
    number = 0
    lists: dict[str, bytes | None] = {}
    for upload, record in registered(data_set):
        checksum = str(record.get("list"))
        content = data_set.list_content(checksum)
        if (content is None or not _is_recent(record, now)) and not is_live(upload):
            upload.remove_all()
        else:
            number += 1
            lists[checksum] = content
    return number, lists


def _is_recent(record: dict[str, Any], now: float) -> bool:
    began = record.get("time")
    return isinstance(began, (int, float)) and abs(now - began) < KEPT_SECONDS
