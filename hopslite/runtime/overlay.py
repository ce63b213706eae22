"""Writing under a name that the driver's directory has gives a trial a file of its own.

A trial's working directory holds links to what the driver's directory holds (`workdir`). Python tells an audit hook of
every file before it is opened, made or removed; a link on the way is then replaced by a copy of what it shows. Native
code that opens a file for itself is not seen.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["protect"]

_WRITING = os.O_WRONLY | os.O_RDWR
# the position of each path among an event's arguments
_CHANGING = {"os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.truncate": (0,)}


def protect(cwd: str, shown: str) -> None:
    """Watch this process for good: nothing below `shown` is written by way of links in `cwd`."""
    root, shown = os.path.realpath(cwd), os.path.join(shown, "")

    def leads_out(path: str) -> bool:
        return os.path.islink(path) and os.readlink(path).startswith(shown)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITING:
                _reach(root, leads_out, path, _file_copy if not flags & os.O_TRUNC else os.unlink)
        elif event in _CHANGING:
            for position in _CHANGING[event]:
                _reach(root, leads_out, args[position], _file_copy if event == "os.truncate" else None)

    sys.addaudithook(hook)


def _reach(root: str, leads_out: Callable[[str], bool], path: Any, last: Callable[[str], None] | None) -> None:
    """Make the folders on the way to `path` the trial's own, and treat the link at its end with `last`."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # a descriptor
    full = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    if not full.startswith(root + os.sep):
        return
    *folders, name = full[len(root) + 1 :].split(os.sep)
    place = root
    for folder in folders:
        place = os.path.join(place, folder)
        if leads_out(place):
            _folder_copy(place)
    end = os.path.join(place, name)
    if last is not None and leads_out(end) and not os.path.isdir(end):
        last(end)


def _file_copy(link: str) -> None:
    target = os.path.realpath(link)
    os.unlink(link)
    if os.path.isfile(target):
        shutil.copy(target, link)


def _folder_copy(link: str) -> None:
    """A folder with links to what is in the folder that was linked."""
    target = os.path.realpath(link)
    if not os.path.isdir(target):
        return
    os.unlink(link)
    os.mkdir(link)
    for name in os.listdir(target):
        os.symlink(os.path.join(target, name), os.path.join(link, name))
