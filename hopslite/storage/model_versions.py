"""Versions of a project's models, numbered, each visible only when it is complete.

```
Models/NAME/3/…                       the files of version 3
Models/NAME/.records/3/claim         the number is taken: made by whoever was first, and never removed
Models/NAME/.records/3/record.json   what version 3 is; it is written last, and without it there is no model
Models/NAME/.records/3/sessions/     who writes this version
Models/NAME/.records/3/files-…/      files that are about to replace those of version 3
```
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.suggestions import did_you_mean
from ..errors import ModelExists, ModelNotFound, RunIsRunning, StoreError
from .driver_lease import claim
from .fs.checksums import LocalFile, changed, differences
from .project import Project
from .run_directory import RunDir

__all__ = ["Models"]

log = logging.getLogger(__name__)

SHELF = ".records"  # SeaweedFS hides `.versions` from listings
CLAIM = "claim"
RECORD = "record.json"
AT_ONCE = 32  # records read in one go
ATTEMPTS = 5  # to read a model that is being replaced meanwhile
NEAR = 10


class Models:
    """Models of one project. Safe from many threads, processes and machines.

    A model's record is a JSON object; its `folder` is where the files are, below `Models/NAME/`, and its `files` are
    their sizes and checksums by name.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def names(self) -> list[str]:
        return [name for name in self._project.list("Models") if not name.startswith(".")]

    def folder(self, name: str) -> RunDir:
        return self._project.sub("Models", name)

    def record(self, name: str, version: int | None = None) -> dict[str, Any]:
        """Record of a version, or of the newest.

        Raises:
            ModelNotFound: there is none; the message says what there is.
        """
        if version is None:
            record = next(self.records(name), None)
        else:
            record = _parsed(self.folder(name).read_many([f"{SHELF}/{version}/{RECORD}"])[0])
        if record is None:
            raise ModelNotFound(self._why_not(name, version))
        return record

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """Records of all complete versions, the newest first."""
        folder = self.folder(name)
        versions = sorted(_numbers(folder.list(SHELF)), reverse=True)
        for first in range(0, len(versions), AT_ONCE):
            names = [f"{SHELF}/{version}/{RECORD}" for version in versions[first : first + AT_ONCE]]
            for where, content in zip(names, folder.read_many(names), strict=True):
                record = _parsed(content)
                if record is not None:
                    yield record
                elif content is not None:
                    log.warning("%s cannot be read; this version is passed over", folder.path(where))

    def check_free(self, name: str, version: int) -> None:
        """Raise if a version is taken.

        Raises:
            ModelExists: it is.
        """
        folder = self.folder(name)
        if folder.exists(f"{SHELF}/{version}/{CLAIM}") or folder.list(str(version)):
            raise self._taken(name, version)

    def publish(
        self, name: str, version: int | None, overwrite: bool, files: Mapping[str, LocalFile], facts: dict[str, Any]
    ) -> dict[str, Any]:
        """Publish local files as a version, and return its record; `facts` become part of it.

        A number is taken by creating a file, which one of several succeeds in. The record is written when all files
        are there. What replaces a version, or files that hopslite did not write, is first written to a folder of its
        own; then the record is made to point there, in one step, and the model is the new one; then the files are
        written where they belong, the record points there, and the folder is removed. Whoever is killed in between
        leaves a model that is complete: the old one before the record's first change, the new one after it. Object
        stores cannot rename a folder, and a record withdrawn first would leave no model at all where the writer is
        killed. So `files` may be those that are replaced, or some of them: they are gone only when they are here twice.

        Raises:
            ModelExists: the version is taken, and `overwrite` is not given.
            StoreError: it cannot be written, or another process is writing it.
        """
        folder = self.folder(name)
        number = self._take(folder, name, version, overwrite)
        shelf = folder.sub(SHELF, str(number))
        record = {"name": name, "version": number, "folder": str(number), "state": "READY", **facts}
        record["files"] = {file_name: file.to_json() for file_name, file in files.items()}
        with _alone(shelf, name, number):
            if _parsed(shelf.read_many([RECORD])[0]) is not None or folder.list(str(number)):
                self._replace(folder, shelf, record, files)
            else:
                self._write(folder.sub(str(number)), files)
                shelf.write_json(RECORD, record)
        return record

    def _take(self, folder: RunDir, name: str, version: int | None, overwrite: bool) -> int:
        """Claim a version number: a new one, or the one that is to be overwritten."""
        if version is not None:
            if not overwrite:
                self.check_free(name, version)
            if not self._claim(folder, version) and not overwrite:
                raise self._taken(name, version)
            return version
        taken = {*_numbers(folder.list(SHELF)), *_numbers(folder.list())}
        number = max(taken, default=0) + 1
        while not self._claim(folder, number):
            number += 1
        return number

    def _claim(self, folder: RunDir, number: int) -> bool:
        shelf = f"{SHELF}/{number}"
        folder.makedirs(shelf)
        return folder.create(f"{shelf}/{CLAIM}", b"{}\n")

    def _write(self, target: RunDir, files: Mapping[str, LocalFile]) -> None:
        """Write the files of a version that is not visible yet, and remove them on failure."""
        try:
            target.upload({file.path: file_name for file_name, file in files.items()})
            _check_unchanged(files)
        except BaseException:
            with contextlib.suppress(OSError):
                _clear(target)
            raise

    def _replace(self, folder: RunDir, shelf: RunDir, record: dict[str, Any], files: Mapping[str, LocalFile]) -> None:
        fresh = f"files-{secrets.token_hex(4)}"
        self._write(shelf.sub(fresh), files)
        shelf.write_json(RECORD, {**record, "folder": f"{SHELF}/{record['version']}/{fresh}"})
        target = folder.sub(record["folder"])
        _clear(target)
        self._write(target, _in_folder(shelf.sub(fresh), files))
        shelf.write_json(RECORD, record)
        for entry in shelf.list():
            if entry.startswith("files-"):  # this one, and what earlier writers have left that were killed
                _clear(shelf.sub(entry))

    def fetch(self, record: dict[str, Any], target: str) -> dict[str, Any]:
        """Copy a model to a local directory, verified and as a whole; an existing directory is replaced.

        Returns:
            The record of what was copied: another one where the version was replaced meanwhile.

        Raises:
            StoreError: the model's files are not what the record says, or the directory cannot be written.
        """
        name, version = str(record["name"]), int(record["version"])
        parent = os.path.dirname(target)
        os.makedirs(parent, exist_ok=True)
        for _ in range(ATTEMPTS):
            failure = None
            with tempfile.TemporaryDirectory(prefix=".hopslite-", dir=parent) as scratch:
                copied = os.path.join(scratch, "model")
                try:
                    wrong = self._copy(record, copied)
                except OSError as error:
                    failure, wrong = error, [str(error)]
                if not wrong:
                    _put_in_place(copied, target, os.path.join(scratch, "before"))
                    return record
            before, record = record, self.record(name, version)
            if record == before:  # otherwise it was replaced meanwhile, and its files with it
                break
        if failure is not None and not isinstance(failure, FileNotFoundError):
            raise failure
        where = self.folder(name).path(str(record["folder"]))
        raise StoreError(f"version {version} of model {name!r} in {where} is damaged: {'; '.join(wrong[:NEAR])}")

    def _copy(self, record: dict[str, Any], target: str) -> list[str]:
        """Copy the files that a model's record lists; returns how they differ from it."""
        self.folder(record["name"]).sub(record["folder"]).download_to(target)
        wrong = differences(target, record["files"])
        for parent, _, names in os.walk(target):
            for path in (os.path.join(parent, name) for name in names):
                if os.path.relpath(path, target) not in record["files"]:
                    os.unlink(path)
        return wrong

    def _taken(self, name: str, version: int) -> ModelExists:
        folder = self.folder(name)
        is_complete = folder.exists(f"{SHELF}/{version}/{RECORD}")
        state = "exists" if is_complete else "was begun, and is not complete: its export still goes on, or has failed"
        if not is_complete and not folder.exists(f"{SHELF}/{version}/{CLAIM}"):
            state = "has files that hopslite did not write"
        return ModelExists(
            f"version {version} of model {name!r} {state} ({folder.path(str(version))}); leave model_version away "
            "for a new version, or replace this one with overwrite=True",
            name=name,
            version=version,
        )

    def _why_not(self, name: str, version: int | None) -> str:
        versions = [str(record["version"]) for record in self.records(name)]
        if versions:
            known = ", ".join([*versions[:NEAR], *(["…"] if len(versions) > NEAR else [])])
            return f"model {name!r} has no version {version} in {self._project.shown}; versions: {known}"
        names = [other for other in self.names() if other != name]
        others = f"models: {', '.join(names[:NEAR])}" if names else "there are no others"
        hint = did_you_mean(name, names, others)
        if name in self.names():
            return f"no version of model {name!r} in {self._project.shown} is complete; {hint}"
        return f"there is no model {name!r} in {self._project.shown}; {hint}"


