"""Copy-on-write for files that are symlinked from the driver's working directory.

A trial's working directory holds links to the entries of the driver's directory (`workdir`). Python calls an audit hook
before it opens, creates or removes a file; a link on its path is then replaced by a copy of the link's target. Files
that native code opens are not covered.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["enable_copy_on_write"]

_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR
# the position of each path among an event's arguments
_MODIFYING_EVENTS = {"os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.truncate": (0,)}


def enable_copy_on_write(cwd: str, driver_directory: str) -> None:
    """Install the hook for good: nothing below `driver_directory` is written through links in `cwd`."""
    root, driver_directory = os.path.realpath(cwd), os.path.join(driver_directory, "")

    def links_to_driver(path: str) -> bool:
        return os.path.islink(path) and os.readlink(path).startswith(driver_directory)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITE_FLAGS:
                _copy_links_on_path(root, links_to_driver, path, _copy_file if not flags & os.O_TRUNC else os.unlink)
        elif event in _MODIFYING_EVENTS:
            for position in _MODIFYING_EVENTS[event]:
                _copy_links_on_path(
                    root, links_to_driver, args[position], _copy_file if event == "os.truncate" else None
                )

    sys.addaudithook(hook)


def _copy_links_on_path(
    root: str, links_to_driver: Callable[[str], bool], path: Any, copy_leaf: Callable[[str], None] | None
) -> None:
    """Replace linked folders on a path by the trial's own, and handle the link at its end with `copy_leaf`."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # a descriptor
    absolute = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    if not absolute.startswith(root + os.sep):
        return
    *folders, name = absolute[len(root) + 1 :].split(os.sep)
    parent = root
    for folder in folders:
        parent = os.path.join(parent, folder)
        if links_to_driver(parent):
            _copy_folder(parent)
    leaf = os.path.join(parent, name)
    if copy_leaf is not None and links_to_driver(leaf) and not os.path.isdir(leaf):
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
