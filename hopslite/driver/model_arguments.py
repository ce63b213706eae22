"""Validation of the arguments of `hopslite.model`, and lookup of the model's files."""

from __future__ import annotations

import contextlib
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.plain_values import is_integer
from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..errors import StoreError
from ..executor.context import current
from ..executor.outputs import to_number
from ..storage.fs.checksums import LocalFile, read_files
from ..storage.fs.open import open_url
from ..storage.fs.transfer import download
from ..storage.fs.urls import errors_of, is_local
from ..storage.naming import name_problem
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ..storage.run_uris import RUNS, resolve

__all__ = [
    "check_metrics",
    "check_name",
    "check_options",
    "check_version",
    "local_files",
    "locate",
    "project_of",
    "trial_of_path",
]

# A directory of a run, and of one of its trials, in a path; the form of a run's id is `storage.run_directory`'s
_IN_RUN = re.compile(r"/Experiments/(\d{8}-\d{6}-\d{3}-[0-9a-f]{6})(?:/trials/([^/]+))?(?=/|$)")


def project_of(value: str | None) -> Project:
    """The project of a call: the given one, the running trial's, or the default one."""
    context = current()
    if value is None and context is not None and context.project:
        return Project(context.project)
    return Project(Settings.load(project=value).project)


def check_name(value: Any) -> tuple[str, list[str]]:
    """The name of a model, and the problems with it."""
    name = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not name.strip():
        return "", [f"the model's name is {value!r}; give a text"]
    problem = name_problem(name)
    if problem:
        return name, [f"the model's name {problem}"]
    return name, []


def check_version(value: Any, argument: str, problems: list[str]) -> int | None:
    """A model's version as an integer; problems are added to the list."""
    if value is None:
        return None
    if not is_integer(value, 1):
        problems.append(f"{argument}={value!r}; give a whole number from 1, or none")
        return None
    return int(value)


def check_metrics(metrics: Any, problems: list[str]) -> dict[str, float]:
    """The metrics as finite numbers by name; problems are added to the list."""
    if metrics is not None and not isinstance(metrics, Mapping):
        problems.append(f"metrics={metrics!r:.80}; give a dict of numbers by name")
        return {}
    numbers_by_name = {}
    for name, value in (metrics or {}).items():
        metric = to_number(value)
        if not isinstance(name, str) or not name:
            problems.append(f"metrics: the name {name!r} is not a text")
        elif metric is None or not math.isfinite(metric):
            problems.append(f"metrics: {name}={value!r:.80}; give a finite number")
        else:
            numbers_by_name[name] = metric
    return numbers_by_name


def check_options(description: Any, timeout: Any, problems: list[str]) -> None:
    """Check the description and the timeout; problems are added to the list."""
    if description is not None and not isinstance(description, str):
        problems.append(f"description={description!r:.80}; give a text")
    seconds = to_number(timeout)
    if seconds is None or not seconds >= 0:
        problems.append(f"synchronous_timeout={timeout!r}; give a number of seconds from 0")


def locate(project: Project, value: Any) -> str:
    """The URL or absolute path of the files to be exported.

    Raises:
        StoreError: it does not exist, or is an empty directory.
    """
    path = os.fspath(value)
    path = path.decode() if isinstance(path, bytes) else path
    if not path:
        raise StoreError("it is empty; give the path of a file or directory")
    candidates = _candidates(project, path)
    for location in candidates:
        fs, path_on_store = open_url(location)
        with errors_of(location):
            if not fs.exists(path_on_store):
                continue
            if fs.isdir(path_on_store) and not any(True for _ in fs.find(path_on_store)):
                raise StoreError(f"{without_credentials(location)} is an empty directory; there is nothing to export")
            return location
    searched = " or ".join(without_credentials(location) for location in candidates)
    raise StoreError(f"there is nothing at {searched}")


def _candidates(project: Project, path: str) -> list[str]:
    if "://" in path or path.startswith(RUNS) or os.path.isabs(path):
        return [resolve(project, path)]
    context = current()
    folders = [os.getcwd(), *([context.directory, context.logdir] if context else [])]
    match = [os.path.normpath(os.path.join(folder, path)) for folder in folders]
    with contextlib.suppress(StoreError):  # `../model` is a local path, and none in the project
        match.append(resolve(project, path))
    return list(dict.fromkeys(match))


def trial_of_path(location: str) -> tuple[str | None, str | None]:
    """The run and the trial that a path belongs to, otherwise those of this process."""
    match = _IN_RUN.search(location)
    if match:
        return match[1], match[2]
    context = current()
    return (context.run_id, context.trial_id) if context else (None, None)


@contextlib.contextmanager
def local_files(location: str) -> Iterator[dict[str, LocalFile]]:
    """Local copies of a model's files, from any file system."""
    fs, path = open_url(location)
    if is_local(fs):
        yield read_files(path)
        return
    with tempfile.TemporaryDirectory(prefix="hopslite-") as scratch:
        folder = os.path.join(scratch, "model")
        with errors_of(location):
            is_file = fs.isfile(path)
        if is_file:
            os.makedirs(folder)
            with errors_of(location):
                download(fs, path, os.path.join(folder, path.rpartition("/")[2]))
        else:
            RunDir(location).download_to(folder)
        yield read_files(folder)
