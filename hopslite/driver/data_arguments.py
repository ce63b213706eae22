"""Validation of the arguments of `hopslite.data`."""

from __future__ import annotations

import os
from typing import Any

from ..core.plain_values import is_integer, short
from ..errors import InvalidArguments, StoreError
from ..storage.datasets.dataset import DataSet
from ..storage.datasets.references import MOST_DIGITS, SCHEME, Reference, check_name, parse
from .model_arguments import project_of

__all__ = ["check_text", "look_up", "named", "paths_of", "picture_path", "reference_of"]


def look_up(where: str, name: Any, version: Any, project: str | None) -> tuple[DataSet, dict[str, Any]]:
    """Data set and manifest of the version that a call names; without a version the newest."""
    data_set, number = reference_of(where, name, version, project)
    return data_set, data_set.manifest(number)


def reference_of(where: str, name: Any, version: Any, project: str | None) -> tuple[DataSet, int | None]:
    """Data set and version number of a call; both may be in one text."""
    problems = []
    reference = Reference("")
    try:
        reference = parse(name) if isinstance(name, str) else parse(check_name(name))
    except StoreError as error:
        problems.append(str(error))
    if version is not None and not (is_integer(version, 1) and version < 10**MOST_DIGITS):
        problems.append(f"version={short(version)}; give a whole number from 1, or none")
    elif version is not None and reference.version not in (None, version):
        problems.append(f"{name!r} and version={version!r} are two versions; give one")
    if problems:
        raise InvalidArguments(where, problems)
    number = reference.version if version is None else int(version)
    return DataSet(project_of(project), reference.name), number


def named(where: str, name: Any, project: str | None) -> DataSet:
    """Data set of a call that names no version."""
    first, _, version = name.partition("/") if isinstance(name, str) else ("", "", "")
    if version.isdecimal():
        raise InvalidArguments(where, [f"{name!r} names a version; give the data set's name: {first!r}"])
    try:
        checked = check_name(name.removeprefix(SCHEME) if isinstance(name, str) else name)
    except StoreError as error:
        raise InvalidArguments(where, [str(error)]) from None
    return DataSet(project_of(project), checked)


def paths_of(where: str, paths: Any) -> list[str]:
    """Local paths of a call, as texts."""
    items = [paths] if isinstance(paths, str | bytes | os.PathLike) else paths
    try:
        return [os.fsdecode(item) for item in items]
    except TypeError:
        raise InvalidArguments(where, [f"paths={short(paths)}; give a path, or a list of paths"]) from None


def picture_path(where: str, path: Any) -> str:
    """Absolute path of a file that a call is to write.

    Raises:
        InvalidArguments: it is no path, or cannot be written.
    """
    if not isinstance(path, str | os.PathLike) or not os.fsdecode(path) or "\0" in os.fsdecode(path):
        raise InvalidArguments(where, [f"path={short(path)}; give the path of a file"])
    target = os.path.abspath(os.fsdecode(path))
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        raise InvalidArguments(where, [f"path={short(path)} is a folder; give the path of a file"])
    if not os.path.isdir(folder):
        raise InvalidArguments(where, [f"path={short(path)}: there is no folder {folder}; make it first"])
    if not os.access(folder, os.W_OK):
        raise InvalidArguments(where, [f"path={short(path)}: no permission to write in {folder}"])
    return target


def check_text(where: str, argument: str, value: Any) -> None:
    """Raise if an optional text is something else."""
    if value is not None and not isinstance(value, str):
        raise InvalidArguments(where, [f"{argument}={short(value)}; give a text"])
