"""Upload of a trial's files to a run directory on another machine, while the trial runs.

Training programs write local files: event files, checkpoints, logs. If the run is stored elsewhere, the slot copies
changed files every few seconds, and all files at the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping

from ..core.types import Spec
from ..storage.run_directory import RunDir
from .checkpoints import copy_checkpoints

__all__ = ["Mirror", "mirrored_checkpoints"]

log = logging.getLogger(__name__)

SETTLED_SECONDS = 1.0  # a file that has not changed for this time is taken to be complete
PATIENCE_SECONDS = 60.0  # for retries of the last copy
RETRY_SECONDS = (0.5, 8.0)  # between two attempts: the first and the longest
APPEND_ONLY = (".log", ".txt", ".csv", ".jsonl")  # written line by line, and copied while they grow

_ChangeMarker = tuple[int, int, int]


class Mirror:
    """Mirrors local directories of one attempt of a trial to remote ones.

    Logs and event files are copied as they grow. Any other file is copied once it has not changed for a second, so that
    a crash leaves no half-written checkpoint. A file that is deleted locally is deleted remotely, too, once all other
    local files are copied: a trial that saves a new checkpoint and deletes the old one would otherwise have none there
    for a while.

    Args:
        folders: the remote directory of each local one.
        interval: seconds between two checks for changes.
        ordered: folders in which a file is copied only after all older ones, so that an index is copied after the files
            that it lists.
        patience: seconds for which the last copy is retried; default: a minute.
    """

    def __init__(
        self,
        folders: Mapping[str, RunDir],
        interval: float,
        ordered: Collection[str] = (),
        patience: float | None = None,
    ) -> None:
        self._folders, self._interval, self._ordered = folders, interval, ordered
        self._patience = patience
        self._copied: dict[str, dict[str, _ChangeMarker]] = {folder: {} for folder in folders}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._copy_periodically, name="hopslite-sync", daemon=True)

    def fetch(self, folder: str) -> None:
        """Download a remote directory to its local one.

        Raises:
            OSError: it cannot be read.
        """
        self._folders[folder].download_to(folder)
        self._copied[folder] = dict(_change_markers(folder))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop copying."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def finish(self, on_wait: Callable[[str], object] = lambda _: None) -> None:
        """Copy all remaining files.

        Args:
            on_wait: called with the reason before each wait; a true return value ends the retries.

        Raises:
            OSError: a file cannot be written, or a server has not answered for long.
        """
        self.stop()
        backoff, longest_backoff = RETRY_SECONDS
        give_up_at = time.monotonic() + (PATIENCE_SECONDS if self._patience is None else self._patience)
        while True:
            try:
                self._copy_changes(final=True)
                return
            except PermissionError:
                raise
            except OSError as error:
                if time.monotonic() + backoff > give_up_at or on_wait(str(error)):
                    raise
                time.sleep(backoff)
                backoff = min(2 * backoff, longest_backoff)

    def _copy_periodically(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._copy_changes(final=False)
            except OSError as error:  # it is retried, and a failure at the end is reported
                log.debug("files of a trial could not be copied yet: %s", error)

    def _copy_changes(self, final: bool) -> None:
        failure: OSError | None = None
        for folder, remote in self._folders.items():
            if not os.path.isdir(folder):
                continue  # it was not created, or was removed as a whole, which does not delete the copies
            try:
                self._copy_folder(folder, remote, final)
            except OSError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _copy_folder(self, folder: str, remote: RunDir, final: bool) -> None:
        complete_before = time.time_ns() - int(SETTLED_SECONDS * 1e9)
        copied, markers = self._copied[folder], dict(_change_markers(folder))
        deleted = copied.keys() - markers.keys()
        if deleted:  # files written in their place may have appeared after the first scan
            markers = dict(_change_markers(folder))
            deleted -= markers.keys()
        changed = [
            name
            for name, marker in sorted(markers.items(), key=lambda item: item[1][1])
            if copied.get(name) != marker and (final or marker[1] < complete_before or _is_append_only(name))
        ]
        names = {os.path.join(folder, name): name for name in changed}

        def on_copied(local: str) -> None:
            copied[names[local]] = markers[names[local]]

        remote.upload(names, on_copied, in_order=folder in self._ordered)
        if deleted and markers.items() <= copied.items():
            remote.remove(sorted(deleted))
            for name in deleted:
                del copied[name]


def mirrored_checkpoints(
    spec: Spec, run: RunDir, directory: str, scratch: str, interval: float, patience: float | None = None
) -> tuple[str, Mirror | None]:
    """The local directory of a trial's checkpoints, and its mirror if the run is stored elsewhere.

    Args:
        directory: where the trial writes.
        scratch: parent of a directory for checkpoints, into which those of earlier attempts are downloaded. A trial
            that begins with a copy gets it anew in each attempt, as an earlier one may have uploaded only a part; that
            is removed, since the trial that goes on from this one would find it beside a whole checkpoint.

    Raises:
        OSError: the checkpoints of earlier attempts, or of other trials, cannot be read or removed.
    """
    checkpoint_run = RunDir(spec.checkpoints or run.path("checkpoints"))
    if run.is_local:
        if spec.copies:
            copy_checkpoints(spec.copies, checkpoint_run.url)
        return checkpoint_run.url, None
    checkpoints = os.path.join(scratch, "checkpoints")
    mirror = Mirror({directory: run, checkpoints: checkpoint_run}, interval, ordered=[checkpoints], patience=patience)
    if spec.copies:
        if spec.attempt and (spec.part is None or spec.part.is_chief):
            checkpoint_run.remove_all()
        RunDir(spec.copies).download_to(checkpoints)
    elif spec.attempt or spec.checkpoints:
        mirror.fetch(checkpoints)
    mirror.start()
    return checkpoints, mirror


def _is_append_only(name: str) -> bool:
    return name.endswith(APPEND_ONLY) or "tfevents" in os.path.basename(name)


def _change_markers(folder: str) -> Iterator[tuple[str, _ChangeMarker]]:
    """Relative path and change marker of all files below a directory."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):  # it has just been removed, or is a broken link
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):  # reading a pipe would never end
                    yield os.path.relpath(path, folder), (status.st_size, status.st_mtime_ns, status.st_ino)
