"""What a trial writes, brought to a run directory on another machine while it writes.

Training programs write local files: event files, checkpoints, logs. Where the run is kept elsewhere, the slot copies
what has changed every few seconds, and all of it at the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
import time
from collections.abc import Collection, Iterator, Mapping

from .._trial import Spec
from ..store import RunDir

__all__ = ["Mirror", "mirrored"]

log = logging.getLogger(__name__)

SETTLED_SECONDS = 1.0  # a file that was not written to for so long is taken to be complete
GIVE_UP_SECONDS = 60.0  # for which the last copying is tried again
PAUSE_SECONDS = (0.5, 8.0)  # between two tries, the first and the longest
GROWING = (".log", ".txt", ".csv", ".jsonl")  # are written line by line, and worth seeing at any time

_Mark = tuple[int, int, int]


class Mirror:
    """Keeps remote directories as local ones are; one of a trial and its attempt.

    Logs and event files are copied as they grow. Any other file is copied once it has not changed for a second, so that
    no half-written checkpoint is found after a crash. What is deleted locally after it was copied is deleted there as
    well, once all else that is there locally is copied: a trial that saves a new checkpoint and deletes the old one
    would otherwise have none there for a while.

    Args:
        folders: the remote directory of each local one.
        interval: seconds between two looks for changes.
        ordered: those of the folders in which a file is copied only when all older ones have arrived, so that an index
            comes after what it lists.
    """

    def __init__(self, folders: Mapping[str, RunDir], interval: float, ordered: Collection[str] = ()) -> None:
        self._folders, self._interval, self._ordered = folders, interval, ordered
        self._copied: dict[str, dict[str, _Mark]] = {folder: {} for folder in folders}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hopslite-sync", daemon=True)

    def fetch(self, folder: str) -> None:
        """Bring to a local directory what its remote one holds.

        Raises:
            OSError: that cannot be read.
        """
        self._folders[folder].download_to(folder)
        self._copied[folder] = dict(_files(folder))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Copy nothing more."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def finish(self) -> None:
        """Copy all that is left.

        Raises:
            OSError: that cannot be written, or a server has not answered for a minute.
        """
        self.stop()
        pause, longest = PAUSE_SECONDS
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                self._copy(complete=True)
                return
            except PermissionError:
                raise
            except OSError:
                if time.monotonic() + pause > give_up_at:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, longest)

    def _work(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self._copy(complete=False)
            except OSError as error:  # it is tried again, and what fails at the end is told
                log.debug("what a trial has written could not be copied yet: %s", error)

    def _copy(self, complete: bool) -> None:
        failure: OSError | None = None
        for folder, remote in self._folders.items():
            if not os.path.isdir(folder):
                continue  # none was made, or it was removed as a whole, which says nothing of what was copied
            try:
                self._copy_folder(folder, remote, complete)
            except OSError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _copy_folder(self, folder: str, remote: RunDir, complete: bool) -> None:
        settled = time.time_ns() - int(SETTLED_SECONDS * 1e9)
        copied, found = self._copied[folder], dict(_files(folder))
        gone = copied.keys() - found.keys()
        if gone:  # what was written in their place may have appeared behind the first look
            found = dict(_files(folder))
            gone -= found.keys()
        changed = [
            name
            for name, mark in sorted(found.items(), key=lambda item: item[1][1])
            if copied.get(name) != mark and (complete or mark[1] < settled or _grows(name))
        ]
        names = {os.path.join(folder, name): name for name in changed}

        def done(local: str) -> None:
            copied[names[local]] = found[names[local]]

        remote.upload(names, done, in_order=folder in self._ordered)
        if gone and found.items() <= copied.items():
            remote.remove(sorted(gone))
            for name in gone:
                del copied[name]


def mirrored(spec: Spec, run: RunDir, directory: str, scratch: str, interval: float) -> tuple[str, Mirror | None]:
    """The local directory of a trial's checkpoints and, where its run is kept elsewhere, what brings its files there.

    Args:
        directory: where the trial writes.
        scratch: where a directory for checkpoints can be made; those of earlier attempts are brought to it.
    """
    kept = RunDir(spec.checkpoints or run.path("checkpoints"))
    if run.is_local:
        return kept.url, None
    checkpoints = os.path.join(scratch, "checkpoints")
    mirror = Mirror({directory: run, checkpoints: kept}, interval, ordered=[checkpoints])
    if spec.attempt or spec.checkpoints:
        mirror.fetch(checkpoints)
    mirror.start()
    return checkpoints, mirror


def _grows(name: str) -> bool:
    return name.endswith(GROWING) or "tfevents" in os.path.basename(name)


def _files(folder: str) -> Iterator[tuple[str, _Mark]]:
    """All files below a directory, each with what tells whether it has changed."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with contextlib.suppress(OSError):  # it has just been removed, or is a link to nowhere
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):  # reading a pipe would never end
                    yield os.path.relpath(path, folder), (status.st_size, status.st_mtime_ns, status.st_ino)
