"""Paths at which callbacks write: always within the trial's directory."""

from __future__ import annotations

import os
import re

__all__ = ["path_within"]

# Of `str.format`'s fields only names of metrics, and formats that make digits of a number. `{epoch.__doc__[127]}` is a
# dot, and `{epoch:c}` any character, so that a path could lead out of the directory when the file is written.
_FIELD = re.compile(r"\{\{|\}\}|\{[^{}.:!\[\]]+(?::0?\d{0,2}(?:\.\d{1,2})?[defgEFG%]?)?\}")


def path_within(folder: str, written: str, is_template: bool) -> str:
    """The path below a directory for one that a configuration says; the directories above it are made.

    A path that leads elsewhere, where the file could be one that is run, such as `~/.profile`, becomes its last part.

    Args:
        is_template: whether the path has fields such as `{epoch:02d}`, as Keras's checkpoints do.

    Raises:
        ValueError: the path names nothing in the directory, or has another field.
    """
    if "\0" in written:
        raise ValueError(f"{written!r} is no path")
    if is_template and re.search(r"[{}]", _FIELD.sub("", written)):
        raise ValueError(
            f"{written!r} has a field that is no metric; fields are such as {{epoch:02d}}, {{val_loss:.3f}}"
        )
    inside = os.path.normpath(written).lstrip(os.sep)
    if os.path.isabs(written) or inside.startswith(os.pardir):
        inside = os.path.basename(inside)
    if inside in ("", os.curdir, os.pardir):
        raise ValueError(f"{written!r} names nothing in the trial's directory; give such as 'kept'")
    os.makedirs(os.path.dirname(os.path.join(folder, inside)), exist_ok=True)
    if is_template:
        folder = folder.replace("{", "{{").replace("}", "}}")
    return os.path.join(folder, inside)
