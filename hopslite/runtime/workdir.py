"""The working directory of a trial: a private one that shows the driver's files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["WorkDir"]

MAX_LINKS = 500


class WorkDir:
    """A scratch directory for one trial, made by the slot before the trial and emptied after it.

    Trials run side by side; if they shared a directory, two that save `confusion.png` would overwrite each other.
    So `cwd` is private and holds symbolic links to what the driver's working directory holds, where this machine has
    it: relative input paths work, and files written under new names are the trial's own. `keep` moves those into the
    trial's directory.
    """

    def __init__(self, mirrored: str, local_logdir: bool) -> None:
        self.root = tempfile.mkdtemp(prefix="hopslite-")
        self.cwd = os.path.join(self.root, "cwd")
        self.logdir = os.path.join(self.root, "logdir") if local_logdir else None
        os.mkdir(self.cwd)
        if self.logdir:
            os.mkdir(self.logdir)
        self._link(mirrored)

    def _link(self, mirrored: str) -> None:
        try:
            entries = os.listdir(mirrored) if mirrored else []
        except OSError:
            return  # another machine, without this directory
        if len(entries) <= MAX_LINKS:
            for name in entries:
                os.symlink(os.path.join(mirrored, name), os.path.join(self.cwd, name))

    def keep(self, directory: str) -> None:
        """Move what the trial wrote into its directory; what is there already stays as it is."""
        _move_new(self.cwd, directory)
        if self.logdir:
            _move_new(self.logdir, directory)

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def _move_new(source: str, target: str) -> None:
    for entry in os.scandir(source):
        destination = os.path.join(target, entry.name)
        if entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False) and Path(destination).is_dir():
            _move_new(entry.path, destination)
        elif not os.path.lexists(destination):
            shutil.move(entry.path, destination)
