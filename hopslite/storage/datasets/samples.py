"""Some files of each class of a data set, for a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

from .file_list import StoredFile, split_and_class
from .objects import Objects

__all__ = ["read_sample", "samples"]

PER_ROW, ROWS = 10, 40
MOST_BYTES = 32 << 20  # of an image


def samples(files: Sequence[StoredFile], endings: tuple[str, ...]) -> list[tuple[str, list[StoredFile]]]:
    """Labels and files of rows: one for each class of a split, or of any files where there are no classes.

    Args:
        endings: of the names of files that count.
    """
    wanted = [file for file in files if file.name.lower().endswith(endings)]
    by_class: dict[str, list[StoredFile]] = {}
    for file in wanted:
        label = split_and_class(file.name)
        if label is not None:
            by_class.setdefault("/".join(label), []).append(file)
    if by_class:
        labels = sorted(by_class)[:ROWS]
        return [(f"{label} ({len(by_class[label])})", _spread(by_class[label], PER_ROW)) for label in labels]
    chosen = _spread(wanted, PER_ROW * 4)
    return [("" if first else "images", chosen[first : first + PER_ROW]) for first in range(0, len(chosen), PER_ROW)]


def read_sample(objects: Objects, file: StoredFile) -> bytes | None:
    """Content of a file, verified; None if it is too large for an image."""
    if file.size > MOST_BYTES:
        return None
    return b"".join(objects.get(checksum, size) for checksum, _, size in file.parts)


def _spread(files: Sequence[StoredFile], count: int) -> list[StoredFile]:
    """At most `count` of the files, evenly spread: neighbours are often alike."""
    if len(files) <= count:
        return list(files)
    return [files[index * len(files) // count] for index in range(count)]