@contextlib.contextmanager
def _alone(shelf: RunDir, name: str, version: int) -> Iterator[None]:
    """Lock a version against other processes."""
    try:
        lease = claim(shelf)
    except RunIsRunning as error:
        raise StoreError(
            f"version {version} of model {name!r} is just being written by process {error.pid} on host {error.host}; "
            "wait until that ends"
        ) from error
    try:
        yield
    finally:
        lease.release()


def _check_unchanged(files: Mapping[str, LocalFile]) -> None:
    names = changed(files)
    if names:
        raise StoreError(f"{files[names[0]].path} was written to while it was exported; export it when it is complete")


def _in_folder(folder: RunDir, files: Mapping[str, LocalFile]) -> Mapping[str, LocalFile]:
    """Map files to their copies in `folder`, since the originals may be what is replaced.

    Only on this machine: those of a remote model have been brought to a directory of their own.
    """
    if not folder.is_local:
        return files
    copies = {name: folder.path(name) for name in files}
    return {
        name: dataclasses.replace(files[name], path=path, time=os.stat(path).st_mtime_ns)
        for name, path in copies.items()
    }


def _clear(folder: RunDir) -> None:
    """Remove a folder and its files.

    Of a link only the link: what it leads to is somebody else's.
    """
    if folder.is_local and (os.path.islink(folder.url) or os.path.isfile(folder.url)):
        os.unlink(folder.url)
    elif folder.is_local:
        shutil.rmtree(folder.url, ignore_errors=True)
    else:
        folder.remove(folder.sizes())


def _put_in_place(folder: str, target: str, before: str) -> None:
    had = os.path.lexists(target)
    if had:
        os.rename(target, before)
    try:
        os.rename(folder, target)
    except OSError:
        if had:
            os.rename(before, target)
        raise


def _numbers(names: list[str]) -> list[int]:
    return [int(name) for name in names if name.isdecimal()]


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    """Parse a model's record; None if it is not valid."""
    try:
        record = json.loads(content or b"")
        return record if isinstance(record["files"], dict) and record["version"] >= 1 else None
    except (ValueError, KeyError, TypeError):
        return None
