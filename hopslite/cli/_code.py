"""The code that travels with `hopslite run`: a folder as a zip archive, without what `.hopsliteignore` leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..errors import InvalidArguments
from ..store._found import size_text
from ..store.snapshot import zipped

__all__ = ["IGNORE", "packed"]

IGNORE = ".hopsliteignore"
ALWAYS = (".git/", "__pycache__/", ".venv/", ".ipynb_checkpoints/", "hopslite_project/", "*.pyc")
LARGEST = 200 << 20  # bytes, unpacked: it goes to each slot
NAMED = 3


def packed(folder: str) -> bytes:
    """All files of a folder, as a zip archive.

    Raises:
        InvalidArguments: they are too large; the message names the largest.
    """
    files = dict(_files(folder))
    size = sum(os.path.getsize(path) for path in files.values())
    if size > LARGEST:
        largest = sorted(files, key=lambda name: os.path.getsize(files[name]), reverse=True)[:NAMED]
        named = ", ".join(f"{name} ({size_text(os.path.getsize(files[name]))})" for name in largest)
        raise InvalidArguments(
            "hopslite run",
            [
                f"the code in {folder} has {size_text(size)}, and {size_text(LARGEST)} may travel; list what is no "
                f"code in {IGNORE}, and give data with --input. The largest: {named}"
            ],
        )
    return zipped(files)


def _files(folder: str) -> Iterator[tuple[str, str]]:
    import pathspec

    lines = list(ALWAYS)
    path = os.path.join(folder, IGNORE)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            lines += file.read().splitlines()
    ignored = pathspec.GitIgnoreSpec.from_lines(lines)
    for place, folders, names in os.walk(folder):
        inside = os.path.relpath(place, folder)
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [each for each in folders if not ignored.match_file(f"{prefix}{each}/")]
        for each in names:
            path = os.path.join(place, each)
            if not ignored.match_file(f"{prefix}{each}") and os.path.isfile(path):
                yield f"{prefix}{each}", path
