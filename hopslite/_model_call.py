"""What a call of `hopslite.model` is given: checked, found, and made local."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from .config import Settings
from .errors import StoreError
from .runtime.context import current
from .runtime.outputs import number
from .store import Project, RunDir
from .store.filesystems import errors_of, is_local, open_url, without_credentials
from .store.manifest import LocalFile, read_files
from .store.references import RUNS, resolve
from .store.transfer import download

__all__ = [
    "check_metrics",
    "check_name",
    "check_rest",
    "check_version",
    "find",
    "local_files",
    "origin",
    "project_of",
]

NAME_BYTES = 200
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\[\]\x00-\x1f\x7f]')
# A directory of a run, and of one of its trials, in a path; the form of a run's id is `store.rundir`'s
_IN_RUN = re.compile(r"/Experiments/(\d{8}-\d{6}-\d{3}-[0-9a-f]{6})(?:/trials/([^/]+))?(?=/|$)")


def project_of(given: str | None) -> Project:
    context = current()
    if given is None and context is not None and context.project:
        return Project(context.project)
    return Project(Settings.load(project=given).project)


def check_name(given: Any) -> tuple[str, list[str]]:
    name = str(given) if isinstance(given, (str, int)) and not isinstance(given, bool) else ""
    if not name.strip():
        return "", [f"the model's name is {given!r}; give a text"]
    found = _FORBIDDEN.search(name)
    if found or name.startswith("."):
        what = f"has {found[0]!r}" if found else "begins with a dot"
        return name, [f"the model's name {name!r} {what}, which cannot be in the name of its directory; leave it away"]
    if len(name.encode()) > NAME_BYTES:
        return name, [f"the model's name has {len(name.encode())} bytes; at most {NAME_BYTES} are possible"]
    return name, []


def check_version(given: Any, argument: str, problems: list[str]) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, numbers.Integral) or int(given) < 1:
        problems.append(f"{argument}={given!r}; give a whole number from 1, or none")
        return None
    return int(given)


def check_metrics(given: Any, problems: list[str]) -> dict[str, float]:
    if given is not None and not isinstance(given, Mapping):
        problems.append(f"metrics={given!r:.80}; give a dict of numbers by name")
        return {}
    values = {}
    for name, value in (given or {}).items():
        found = number(value)
        if not isinstance(name, str) or not name:
            problems.append(f"metrics: the name {name!r} is no text")
        elif found is None or not math.isfinite(found):
            problems.append(f"metrics: {name}={value!r:.80}; give a finite number")
        else:
            values[name] = found
    return values


def check_rest(description: Any, timeout: Any, problems: list[str]) -> None:
    if description is not None and not isinstance(description, str):
        problems.append(f"description={description!r:.80}; give a text")
    seconds = number(timeout)
    if seconds is None or not seconds >= 0:
        problems.append(f"synchronous_timeout={timeout!r}; give a number of seconds from 0")


def find(project: Project, given: Any) -> str:
    """The URL or absolute path of what is to be exported.

    Raises:
        StoreError: there is nothing, or an empty directory.
    """
    path = os.fspath(given)
    path = path.decode() if isinstance(path, bytes) else path
    if not path:
        raise StoreError("it is empty; give the path of a file or directory")
    candidates = _candidates(project, path)
    for where in candidates:
        fs, on_it = open_url(where)
        with errors_of(where):
            if not fs.exists(on_it):
                continue
            if fs.isdir(on_it) and not any(True for _ in fs.find(on_it)):
                raise StoreError(f"{without_credentials(where)} is an empty directory; there is nothing to export")
            return where
    looked = " or ".join(without_credentials(where) for where in candidates)
    raise StoreError(f"there is nothing at {looked}")


def _candidates(project: Project, path: str) -> list[str]:
    if "://" in path or path.startswith(RUNS) or os.path.isabs(path):
        return [resolve(project, path)]
    context = current()
    folders = [os.getcwd(), *([context.directory, context.logdir] if context else [])]
    found = [os.path.normpath(os.path.join(folder, path)) for folder in folders]
    with contextlib.suppress(StoreError):  # `../model` is a local path, and none in the project
        found.append(resolve(project, path))
    return list(dict.fromkeys(found))


def origin(where: str) -> tuple[str | None, str | None]:
    """The run and the trial that a path belongs to, or else that this process runs."""
    found = _IN_RUN.search(where)
    if found:
        return found[1], found[2]
    context = current()
    return (context.run_id, context.trial_id) if context else (None, None)


@contextlib.contextmanager
def local_files(where: str) -> Iterator[dict[str, LocalFile]]:
    """The files of a model that is anywhere, as local ones."""
    fs, path = open_url(where)
    if is_local(fs):
        yield read_files(path)
        return
    with tempfile.TemporaryDirectory(prefix="hopslite-") as scratch:
        folder = os.path.join(scratch, "model")
        with errors_of(where):
            is_file = fs.isfile(path)
        if is_file:
            os.makedirs(folder)
            with errors_of(where):
                download(fs, path, os.path.join(folder, path.rpartition("/")[2]))
        else:
            RunDir(where).download_to(folder)
        yield read_files(folder)
