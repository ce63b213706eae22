"""Inputs at paths that programs expect, such as `/data`: links on the executor's machine while trials need them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping

from ..errors import CommandFailed

__all__ = ["mounted"]

ATTEMPTS = 20  # at a link that other trials create and remove at the same time
LONGEST_PATH = 1 << 16


@contextlib.contextmanager
def mounted(mounts: Mapping[str, str], inputs: Mapping[str, str], folder: str) -> Iterator[list[str]]:
    """Show inputs at their mount points while a program runs.

    A mount point is a link to the input. Where the machine does not allow it, or something else is there, the link is
    below the program's folder: `data` for `/data`.

    Args:
        mounts: the mount point of inputs, by name.
        inputs: the local path of all inputs, by name.

    Yields:
        Messages about the inputs that are elsewhere.

    Raises:
        CommandFailed: an input can be at neither place, as other files are there.
    """
    messages = []
    with contextlib.ExitStack() as stack:
        for name, path in mounts.items():
            try:
                stack.enter_context(_linked(path, inputs[name]))
            except OSError as error:
                try:
                    inside = _link_inside(path, inputs[name], folder)
                except OSError as problem:
                    raise CommandFailed(
                        f"input {name} can be neither at {path} ({error.strerror}) nor at {path.lstrip('/')} in the "
                        f"working directory ({problem.strerror}); give it another path, such as {path}-of-{name}"
                    ) from None
                messages.append(
                    f"hopslite: input {name} cannot be at {path} ({error.strerror}); it is at {inside} in the working "
                    "directory"
                )
        yield messages


@contextlib.contextmanager
def _linked(path: str, target: str) -> Iterator[None]:
    """Link that exists while any trial on this machine uses it.

    Its users hold a shared lock on a file, which has the link's target. So a link that a killed trial has left is known
    as one of ours, and is replaced.

    Raises:
        OSError: it cannot be created, or something else is there.
    """
    if os.path.realpath(path) == os.path.realpath(target):  # the user's own
        yield
        return
    name = f"hopslite-mount-{os.getuid()}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    lock = os.open(
        os.path.join(tempfile.gettempdir(), name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        _share_link(path, target, lock)
        try:
            yield
        finally:
            if _lock_alone(lock):
                _remove_left(path, lock)
    finally:
        os.close(lock)


def _share_link(path: str, target: str, lock: int) -> None:
    """Take a shared lock on a link, which is created unless others have it already."""
    for _ in range(ATTEMPTS):
        if _lock_alone(lock):
            _remove_left(path, lock)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(target, path)
            os.ftruncate(lock, 0)
            os.pwrite(lock, os.fsencode(target), 0)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if os.path.islink(path):
            if os.readlink(path) == target:
                return
            raise FileExistsError(errno.EEXIST, "other trials have another input there", path)
        fcntl.flock(lock, fcntl.LOCK_UN)  # its last user has just removed it
    raise FileExistsError(errno.EEXIST, "other trials create and remove it", path)


def _lock_alone(lock: int) -> bool:
    """Take an exclusive lock, unless others use the link."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_left(path: str, lock: int) -> None:
    """Remove a link that trials have created and no longer use."""
    with contextlib.suppress(OSError):
        if os.readlink(path) == os.fsdecode(os.pread(lock, LONGEST_PATH, 0)):
            os.unlink(path)


def _link_inside(path: str, target: str, folder: str) -> str:
    """Link an input below a folder.

    Raises:
        OSError: the program's own files are there.
    """
    inside = path.lstrip("/")
    link = os.path.join(folder, inside)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    os.symlink(target, link)
    return inside
