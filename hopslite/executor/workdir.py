"""Private working directory of trials, with links to files of the driver and the executor."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..storage.cache_entry import is_cached

__all__ = ["WorkDir", "scratch_disk", "spark_scratch"]

MAX_LINKS = 5000  # 0.1 s once per slot, and 40 ms per trial, which checks every link
# What a cluster manager keeps in an executor's directory for itself: its logs, and YARN's tokens and scripts.
_OF_CLUSTERS = frozenset(
    [
        "stdout",
        "stderr",
        "container_tokens",
        ".container_tokens.crc",
        "launch_container.sh",
        ".launch_container.sh.crc",
        "default_container_executor.sh",
        ".default_container_executor.sh.crc",
        "default_container_executor_session.sh",
        ".default_container_executor_session.sh.crc",
        "sysfs",
        "tmp",
    ]
)
FREE_SPACE_FACTOR = 2  # free space for a move to another disk, as a multiple of the files' size: others need some, too


class WorkDir:
    """A slot's scratch directory, used by its trials one after another.

    Trials run side by side; if they shared a directory, two that save `confusion.png` would overwrite each other. So
    `cwd` is private and holds symbolic links to the entries of other directories, as far as this machine has them: the
    driver's working directory and that of the executor, in which Spark puts files. Relative input paths work, and files
    written under new names are the trial's own. `collect_files` moves those into the trial's directory. Only missing
    links are created again; creating all costs more than running a short trial.
    """

    def __init__(self, driver_directory: str, local_logdir: bool, spark_files: str = "") -> None:
        # on a cluster Spark sends files to the executor's working directory, in local mode to one that tasks do not see
        self._executor_directory = spark_files if spark_files == os.getcwd() != driver_directory else ""
        self._shown = tuple(filter(None, (driver_directory, self._executor_directory)))
        self._local_logdir = local_logdir
        self._warning: str | None = None
        self._has_warned = False
        self._original_root = tempfile.mkdtemp(prefix="hopslite-", dir=spark_scratch())
        self._set_root(self._original_root)

    def _set_root(self, root: str) -> None:
        self.root = root
        self.cwd = os.path.join(root, "cwd")
        self.logdir = os.path.join(root, "logdir") if self._local_logdir else None

    @property
    def disk(self) -> str:
        """A folder on the scratch directory's file system that trials cannot remove."""
        return os.path.dirname(self._original_root)

    def prepare(self) -> None:
        """Prepare the directory for the next trial."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        for folder in filter(None, (self.cwd, self.logdir)):
            os.makedirs(folder, exist_ok=True)
        self._warning = None
        for directory in self._shown:  # of two entries of one name, the driver's
            self._link_entries(directory)

    def _link_entries(self, directory: str) -> None:
        try:
            entries = set(os.listdir(directory))
        except OSError:
            return  # another machine, without this directory
        if directory == self._executor_directory:
            entries -= _OF_CLUSTERS
        if len(entries) > MAX_LINKS:
            self._warning = (
                f"the trial's working directory does not show the files of {directory}: that has "
                f"{len(entries)} entries, and up to {MAX_LINKS} are shown; use absolute paths or inputs=, or another "
                "directory"
            )
            return
        for name in entries.difference(os.listdir(self.cwd)):
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.join(directory, name), os.path.join(self.cwd, name))

    def warnings(self, failed: bool) -> list[str]:
        """Warnings for a trial's result: for the slot's first trial, and for failed ones, perhaps caused by it."""
        if self._warning is None or (self._has_warned and not failed):
            return []
        self._has_warned = True
        return [self._warning]

    def collect_files(self, directory: str, with_logdir: bool = True) -> None:
        """Move a trial's files into its directory, without replacing files there."""
        for folder in filter(None, (self.cwd, self.logdir)):
            if folder == self.cwd or with_logdir:
                _collect(folder, directory, self._shown)
            else:
                shutil.rmtree(folder)

    def clear(self) -> None:
        """Remove a trial's files: half-written ones would be in the way when it is run again."""
        for folder in filter(None, (self.cwd, self.logdir)):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder, exist_ok=True)

    def set_aside(self) -> str:
        """Move the directory away from reuse and removal; returns a description of its new place.

        That is this machine's directory for temporary files if it has room, since Spark removes its own with the
        application. Later trials get another directory, even if this one could not be moved.
        """
        previous_root = self.root
        self._set_root(f"{self._original_root}-{secrets.token_hex(3)}")
        if destination := _move_to_temporary(previous_root):
            return destination
        destination = f"{self._original_root}-kept-{secrets.token_hex(3)}"
        try:
            os.rename(previous_root, destination)
        except OSError:
            destination = previous_root
        return f"{destination}, until the Spark application ends," if spark_scratch() else destination

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def scratch_disk() -> str:
    """The folder in which scratch directories are created."""
    return spark_scratch() or tempfile.gettempdir()


