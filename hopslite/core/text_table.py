"""Text tables: columns that share the width of a terminal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TextIO

__all__ = ["SEPARATOR", "fit_widths", "is_terminal", "terminal_width"]

SEPARATOR = "  "  # between two columns


def is_terminal(stream: TextIO) -> bool:
    """True if a stream is an interactive terminal whose last line can be redrawn."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # a stand-in without it, or a closed file
        return False


def terminal_width(stream: TextIO) -> int | None:
    """Number of characters in a line of a terminal; None for a file, where nothing wraps."""
    if not is_terminal(stream):
        return None
    try:
        columns = os.get_terminal_size(stream.fileno()).columns  # not $COLUMNS, which may be another terminal's
    except (OSError, ValueError):  # it says that it is a terminal, and has no file of its own
        columns = 0
    return columns or shutil.get_terminal_size().columns


def fit_widths(widths: Sequence[int], available: int, minimum: int) -> list[int]:
    """Widths reduced to fit into `available` characters: narrow columns stay whole, none gets less than `minimum`.

    >>> fit_widths([5, 40, 60], 75, 8)
    [5, 35, 35]
    """
    fitted = list(widths)
    by_width = sorted(range(len(widths)), key=widths.__getitem__)
    for left, index in zip(range(len(widths), 0, -1), by_width, strict=True):
        fitted[index] = min(widths[index], max(available // left, minimum))
        available -= fitted[index]
    return fitted
