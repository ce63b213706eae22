"""Working directory of a program of `hopslite run`, and the collection of the files that it leaves there."""

from __future__ import annotations

import collections
import contextlib
import errno
import io
import itertools
import json
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.types import LOG_NAME
from ..storage.cache_entry import is_cached, remove_tree
from ..storage.fs.file_info import largest, size_text
from ..storage.fs.local_files import put_local

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["collect_files", "unpack"]

CACHES = ("__pycache__", ".cache", ".git", ".venv", ".ipynb_checkpoints")  # folders that hold no results
CACHE_TAG = "CACHEDIR.TAG"  # https://bford.info/cachedir/
# names of hopslite's own files in a trial directory; the last is the trackers'
RESERVED_NAMES = (LOG_NAME, ".hparams.json", ".outputs.json", ".metric", "events.out.tfevents.0.hopslite")
ATTEMPT_MARKER = ".hparams.json"  # written at the beginning of each attempt
MOST_BYTES, MOST_FILES = 1 << 30, 10_000  # that are kept of a trial's program folder; others are left out
IGNORE = ".hopsliteignore"  # of the code; what it lists is neither sent nor kept
NAMED = 5  # ignored entries in a warning
CHUNK_BYTES = 1 << 20


def unpack(code: bytes, folder: str) -> None:
    """Unpack a program's code, with a manifest beside the folder; an existing folder is complete.

    A folder that is there is complete, and beside it is a list of what came with the code.

    Args:
        code: a zip archive.
        folder: does not exist yet, or belongs to an attempt that was given up.
    """
    partial = f"{folder}.partial"
    for leftover in (folder, partial):
        remove_tree(leftover)
    os.makedirs(partial)
    shipped = {}
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        for member in archive.infolist():
            path = archive.extract(member, partial)
            mode = member.external_attr >> 16
            if mode and not member.is_dir():
                os.chmod(path, mode & 0o777 | 0o600)
            shipped[os.path.relpath(path, partial)] = [member.file_size, member.CRC]
    with open(_manifest_path(folder), "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(shipped, file)
    os.rename(partial, folder)


def collect_files(folder: str, directory: str) -> list[str]:
    """Move the files that a program has left in its folder into its trial's directory, and remove the folder.

    Excluded are files of the code that are unchanged, what `.hopsliteignore` lists, caches, bytecode, sockets and
    pipes, and what is above `MOST_BYTES` or `MOST_FILES`: the largest files, and those in the folders with the most
    files. Links to files that are kept stay links. A file of an earlier attempt is replaced. If this attempt, or
    hopslite itself, has written a file of the same name, the program's file gets another name.

    Returns:
        Warnings for the trial's result.

    Raises:
        OSError: a file cannot be moved; all files that were not moved are still in the folder.
    """
    if not os.path.lexists(folder):
        remove_tree(f"{folder}.partial")  # of a trial that was ended while unpacking
        return []
    collector = FileCollector(os.path.realpath(folder), directory, _read_manifest(folder))
    collector.files()
    remove_tree(folder)
    os.unlink(_manifest_path(folder))
    return collector.warnings()


class FileCollector:
    """Moves the files that one attempt of a trial has left."""

    def __init__(self, folder: str, directory: str, shipped: dict[str, list[int]]) -> None:
        self._folder, self._directory, self._shipped = folder, os.path.realpath(directory), shipped
        self._links: list[str] = []
        self._target_folders: dict[str, str] = {folder: self._directory}  # by source folder
        self._moved: dict[str, str] = {}
        self._left_out: dict[str, int] = {}  # size by path
        self._ignored = _ignored_names(os.path.join(folder, IGNORE))
        self._ignored_entries: dict[str, None] = {}
        try:  # a timestamp of the same disk as those it is compared with, since clocks differ
            self._attempt_started = os.lstat(os.path.join(directory, ATTEMPT_MARKER)).st_ctime_ns
        except OSError:
            self._attempt_started = 0

    def files(self) -> None:
        for path in self._within_limits(list(self._result_files())):
            target = self._target_path(path)
            _move_file(path, target)
            self._moved[path] = target
        for path in self._links:
            self._link(path)

    def warnings(self) -> list[str]:
        """Messages about what is not kept though the program has written it."""
        warnings = []
        if self._left_out:
            sizes: dict[str, int] = {}
            for path, size in self._left_out.items():
                first, slash, _ = os.path.relpath(path, self._folder).partition(os.sep)
                sizes[first + slash] = sizes.get(first + slash, 0) + size
            files = "1 file" if len(self._left_out) == 1 else f"{len(self._left_out)} files"
            warnings.append(
                f"{files} with {size_text(sum(sizes.values()))} of the program's working directory were left out, as "
                f"{size_text(MOST_BYTES)} and {MOST_FILES} files are kept of it: {largest(sizes)}; write results to "
                "$HOPSLITE_OUTPUT, of which everything is kept, and data and caches to a directory for temporary files"
            )
        if self._ignored_entries:
            names = list(self._ignored_entries)
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            warnings.append(f"not kept, as {IGNORE} lists them: {', '.join(names[:NAMED])}{more}")
        return warnings

    def _within_limits(self, paths: list[str]) -> list[str]:
        """Files that are kept. First those of folders with few files count, so that no cache displaces a model."""
        sizes = {path: os.lstat(path).st_size for path in paths}
        counts = collections.Counter(map(os.path.dirname, paths))
        kept, total = set(), 0
        by_count = sorted(paths, key=lambda path: (counts[os.path.dirname(path)], path))[:MOST_FILES]
        for path in sorted(by_count, key=sizes.__getitem__):
            total += sizes[path]
            if total > MOST_BYTES:
                break
            kept.add(path)
        self._left_out = {path: size for path, size in sizes.items() if path not in kept}
        return [path for path in paths if path in kept]

    def _result_files(self) -> Iterator[str]:
        """Yield the paths of files that are to be moved; links are collected for later."""
        _make_accessible(self._folder)
        for folder, folders, names in os.walk(self._folder):
            for name in folders:
                if os.path.islink(os.path.join(folder, name)):
                    self._links.append(os.path.join(folder, name))
            folders[:] = [
                name
                for name in folders
                if _may_hold_results(os.path.join(folder, name)) and not self._is_ignored(folder, f"{name}/")
            ]
            for path in (os.path.join(folder, name) for name in sorted(names)):
                if os.path.islink(path):
                    self._links.append(path)
                elif stat.S_ISREG(os.lstat(path).st_mode) and self._is_result(path):
                    yield path

    def _is_result(self, path: str) -> bool:
        if path.endswith(".pyc") or is_cached(path) or self._is_ignored(*os.path.split(path)):
            return False
        size, crc = self._shipped.get(os.path.relpath(path, self._folder), (-1, 0))
        return os.path.getsize(path) != size or _crc(path) != crc

    def _is_ignored(self, folder: str, name: str) -> bool:
        if self._ignored is None:
            return False
        inside = os.path.relpath(os.path.join(folder, name), self._folder) + ("/" if name.endswith("/") else "")
        if is_ignored := self._ignored.match_file(inside):
            self._ignored_entries[inside] = None
        return is_ignored

    def _target_path(self, path: str) -> str:
        """The target of a file, in an existing folder; a file of an earlier attempt is removed there."""
        target = os.path.join(self._target_folder(os.path.dirname(path)), os.path.basename(path))
        is_own = os.path.relpath(target, self._directory) in RESERVED_NAMES
        if not is_own and self._is_of_earlier_attempt(target):
            os.unlink(target)
        return _numbered_name(target) if is_own else _unused_name(target)

    def _target_folder(self, folder: str) -> str:
        if folder not in self._target_folders:
            target = os.path.join(self._target_folder(os.path.dirname(folder)), os.path.basename(folder))
            if self._is_of_earlier_attempt(target):
                os.unlink(target)
            if os.path.islink(target) or not os.path.isdir(target):
                target = (
                    _numbered_name(target)
                    if os.path.relpath(target, self._directory) in RESERVED_NAMES
                    else _unused_name(target)
                )
                os.mkdir(target)
            self._target_folders[folder] = target
        return self._target_folders[folder]

    def _is_of_earlier_attempt(self, target: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(target)
            return not stat.S_ISDIR(status.st_mode) and status.st_ctime_ns < self._attempt_started
        return False

    def _link(self, path: str) -> None:
        """Recreate a link whose target is kept; a link to a file of the code is replaced by a copy."""
        target = os.path.realpath(path)
        if target in self._left_out:
            return
        stored = (
            self._moved.get(target)
            or self._target_folders.get(target)
            or (target if self._is_in_trial_directory(target) else None)
        )
        if stored is None:
            if target.startswith(self._folder + os.sep) and os.path.isfile(target):
                shutil.copy(target, self._target_path(path))
            return
        target = self._target_path(path)
        if os.path.isdir(stored) and f"{target}{os.sep}".startswith(f"{stored}{os.sep}"):
            return  # a walk through the directory would never end
        os.symlink(os.path.relpath(stored, os.path.dirname(target)), target)

    def _is_in_trial_directory(self, path: str) -> bool:
        """True if a file is in the trial's directory, such as those written to `$HOPSLITE_OUTPUT`."""
        return path.startswith(self._directory + os.sep) and os.path.exists(path)


def _ignored_names(path: str) -> GitIgnoreSpec | None:
    """Names that the code's list excludes; None if it has no list, or if the program has made it unreadable."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    from pathspec import GitIgnoreSpec  # not above: most programs have no such list

    with contextlib.suppress(ValueError):
        return GitIgnoreSpec.from_lines(lines)
    return None


def _manifest_path(folder: str) -> str:
    return f"{folder}.json"


def _read_manifest(folder: str) -> dict[str, list[int]]:
    with open(_manifest_path(folder), encoding="utf-8", errors="surrogateescape") as file:
        return dict(json.load(file))


def _may_hold_results(folder: str) -> bool:
    if os.path.islink(folder) or os.path.basename(folder) in CACHES:
        return False
    _make_accessible(folder)
    return not os.path.isfile(os.path.join(folder, CACHE_TAG))


def _make_accessible(folder: str) -> None:
    """Give its owner all permissions on a folder, whatever the program has set."""
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    if mode & 0o700 != 0o700:
        os.chmod(folder, mode | 0o700)


def _crc(path: str) -> int:
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc


def _move_file(path: str, target: str) -> None:
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        put_local(path, target)  # to another disk
        shutil.copystat(path, target)
        os.unlink(path)


def _unused_name(path: str) -> str:
    return _numbered_name(path) if os.path.lexists(path) else path


def _numbered_name(path: str) -> str:
    """A similar name that does not exist: `a-2.txt`."""
    stem, extension = os.path.splitext(path)
    return next(name for n in itertools.count(2) if not os.path.lexists(name := f"{stem}-{n}{extension}"))
