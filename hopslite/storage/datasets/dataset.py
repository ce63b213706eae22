"""A data set of a project and the records of its versions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ...core.formatting import plain
from ...core.suggestions import did_you_mean
from ...core.types import json_safe
from ...errors import DataSetExists, DataSetNotFound, StoreError
from ..project import Project
from ..records import MOST_BYTES, json_object
from .file_list import SHA256, StoredFile, decode
from .objects import Objects
from .references import check_name

__all__ = ["DELETED", "DataSet", "FOLDER", "READY", "RECORD", "UNPACKED", "list_name", "names"]

FOLDER = "Datasets"
RECORD = "dataset.json"
UNPACKED = "unpacked"
READY, DELETED = "READY", "DELETED"
AT_ONCE = 32  # records read in one go
NEAR = 10


def names(project: Project) -> list[str]:
    """Sorted names of the project's data sets."""
    candidates = [name for name in project.list(FOLDER) if not name.startswith(".")]
    contents = project.read_each([f"{FOLDER}/{name}/{RECORD}" for name in candidates], MOST_BYTES)
    return [name for name, content in zip(candidates, contents, strict=True) if isinstance(content, bytes)]


class DataSet:
    """Data set of a project, which need not exist."""

    def __init__(self, project: Project, name: str) -> None:
        self.name = check_name(name)
        self.project = project
        self.folder = project.sub(FOLDER, self.name)
        self.objects = Objects(self.folder.sub("objects"))

    def __repr__(self) -> str:
        return f"DataSet({self.folder.shown!r})"

    def create(self, facts: Mapping[str, Any]) -> None:
        """Create the data set, without versions.

        Raises:
            DataSetExists: it exists.
            StoreError: the project cannot be written.
        """
        try:
            self.folder.makedirs()
            record = {"name": self.name, "created": time.time(), **facts}
            created = self.folder.create(RECORD, _json(record))
        except OSError as error:
            raise StoreError(f"the data set {self.name!r} cannot be created: {error}") from error
        if not created:
            where = self.project.shown
            raise DataSetExists(f"there is a data set {self.name!r} in {where} already", name=self.name)

    def record(self) -> dict[str, Any]:
        """Description of the data set.

        Raises:
            DataSetNotFound: it does not exist; the message names similar ones.
        """
        record = json_object(self.folder.read_many([RECORD])[0])
        if record is None:
            raise DataSetNotFound(self._why_not())
        return record

    def numbers(self) -> list[int]:
        """Sorted numbers of all versions, also of deleted ones."""
        entries = [name.removesuffix(".json") for name in self.folder.list("versions") if name.endswith(".json")]
        return sorted(int(entry) for entry in entries if entry.isdecimal())

    def manifests(self, deleted: bool = False) -> Iterator[dict[str, Any]]:
        """Manifests of the versions, the newest first.

        Args:
            deleted: those of deleted versions, too.
        """
        numbers = self.numbers()[::-1]
        for first in range(0, len(numbers), AT_ONCE):
            batch = numbers[first : first + AT_ONCE]
            contents = self.folder.read_many([f"versions/{number}.json" for number in batch])
            for number, content in zip(batch, contents, strict=True):
                manifest = _manifest(number, content)
                if manifest is not None and (deleted or manifest["state"] == READY):
                    yield manifest

    def manifest(self, version: int | None = None) -> dict[str, Any]:
        """Manifest of a version, or of the newest.

        Raises:
            DataSetNotFound: there is none; the message says what there is.
        """
        self.record()
        if version is None:
            manifest = next(self.manifests(), None)
        else:
            manifest = _manifest(version, self.folder.read_many([f"versions/{version}.json"])[0])
        if manifest is None or manifest["state"] != READY:
            raise DataSetNotFound(self._no_version(version, manifest))
        return manifest

    def files(self, manifest: Mapping[str, Any]) -> list[StoredFile]:
        """Files of a version, sorted by name.

        Raises:
            StoreError: their list is missing or damaged.
        """
        checksum = str(manifest["list"])
        content = self.list_content(checksum)
        if content is None:
            raise StoreError(f"{self.folder.shown}/{list_name(checksum)} is missing; {self.name!r} is damaged")
        return decode(checksum, content)

    def list_content(self, checksum: str) -> bytes | None:
        """Compressed list of files with this checksum; None if it is missing."""
        return self.folder.read_many([list_name(checksum)])[0]

    def publish(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make a manifest the next version, and return it with its number; one of several writers gets each number."""
        self.folder.makedirs("versions")
        number = max(self.numbers(), default=0) + 1
        while True:
            numbered = {"name": self.name, "version": number, "state": READY, **manifest}
            if self.folder.create(f"versions/{number}.json", _json(numbered)):
                return numbered
            number += 1

    def _why_not(self) -> str:
        known = [plain(name) for name in names(self.project)]
        some = ", ".join([*known[:NEAR], *(["…"] if len(known) > NEAR else [])])
        hint = did_you_mean(self.name, known, f"data sets: {some}" if known else "it has none yet", limit=2)
        create = f"hopslite data create {self.name} creates it"
        return f"there is no data set {self.name!r} in {self.project.shown}; {hint}; {create}".replace("?; ", "? Or: ")

    def _no_version(self, version: int | None, manifest: Mapping[str, Any] | None) -> str:
        numbers = [str(known["version"]) for known in self.manifests()]
        some = ", ".join([*numbers[:NEAR], *(["…"] if len(numbers) > NEAR else [])])
        versions = f"versions: {some}" if numbers else f"it has none; hopslite data upload {self.name} PATH makes one"
        if version is None:
            return f"the data set {self.name!r} in {self.project.shown} has no version yet" + (
                "" if self.numbers() else f"; hopslite data upload {self.name} PATH makes one"
            )
        problem = "was deleted" if manifest else "does not exist"
        return f"version {version} of the data set {self.name!r} in {self.project.shown} {problem}; {versions}"


def list_name(checksum: str) -> str:
    return f"lists/{checksum}.gz"


def _manifest(number: int, content: bytes | None) -> dict[str, Any] | None:
    """Parse a manifest; None if it is missing or not valid."""
    record = json_object(content)
    if record is None or record.get("state") not in (READY, DELETED):
        return None
    record["version"] = number
    is_whole = isinstance(record.get("list"), str) and SHA256.fullmatch(record["list"]) is not None
    counts = (record.get("num_files"), record.get("size"))
    is_counted = all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts)
    if record["state"] == READY and not (is_whole and is_counted and isinstance(record.get("fingerprint"), str)):
        return None
    if not isinstance(record.get("classes"), dict):
        record["classes"] = {}
    return record


def _json(value: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(json_safe(value, strict=True), indent=2, allow_nan=False)}\n".encode()
