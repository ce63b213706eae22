"""Lookup and validation of a verb's `inputs=`, before any trial starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.redaction import without_credentials
from ..errors import InvalidArguments, StoreError
from ..executor.inputs import DATA_SET, Input
from ..storage.datasets.references import SCHEME, parse
from ..storage.project import Project
from ..storage.run_uris import resolve

__all__ = ["check_data_sets", "find_inputs", "with_recorded_versions"]


def find_inputs(project: Project, inputs: Any) -> tuple[Input, ...]:
    """The inputs of a run, each with its kind and the fingerprint of its current content.

    Args:
        inputs: a URL or path by name; a path that is not absolute is one in the project, and `data:NAME/VERSION` is a
            data set of the project; without a version the newest.

    Raises:
        InvalidArguments: it is not such a dict, or an input does not exist; all problems are in one message.
    """
    if inputs is None:
        return ()
    if not isinstance(inputs, Mapping):
        raise InvalidArguments("inputs", [f"inputs={inputs!r:.80}; give a dict of URLs by name"])
    resolved, problems = [], []
    for name, url in inputs.items():
        if not isinstance(name, str) or not name or not isinstance(url, str) or not url:
            problems.append(f"inputs: {name!r}: {url!r:.80}; give a URL or path, as text, for a name")
            continue
        try:
            resolved.append(_resolve(project, name, url))
        except (OSError, ImportError, LookupError) as error:
            problems.append(f"inputs: {name!r}: {without_credentials(str(error))}")
    if problems:
        raise InvalidArguments("inputs", problems)
    return tuple(resolved)


def _resolve(project: Project, name: str, url: str) -> Input:
    if url.startswith(SCHEME):
        return _data_set(project, name, url)
    from ..storage.cache import ARCHIVES, identify  # not above: most runs have no inputs
    from ..storage.fs.file_info import stat
    from ..storage.fs.open import open_url
    from ..storage.fs.urls import is_local

    location = resolve(project, url)
    fs, path = open_url(location)
    if is_local(fs):
        location = path  # without "file://"
    if is_local(fs) and stat(fs, path).is_folder:
        return Input(name, location, "directory", "")  # it is used where it is
    file_info, tree, fingerprint = identify(fs, path)
    if tree is not None and not tree.files:
        raise StoreError(f"{without_credentials(location)} is an empty directory")
    is_archive = without_credentials(path).lower().endswith(ARCHIVES)
    return Input(
        name, location, "directory" if file_info.is_folder else "archive" if is_archive else "file", fingerprint
    )


def _data_set(project: Project, name: str, url: str) -> Input:
    from ..storage.datasets.dataset import DataSet

    reference = parse(url)
    manifest = DataSet(project, reference.name).manifest(reference.version)
    requested = str(reference) if reference.version is None else ""
    pinned = dataclasses.replace(reference, version=manifest["version"])
    return Input(name, str(pinned), DATA_SET, manifest["fingerprint"], requested)


def with_recorded_versions(project: Project, inputs: Sequence[Input], record: Mapping[str, Any]) -> tuple[Input, ...]:
    """Inputs of a run that is resumed: data sets without a version are the versions with which it began.

    Args:
        record: the run's.

    Raises:
        InvalidArguments: such a version was deleted.
    """
    resumed, problems = [], []
    recorded = record.get("inputs") or {}
    for item in inputs:
        before = str((recorded.get(item.name) or {}).get("url", ""))
        if item.requested and before.startswith(f"{item.requested}/") and before != item.url:
            try:
                pinned = _resolve(project, item.name, before)
            except OSError as error:
                problems.append(f"inputs: {item.name!r}: {error}")
                continue
            resumed.append(dataclasses.replace(pinned, requested=item.requested))
        else:
            resumed.append(item)
    if problems:
        raise InvalidArguments("inputs", problems)
    return tuple(resumed)


def check_data_sets(project: Project, inputs: Sequence[Input]) -> None:
    """Check that the data sets of a run that is resumed are still there.

    Raises:
        InvalidArguments: one was deleted, or is another one.
    """
    problems = []
    for item in inputs:
        if item.kind != DATA_SET:
            continue
        try:
            if _resolve(project, item.name, item.url).fingerprint != item.fingerprint:
                problems.append(f"inputs: {item.name!r}: {item.url} has other files than when the run began")
        except OSError as error:
            problems.append(f"inputs: {item.name!r}: {error}")
    if problems:
        raise InvalidArguments("inputs", problems)
