"""Calls of `hopslite.data` that change something, for its functions and for the commands."""

from __future__ import annotations

import contextlib
import getpass
import os
from typing import Any

from ..core.plain_values import is_integer, short
from ..errors import InvalidArguments, StoreError
from ..runs.data_set_uses import uses_of
from ..storage.datasets.dataset import DataSet
from ..storage.datasets.fetch import download
from ..storage.datasets.references import Reference
from ..storage.datasets.removal import remove_data_set, remove_versions
from ..storage.datasets.scan import collect, unpacked
from ..storage.datasets.upload import Reporting, unpacking_folder, upload
from ..storage.fs.transfer import Bar
from .data_arguments import check_text, look_up, named, paths_of, reference_of

__all__ = ["bar", "download_call", "rm_call", "upload_call", "user_name"]

NEVER = 1 << 62  # bytes from which on a bar is shown that is not wanted


def bar(is_wanted: bool, title: str) -> Bar:
    """Progress bar for a terminal or notebook; one that is never shown if none is wanted."""
    return Bar(title) if is_wanted else Bar(title, NEVER)


def upload_call(
    name: str,
    paths: Any,
    extract: bool,
    max_unpacked: int | None,
    check: bool,
    description: str | None,
    project: str | None,
    reporting: Reporting,
) -> tuple[DataSet, dict[str, Any]]:
    """Upload as `data.upload` does; returns the data set and the manifest of the new version."""
    where = "data.upload()"
    check_text(where, "description", description)
    if max_unpacked is not None and not is_integer(max_unpacked, 1):
        raise InvalidArguments(where, [f"max_unpacked={short(max_unpacked)}; give a number of bytes"])
    data_set = named(where, name, project)
    data_set.record()
    local = data_set.project.url if data_set.project.is_local else None
    chosen = paths_of(where, paths)
    with contextlib.ExitStack() as stack:
        if extract:
            scratch = unpacking_folder(data_set)
            sources = stack.enter_context(unpacked(chosen, where, max_unpacked, scratch, local))
        else:
            sources = collect(chosen, where, local)
        facts = {"description": description, "user": user_name()}
        return data_set, upload(data_set, sources, facts, reporting, check)


def download_call(
    name: str,
    version: int | None,
    local_path: str | os.PathLike[str] | None,
    overwrite: bool,
    project: str | None,
    progress: Bar,
) -> str:
    """Download as `data.download` does."""
    where = "data.download()"
    if local_path is not None and (not isinstance(local_path, str | os.PathLike) or "\0" in os.fsdecode(local_path)):
        raise InvalidArguments(where, [f"local_path={short(local_path)}; give the path of a directory"])
    data_set, manifest = look_up(where, name, version, project)
    number = int(manifest["version"])
    target = os.path.abspath(os.fsdecode(local_path) if local_path is not None else f"{data_set.name}-{number}")
    for place in (os.getcwd(), os.path.expanduser("~"), data_set.project.url if data_set.project.is_local else ""):
        if place and f"{os.path.realpath(place)}{os.sep}".startswith(f"{os.path.realpath(target)}{os.sep}"):
            problem = f"local_path={target!r} has other files, which would be replaced; give another directory"
            raise InvalidArguments(where, [problem])
    with progress:
        download(data_set, number, data_set.files(manifest), target, overwrite, progress)
    return target


def rm_call(name: str, version: int | None, force: bool, project: str | None) -> str | None:
    """Delete as `data.rm` does; returns the reason why content was kept for now, if it was."""
    data_set, number = reference_of("data.rm()", name, version, project)
    data_set.record() if number is None else data_set.manifest(number)
    if not force:
        for use in uses_of(data_set.project, data_set.name, number):
            if use.state == "RUNNING":
                run = f"{use.run_name} version {use.run_version} ({use.run_id})"
                raise StoreError(
                    f"{Reference(data_set.name, use.version)} is used by run {run}, which is running; wait until it "
                    "ends, or delete it with force=True (--force), and later trials of the run fail"
                )
    if number is not None:
        return remove_versions(data_set, [number])
    remove_data_set(data_set)
    return None


def user_name() -> str | None:
    """Name of the user; None for a container's user without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
