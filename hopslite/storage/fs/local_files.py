"""Local files that appear whole: written under another name in the same directory, and renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil

__all__ = ["beside", "put_local"]


def beside(path: str) -> str:
    """A new name, hidden, in the same directory: what is written there can be renamed to `path`."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(folder, f".{name[:60]}.{secrets.token_hex(4)}.tmp")


def put_local(source: str, target: str) -> None:
    """Copy a file to another place on this machine, where it appears whole."""
    partial = beside(target)
    try:
        shutil.copyfile(source, partial)
        os.replace(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
