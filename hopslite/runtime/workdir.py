"""The working directory of trials: a private one that shows the driver's files."""

from __future__ import annotations

import contextlib
import filecmp
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from ..store.cache import is_cached

__all__ = ["WorkDir"]

MAX_LINKS = 5000  # 0.1 s once for a slot, and 40 ms for each trial, which looks at every link
ROOM = 2  # times the size of what is moved to another disk must be free there: others need some, too


class WorkDir:
    """A slot's scratch directory, used by its trials one after the other.

    Trials run side by side; if they shared a directory, two that save `confusion.png` would overwrite each other.
    So `cwd` is private and holds symbolic links to what the driver's working directory holds, where this machine has
    it: relative input paths work, and files written under new names are the trial's own. `keep` moves those into the
    trial's directory. Links are made anew only where one is missing; making them costs more than running a short trial.
    """

    def __init__(self, mirrored: str, local_logdir: bool) -> None:
        self._mirrored, self._local_logdir = mirrored, local_logdir
        self._too_many: str | None = None
        self._told = False
        self._first = tempfile.mkdtemp(prefix="hopslite-", dir=_scratch())
        self._use(self._first)

    def _use(self, root: str) -> None:
        self.root = root
        self.cwd = os.path.join(root, "cwd")
        self.logdir = os.path.join(root, "logdir") if self._local_logdir else None

    def prepare(self) -> None:
        """Make it ready for the next trial."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        for folder in filter(None, (self.cwd, self.logdir)):
            os.makedirs(folder, exist_ok=True)
        try:
            shown = os.listdir(self._mirrored) if self._mirrored else []
        except OSError:
            return  # another machine, without this directory
        self._too_many = None
        if len(shown) > MAX_LINKS:
            self._too_many = (
                f"the trial's working directory does not show the files of {self._mirrored}: that has {len(shown)} "
                f"entries, and up to {MAX_LINKS} are shown; use absolute paths or inputs=, or another directory"
            )
            return
        for name in set(shown).difference(os.listdir(self.cwd)):
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.join(self._mirrored, name), os.path.join(self.cwd, name))

    def warnings(self, failed: bool) -> list[str]:
        """What a trial's result should tell: the slot's first, and those that failed, perhaps for that."""
        if self._too_many is None or (self._told and not failed):
            return []
        self._told = True
        return [self._too_many]

    def keep(self, directory: str, with_logdir: bool = True) -> None:
        """Move what the trial wrote into its directory; what is there already stays as it is."""
        for folder in filter(None, (self.cwd, self.logdir)):
            if folder == self.cwd or with_logdir:
                _move_new(folder, directory, os.path.join(self._mirrored, ""))
            else:
                shutil.rmtree(folder)

    def set_aside(self) -> str:
        """Keep what is here from being used again or removed; returns where it is now, in words.

        That is this machine's directory for temporary files if it has room, as Spark removes its own with the
        application. Later trials get another directory, whatever could be moved of this one.
        """
        left = self.root
        self._use(f"{self._first}-{secrets.token_hex(3)}")
        if kept := _moved(left):
            return kept
        kept = f"{self._first}-kept-{secrets.token_hex(3)}"
        try:
            os.rename(left, kept)
        except OSError:
            kept = left
        return f"{kept}, until the Spark application ends," if _scratch() else kept

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def _scratch() -> str | None:
    """Spark's own scratch directory, which it removes whatever becomes of this process; None: the usual one."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return folder if folder and os.access(folder, os.W_OK) else None


def _moved(folder: str) -> str | None:
    """Move a directory to where this machine has temporary files; None where that cannot be done."""
    kept = None
    try:
        kept = tempfile.mkdtemp(prefix="hopslite-kept-")  # nobody else can read it, nor have made it
        try:
            os.rename(folder, kept)
        except OSError:  # it is on another disk
            if shutil.disk_usage(kept).free < ROOM * _size(folder):
                raise
            shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        return kept
    except OSError:
        if kept:
            shutil.rmtree(kept, ignore_errors=True)
        return None


def _size(folder: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


def _move_new(source: str, target: str, shown: str) -> None:
    for entry in os.scandir(source):
        destination = os.path.join(target, entry.name)
        if not entry.is_symlink():
            os.makedirs(target, exist_ok=True)
        if entry.is_symlink():
            if os.readlink(entry.path) != os.path.join(shown, entry.name) or not os.path.exists(entry.path):
                os.unlink(entry.path)  # what it showed is gone, or the trial made it
        elif is_cached(entry.path):  # by `hdfs.copy_to_local`; the machine keeps it for other trials
            os.unlink(entry.path)
        elif entry.is_dir() and Path(destination).is_dir():
            _move_new(entry.path, destination, os.path.join(shown, entry.name))
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.is_dir():
            _drop_shared(entry.path, shown)
            if os.path.lexists(entry.path):
                shutil.move(entry.path, _free_name(destination))
        elif entry.is_file() and os.path.isfile(destination) and filecmp.cmp(entry.path, destination, shallow=False):
            os.unlink(entry.path)  # a returned file, which has been copied
        else:
            shutil.move(entry.path, _free_name(destination))


def _drop_shared(folder: str, shown: str) -> None:
    """Remove from a folder what is not the trial's: links into the driver's directory (`overlay`), cached downloads.

    Nothing is left of a folder that held nothing else.
    """
    dropped = False
    for entry in os.scandir(folder):
        is_link = entry.is_symlink()
        if (is_link and os.readlink(entry.path).startswith(shown)) or (not is_link and is_cached(entry.path)):
            os.unlink(entry.path)
            dropped = True
        elif not is_link and entry.is_dir():
            _drop_shared(entry.path, shown)
            dropped = dropped or not os.path.lexists(entry.path)
    if dropped and not os.listdir(folder):
        os.rmdir(folder)


def _free_name(path: str) -> str:
    stem, extension = os.path.splitext(path)
    count = 1
    while os.path.lexists(path):
        count += 1
        path = f"{stem}-{count}{extension}"
    return path
