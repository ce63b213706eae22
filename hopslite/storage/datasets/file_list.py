"""List of a version's files: names, sizes and checksums, as compressed lines of JSON."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...errors import StoreError

__all__ = ["StoredFile", "classes_of", "decode", "encode", "fingerprint", "objects_of", "split_and_class"]

SHA256 = re.compile(r"[0-9a-f]{64}")
TRAINING = ("train", "training")
SPLITS = (*TRAINING, "val", "valid", "validation", "test")
MOST_CLASSES = 10_000  # of which the manifest has counts


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version; a large one on a remote store consists of `pieces`, all but the last of `piece_size`."""

    name: str
    size: int
    sha256: str
    piece_size: int = 0
    pieces: tuple[str, ...] = ()

    @property
    def parts(self) -> Iterator[tuple[str, int, int]]:
        """Checksum, offset and size of each object that the file consists of."""
        if not self.pieces:
            yield self.sha256, 0, self.size
        for index, checksum in enumerate(self.pieces):
            offset = index * self.piece_size
            yield checksum, offset, min(self.piece_size, self.size - offset)


def encode(files: Iterable[StoredFile]) -> tuple[str, bytes]:
    """SHA-256 of the list of some files, and its compressed form; the same for the same files in any order."""
    lines = []
    for file in sorted(files, key=lambda file: file.name):
        row: list[Any] = [file.name, file.size, file.sha256]
        if file.pieces:
            row += [file.piece_size, "".join(file.pieces)]
        lines.append(f"{json.dumps(row)}\n".encode())
    text = b"".join(lines)
    return hashlib.sha256(text).hexdigest(), gzip.compress(text, 6, mtime=0)


def decode(checksum: str, content: bytes) -> list[StoredFile]:
    """Files of a compressed list, sorted by name.

    Raises:
        StoreError: it is damaged, or has a name that leads out of the data set.
    """
    try:
        text = gzip.decompress(content)
        if hashlib.sha256(text).hexdigest() != checksum:
            raise ValueError("it has another content (SHA-256)")
        return [_stored_file(json.loads(line)) for line in text.splitlines()]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, IndexError) as error:
        raise StoreError(f"the list of files {checksum} is damaged: {error or type(error).__name__}") from error


def _stored_file(row: Any) -> StoredFile:
    name, size, checksum, *more = row
    piece_size, joined = more or (0, "")
    pieces = tuple(joined[first : first + 64] for first in range(0, len(joined), 64))
    if not isinstance(name, str) or {"", ".", ".."} & set(name.split("/")) or "\0" in name:
        raise ValueError(f"the name {name!r} leads out of the data set")
    if not isinstance(size, int) or size < 0 or not all(map(SHA256.fullmatch, (checksum, *pieces))):
        raise ValueError(f"the entry of {name!r} has another form")
    if pieces and (piece_size < 1 or len(pieces) != -(-size // piece_size)):
        raise ValueError(f"the pieces of {name!r} are not as long as the file")
    return StoredFile(name, size, checksum, piece_size, pieces)


def objects_of(files: Iterable[StoredFile]) -> dict[str, int]:
    """Sizes of the objects that files consist of, by checksum."""
    return {checksum: size for file in files for checksum, _, size in file.parts}


def fingerprint(files: Sequence[StoredFile]) -> str:
    """SHA-256 of names and contents, which does not depend on how they are stored."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(f"{json.dumps([file.name, file.size, file.sha256])}\n".encode())
    return digest.hexdigest()


def split_and_class(name: str) -> tuple[str, str] | None:
    """Split and class of a file `train/CLASS/…`, whose folders may be in one more; None if it has none."""
    parts = name.split("/")
    first = 0 if parts[0].lower() in SPLITS else 1
    if len(parts) < first + 3 or parts[first].lower() not in SPLITS or parts[-1].startswith("."):
        return None
    return parts[first], parts[first + 1]


def classes_of(names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Number of files of each class by split, from folders `train/CLASS/`; empty if there are none.

    The folders `train`, `val` and `test` may be in one common folder, as archives often have it.
    """
    counts: dict[str, dict[str, int]] = {}
    for name in names:
        label = split_and_class(name)
        if label is not None:
            of_split = counts.setdefault(label[0], {})
            if label[1] in of_split or len(of_split) < MOST_CLASSES:
                of_split[label[1]] = of_split.get(label[1], 0) + 1
    has_training = any(split.lower() in TRAINING for split in counts)
    return {split: dict(sorted(counts[split].items())) for split in counts} if has_training else {}