def spark_scratch() -> str | None:
    """Spark's scratch directory, which Spark removes even if this process is killed; None: not on Spark."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return folder if folder and os.access(folder, os.W_OK) else None


def _move_to_temporary(folder: str) -> str | None:
    """Move a directory to this machine's directory for temporary files; None if that is not possible."""
    destination = None
    try:
        destination = tempfile.mkdtemp(prefix="hopslite-kept-")  # no other user can read it, or have created it
        try:
            os.rename(folder, destination)
        except OSError:  # it is on another disk
            if shutil.disk_usage(destination).free < FREE_SPACE_FACTOR * _size(folder):
                raise
            shutil.copytree(folder, destination, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        return destination
    except OSError:
        if destination:
            shutil.rmtree(destination, ignore_errors=True)
        return None


def _size(folder: str) -> int:
    return sum(
        os.lstat(os.path.join(directory, name)).st_size for directory, _, names in os.walk(folder) for name in names
    )


def _collect(source: str, target: str, shown: Sequence[str]) -> None:
    for entry in os.scandir(source):
        destination = os.path.join(target, entry.name)
        if not entry.is_symlink():
            os.makedirs(target, exist_ok=True)
        if entry.is_symlink():
            of_driver = [os.path.join(directory, entry.name) for directory in shown]
            if os.readlink(entry.path) not in of_driver or not os.path.exists(entry.path):
                os.unlink(entry.path)  # its target is gone, or the trial created it
        elif is_cached(entry.path):  # by `hdfs.copy_to_local`; the machine keeps it for other trials
            os.unlink(entry.path)
        elif entry.is_dir() and Path(destination).is_dir():
            _collect(entry.path, destination, [os.path.join(directory, entry.name) for directory in shown])
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.is_dir():
            _remove_shared(entry.path, tuple(os.path.join(directory, "") for directory in shown))
            if os.path.lexists(entry.path):
                _move(entry.path, _free_name(destination))
        elif entry.is_file() and os.path.isfile(destination) and filecmp.cmp(entry.path, destination, shallow=False):
            os.unlink(entry.path)  # a returned file, which has been copied
        else:
            _move(entry.path, _free_name(destination))


def _move(source: str, destination: str) -> None:
    """Move a file or folder, also to another disk; a full disk leaves nothing of it there."""
    try:
        os.rename(source, destination)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    partial = f"{destination}.{secrets.token_hex(4)}.tmp"
    try:
        shutil.move(source, partial)
        os.rename(partial, destination)
    except BaseException:
        remove = shutil.rmtree if os.path.isdir(partial) else os.unlink
        with contextlib.suppress(OSError):
            remove(partial)
        raise


def _remove_shared(folder: str, shown: tuple[str, ...]) -> None:
    """Remove links below the shown directories, and cached downloads, from a trial's folder.

    A folder that held nothing else is removed.
    """
    removed = False
    for entry in os.scandir(folder):
        is_link = entry.is_symlink()
        if (is_link and os.readlink(entry.path).startswith(shown)) or (not is_link and is_cached(entry.path)):
            os.unlink(entry.path)
            removed = True
        elif not is_link and entry.is_dir():
            _remove_shared(entry.path, shown)
            removed = removed or not os.path.lexists(entry.path)
    if removed and not os.listdir(folder):
        os.rmdir(folder)


def _free_name(path: str) -> str:
    stem, extension = os.path.splitext(path)
    count = 1
    while os.path.lexists(path):
        count += 1
        path = f"{stem}-{count}{extension}"
    return path
