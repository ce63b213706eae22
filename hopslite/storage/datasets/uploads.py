"""Uploads that go on or were interrupted: their leases, and the objects that they need.

An upload first registers itself, then waits until nobody deletes versions, and only then looks which objects exist.
Who deletes first acquires the lease of deletions, and only then reads which uploads are registered. Of the two, at
least one sees the other, so an object that an upload relies on is never deleted.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import DataSetNotFound, RunIsRunning, StoreError
from ..driver_lease import DriverLease, claim, has_live_driver, require_no_live_driver
from ..records import json_object
from ..run_directory import RunDir
from .dataset import DataSet

__all__ = ["KEPT_SECONDS", "holding_removals", "is_live", "registered", "registering"]

KEPT_SECONDS = 7 * 24 * 3600.0  # for which the objects of an interrupted upload are kept
UPLOADS, REMOVAL, RECORD = "uploads", "removal", "upload.json"
POLL_SECONDS = 0.2
WAIT_SECONDS = 600.0  # for a deletion
ATTEMPTS = 5  # at a lease


@contextlib.contextmanager
def registering(data_set: DataSet, checksum: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Register an upload of the files in a list; when it fails, its objects are kept for a week.

    Args:
        checksum: of the list, which is written after that.

    Raises:
        DataSetNotFound: the data set was deleted meanwhile.
        StoreError: versions are being deleted for too long.
    """
    data_set.record()
    upload, lease = _leased(data_set, checksum)
    try:
        upload.write_json(RECORD, {"list": checksum, "time": time.time()})
        _wait_for_removal(data_set, tell)
        data_set.record()
        yield
    except DataSetNotFound:
        lease.release(is_deleted=True)  # a file written there would bring a part of it back
        raise
    except BaseException:
        lease.release()
        raise
    lease.release(is_deleted=True)
    with contextlib.suppress(OSError):  # otherwise it is removed by the next deletion
        upload.remove_all()


def _leased(data_set: DataSet, checksum: str) -> tuple[RunDir, DriverLease]:
    """Directory and lease of a new upload."""
    for attempt in range(ATTEMPTS):
        upload = data_set.folder.sub(UPLOADS, f"{checksum[:16]}-{secrets.token_hex(4)}")
        try:
            return upload, claim(upload)
        except FileNotFoundError:  # a deletion has taken it for one whose process is gone
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def registered(data_set: DataSet) -> list[tuple[RunDir, dict[str, Any]]]:
    """Directories and records of the data set's uploads."""
    names = [name for name in data_set.folder.list(UPLOADS) if not name.startswith(".")]
    contents = data_set.folder.read_many([f"{UPLOADS}/{name}/{RECORD}" for name in names])
    return [
        (data_set.folder.sub(UPLOADS, name), json_object(content) or {})
        for name, content in zip(names, contents, strict=True)
    ]


def is_live(upload: RunDir) -> bool:
    """True if the process of an upload works; waits for its next sign of life if it is on another host."""
    try:
        require_no_live_driver(upload)
    except RunIsRunning:
        return True
    return False


@contextlib.contextmanager
def holding_removals(data_set: DataSet) -> Iterator[None]:
    """Hold the lease of those who delete versions.

    Raises:
        StoreError: another process deletes versions.
    """
    try:
        lease = claim(data_set.folder.sub(REMOVAL))
    except RunIsRunning as error:
        raise StoreError(
            f"versions of {data_set.name!r} are being deleted by process {error.pid} on host {error.host}; wait until "
            "that ends"
        ) from error
    try:
        yield
    finally:
        lease.release()


def _wait_for_removal(data_set: DataSet, tell: Callable[[str], None]) -> None:
    removal = data_set.folder.sub(REMOVAL)
    until = time.monotonic() + WAIT_SECONDS
    has_told = False
    while (is_held := has_live_driver(removal)) is not False:
        if is_held is None and not is_live(removal):
            return
        if not has_told:
            tell(f"waiting: versions of {data_set.name!r} are being deleted")
            has_told = True
        if time.monotonic() > until:
            raise StoreError(f"versions of {data_set.name!r} are still being deleted; upload again when that has ended")
        time.sleep(POLL_SECONDS)
