"""Sizes and checksums of the files in a local directory, and the differences from an expected set."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import StoreError

__all__ = ["LocalFile", "changed", "differences", "local_tree", "read_files", "sha256_of"]

PIECE = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was read; `time` is when it was last written, in nanoseconds."""

    path: str
    size: int
    sha256: str
    time: int

    def to_json(self) -> dict[str, Any]:
        return {"size": self.size, "sha256": self.sha256}


def read_files(path: str) -> dict[str, LocalFile]:
    """The files of a directory by their names in it, those of its folders and behind links too; or a single file.

    Raises:
        StoreError: something in it cannot be read, or is no file.
    """
    if os.path.isfile(path):
        return {os.path.basename(path): _read(path)}
    return {name: _read(where) for name, where in sorted(local_tree(path)[0].items())}


def changed(files: Mapping[str, LocalFile]) -> list[str]:
    """The names of files that have been written to, or removed, since they were read."""
    return [name for name, file in files.items() if _stamp(file.path) != (file.size, file.time)]


def differences(folder: str, expected: Mapping[str, Any], exact: bool = False) -> list[str]:
    """Differences between a local directory and the expected `size` and `sha256` of its files, as text.

    Args:
        exact: files that are not expected count as differences.
    """
    there = local_tree(folder)[0]
    problems = [f"{name} is missing" for name in expected if name not in there]
    if exact:
        problems += [f"{name} does not belong to it" for name in sorted(there.keys() - expected.keys())]
    for name, facts in expected.items():
        if name not in there:
            continue
        size = os.path.getsize(there[name])
        if size != facts["size"]:
            problems.append(f"{name} has {size} bytes instead of {facts['size']}")
        elif sha256_of(there[name]) != facts["sha256"]:
            problems.append(f"{name} has another content (SHA-256)")
    return problems


def local_tree(folder: str) -> tuple[dict[str, str], list[str]]:
    """The files below a local directory, those behind links too, by their names in it; and the names of its folders.

    A link to a directory that it is in is left out.
    """
    files: dict[str, str] = {}
    folders: list[str] = []

    def visit(path: str, inside: str, above: frozenset[str]) -> None:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            name = f"{inside}{entry.name}"
            if not entry.is_dir():
                files[name] = entry.path
            elif (real := os.path.realpath(entry.path)) not in above:
                folders.append(name)
                visit(entry.path, f"{name}/", above | {real})

    visit(folder, "", frozenset([os.path.realpath(folder)]))
    return files, folders


def _read(path: str) -> LocalFile:
    stamp = _stamp(path)
    if stamp is None:
        raise StoreError(f"{path} is not a file that can be read; remove it, or export what is beside it")
    return LocalFile(path, stamp[0], sha256_of(path), stamp[1])


def _stamp(path: str) -> tuple[int, int] | None:
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def sha256_of(path: str, progress: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a local file; `progress` is called with the number of bytes of each piece that was read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            progress(len(piece))
    return digest.hexdigest()
