"""Copy-on-write for files that are symlinked from the directories of the driver and the executor.

A trial's working directory holds links to the entries of these directories (`workdir`). Python calls an audit hook
before it opens, creates or removes a file; a link on its path is then replaced by a copy of the link's target. Files
that native code opens are not covered.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["enable_copy_on_write"]

_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR
# the position of each path among an event's arguments
_MODIFYING_EVENTS = {"os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.truncate": (0,)}


def enable_copy_on_write(cwd: str, directories: Sequence[str]) -> None:
    """Install the hook for good: nothing below these directories is written through links in `cwd`."""
    root, prefixes = os.path.realpath(cwd), tuple(os.path.join(directory, "") for directory in directories if directory)

    def is_shared(path: str) -> bool:
        return os.path.islink(path) and os.readlink(path).startswith(prefixes)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITE_FLAGS:
                _copy_links_on_path(root, is_shared, path, _copy_file if not flags & os.O_TRUNC else os.unlink)
        elif event in _MODIFYING_EVENTS:
            for position in _MODIFYING_EVENTS[event]:
                _copy_links_on_path(root, is_shared, args[position], _copy_file if event == "os.truncate" else None)

    sys.addaudithook(hook)


def _copy_links_on_path(
    root: str, is_shared: Callable[[str], bool], path: Any, copy_leaf: Callable[[str], None] | None
) -> None:
    """Replace linked folders on a path by the trial's own, and handle the link at its end with `copy_leaf`."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # a descriptor
    name = os.fsdecode(path)
    if not os.path.isabs(name):
        try:
            name = os.path.join(os.getcwd(), name)
        except FileNotFoundError:  # the working directory was removed, with all links in it
            return
    absolute = os.path.normpath(name)
    if not absolute.startswith(root + os.sep):
        return
    *folders, name = absolute[len(root) + 1 :].split(os.sep)
    parent = root
    for folder in folders:
        parent = os.path.join(parent, folder)
        if is_shared(parent):
            _copy_folder(parent)
    leaf = os.path.join(parent, name)
    if copy_leaf is not None and is_shared(leaf) and not os.path.isdir(leaf):
        copy_leaf(leaf)


def _copy_file(link: str) -> None:
    """Replace a link to a file by a copy."""
    target = os.path.realpath(link)
    os.unlink(link)
    if os.path.isfile(target):
        shutil.copy(target, link)


def _copy_folder(link: str) -> None:
    """Replace a link to a folder by a folder with links to the entries of its target."""
    target = os.path.realpath(link)
    if not os.path.isdir(target):
        return
    os.unlink(link)
    os.mkdir(link)
    for name in os.listdir(target):
        os.symlink(os.path.join(target, name), os.path.join(link, name))
