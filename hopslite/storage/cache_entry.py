"""Cache entry: a read-only download, and a record of its sizes and times."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any

from .fs.local_files import beside, put_local

__all__ = ["Entry", "file_stamps", "is_cached", "link", "make_read_only", "remove_tree"]

RECORD, CONTENT = "entry.json", "content"


class Entry:
    """Directory with a file or directory and its record. Its methods are called with the entry's lock held."""

    def __init__(self, path: str) -> None:
        self.path = path

    def sound_path(self) -> str | None:
        """Path of the content if it is unchanged since the download, else None; marks the entry as used."""
        try:
            with open(os.path.join(self.path, RECORD), encoding="utf-8") as file:
                record = json.load(file)
            content = os.path.join(self.path, CONTENT, record["content"])
            if dict(file_stamps(content)) != record["files"]:
                return None
            os.utime(f"{self.path}.lock")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return content

    def make(self, url: str, name: str, fill: Callable[[str], str]) -> str:
        """Download the content; nothing of it is visible before it is complete.

        Args:
            fill: is given the path to write to and returns where the content is.
        """
        partial = f"{self.path}.partial"
        remove_tree(partial)  # left by a killed process
        try:
            os.mkdir(partial, 0o700)
            os.mkdir(os.path.join(partial, CONTENT))
            content = fill(os.path.join(partial, CONTENT, name))
            make_read_only(content)
            record: dict[str, Any] = {"url": url, "content": os.path.basename(content)}
            record["files"] = dict(file_stamps(content))
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
    """Make a file, or everything in a directory, read-only."""
    for member in _all_below(path):
        if not os.path.islink(member):
            mode = stat.S_IMODE(os.stat(member).st_mode)
            if mode != (wanted := mode & 0o555 | 0o444):  # a hard link's may be somebody else's to change
                os.chmod(member, wanted)


def remove_tree(path: str) -> None:
    """Remove a file or directory, also a read-only one; errors are ignored."""
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def link(cached: str, target: str) -> None:
    """Show a cached file or directory under another path, by hard links on the same disk, otherwise by copies.

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
            for name in {
                *names,
                *(entry for entry in os.listdir(folder) if os.path.islink(os.path.join(folder, entry))),
            }:
                _link_file(os.path.join(folder, name), os.path.join(inside, name))
        os.rename(partial, target)
    except BaseException:
        remove_tree(partial)
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def is_cached(path: str) -> bool:
    """True if a file was put there by `link`: cached content under another name.

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


def file_stamps(content: str) -> Iterator[tuple[str, list[int]]]:
    """Size and modification time of everything below a path."""
    for path in _all_below(content):
        status = os.lstat(path)
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        yield os.path.relpath(path, content), [size, status.st_mtime_ns]
