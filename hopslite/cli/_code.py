"""The code that travels with `hopslite run`: a folder as a zip archive, without what `.hopsliteignore` leaves out."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ..errors import InvalidArguments
from ..store._found import size_text
from ..store.snapshot import zipped
from ._text import read_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["IGNORE", "packed"]

IGNORE = ".hopsliteignore"
ALWAYS = (".git/", "__pycache__/", ".venv/", ".ipynb_checkpoints/", "hopslite_project/", "*.pyc")
SECRET = (".env", ".env.*")  # no line of the user's brings these back
LARGEST = 200 << 20  # bytes, unpacked: it goes to each slot
NAMED = 3


def packed(folder: str, without: Collection[str] = ()) -> bytes:
    """All files of a folder, as a zip archive.

    Args:
        without: paths of files that hold secrets, which stay here when they are in the folder.

    Raises:
        InvalidArguments: they are too large; the message names the largest. Or what is ignored cannot be read.
    """
    secret = {os.path.realpath(path) for path in without}
    files = {name: path for name, path in _files(folder) if os.path.realpath(path) not in secret}
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
    ignored = _ignored(os.path.join(folder, IGNORE))
    for place, folders, names in os.walk(folder):
        inside = os.path.relpath(place, folder)
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [each for each in folders if not ignored.match_file(f"{prefix}{each}/")]
        for each in names:
            path = os.path.join(place, each)
            if not ignored.match_file(f"{prefix}{each}") and os.path.isfile(path):
                yield f"{prefix}{each}", path


def _ignored(path: str) -> GitIgnoreSpec:
    """What `.hopsliteignore` lists, and what never travels."""
    from pathspec import GitIgnoreSpec

    lines = read_text(path).splitlines() if os.path.isfile(path) else []
    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            raise InvalidArguments(
                "hopslite run", [f"{path}, line {number}: {line[:40]!r} is no pattern; give one as in .gitignore"]
            ) from None
    return GitIgnoreSpec.from_lines([*ALWAYS, *lines, *SECRET])
