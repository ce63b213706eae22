"""One entry of the cache: what was downloaded, read-only, and a record of how it was then."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any

from .transfer import beside, put_local

__all__ = ["Entry", "is_cached", "link", "make_read_only", "remove_tree"]

RECORD, CONTENT = "entry.json", "content"


class Entry:
    """A directory with a file or directory and its record. Its methods are called with the entry's lock held."""

    def __init__(self, path: str) -> None:
        self.path = path

    def sound_path(self) -> str | None:
        """Where the content is, if it is as it was when it was downloaded; that it was asked for is noted."""
        try:
            with open(os.path.join(self.path, RECORD), encoding="utf-8") as file:
                record = json.load(file)
            content = os.path.join(self.path, CONTENT, record["content"])
            if dict(_stamps(content)) != record["files"]:
                return None
            os.utime(f"{self.path}.lock")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return content

    def make(self, url: str, name: str, fill: Callable[[str], str]) -> str:
        """Download the content anew; nothing of it is visible before it is complete.

        Args:
            fill: is given the path to write to and returns where the content is.
        """
        partial = f"{self.path}.partial"
        remove_tree(partial)  # of a process that was killed
        try:
            os.mkdir(partial, 0o700)
            os.mkdir(os.path.join(partial, CONTENT))
            content = fill(os.path.join(partial, CONTENT, name))
            make_read_only(content)
            record: dict[str, Any] = {"url": url, "content": os.path.basename(content)}
            record["files"] = dict(_stamps(content))
            with open(os.path.join(partial, RECORD), "w", encoding="utf-8", errors="surrogateescape") as file:
                json.dump(record, file)
            if os.path.lexists(self.path):
                changed = f"{self.path}.{secrets.token_hex(4)}.partial"
                os.rename(self.path, changed)
                remove_tree(changed)
            os.rename(partial, self.path)
        except BaseException:
            remove_tree(partial)
            raise
        return os.path.join(self.path, CONTENT, os.path.basename(content))


def make_read_only(path: str) -> None:
    """Take the right to write from a file, or from all of a directory."""
    for each in _all_below(path):
        if not os.path.islink(each):
            os.chmod(each, stat.S_IMODE(os.stat(each).st_mode) & 0o555 | 0o444)


def remove_tree(path: str) -> None:
    """Remove what is there, read-only directories too; what cannot be removed stays."""
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def link(cached: str, target: str) -> None:
    """Show what is cached under another path: files by hard links where the disk is the same, otherwise by copies.

    The directories of a tree are new ones, in which more can be written; its files are read-only. `target` appears
    whole. A file there is replaced; a directory must not be there.
    """
    partial = beside(target)
    try:
        if not os.path.isdir(cached):
            _link_file(cached, partial)
            os.replace(partial, target)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)  # `replace` does nothing when both are the same file already
            return
        for folder, _, names in os.walk(cached):
            inside = os.path.normpath(os.path.join(partial, os.path.relpath(folder, cached)))
            os.mkdir(inside)
            for name in {*names, *(each for each in os.listdir(folder) if os.path.islink(os.path.join(folder, each)))}:
                _link_file(os.path.join(folder, name), os.path.join(inside, name))
        os.rename(partial, target)
    except BaseException:
        remove_tree(partial)
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def is_cached(path: str) -> bool:
    """Whether a file is one that `link` has put there: what is in the cache, under another name.

    A program that keeps what a trial has written leaves those out.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and not status.st_mode & 0o222


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another disk, or a file system without hard links
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        else:
            put_local(source, target)


def _all_below(path: str) -> Iterator[str]:
    yield path
    if os.path.isdir(path):
        for folder, folders, names in os.walk(path):
            yield from (os.path.join(folder, name) for name in (*folders, *names))


def _stamps(content: str) -> Iterator[tuple[str, list[int]]]:
    """Size and time of the last change of all that there is."""
    for path in _all_below(content):
        status = os.lstat(path)
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        yield os.path.relpath(path, content), [size, status.st_mtime_ns]
