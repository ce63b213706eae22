"""What a text that names files refers to: `runs:/NAME/VERSION/…`, a path in the project, or a URL as it is."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import urllib.parse

from ..errors import StoreError
from .filesystems import without_credentials
from .rundir import Project, RunDir, _as_folder

__all__ = ["RUNS", "names_of_runs", "newest_there", "resolve", "run_id_of", "versions_of"]

RUNS = "runs:/"
VERSIONS = "Experiments/.versions"
NEAR = 5  # names shown of many
SEARCHED = 1000  # runs whose names are read for an error's message


def resolve(project: Project, url: str) -> str:
    """The URL, or the absolute local path, of what `url` names.

    Args:
        url: `runs:/NAME/VERSION/PATH` is a file or directory of a run, such as `runs:/digits/3/trials/0004/model`;
            `latest` as VERSION is the newest, and `runs:/RUN_ID/PATH` works, too. A space may be written `%20`. A path
            that is not absolute is one in the project; every other URL or path is taken as it is.

    Raises:
        StoreError: a `runs:/` URL names what is not there (the message says what is), or a path leaves the project.
    """
    if url.startswith(RUNS):
        return _in_run(project, url)
    if "://" in url or os.path.isabs(url):
        return url
    return project.path(*_parts(url))


def _in_run(project: Project, url: str) -> str:
    first, *rest = _parts(url.removeprefix(RUNS)) or [""]
    if first and project.exists(f"Experiments/{first}/run.json"):
        run_id = first
    else:
        run_id = _run_id(project, url, first, rest.pop(0) if rest else "")
    run = project.sub("Experiments", run_id)
    _check_there(run, url, rest)
    return run.path(*rest)


def _run_id(project: Project, url: str, name: str, version: str) -> str:
    for each in dict.fromkeys([name, urllib.parse.unquote(name)]):  # a name may hold a percent sign of its own
        if numbers := versions_of(project, each):
            break
    else:
        raise StoreError(f"{url}: there is no run named {name!r} in {project.shown}; {_nearest(project, name)}")
    newest = newest_there(project, each, numbers) or numbers[-1] if version == "latest" else None
    wanted = int(version) if version.isdecimal() else newest
    if wanted not in numbers:
        given = f"there is no version {version!r}" if version else "a version is missing"
        raise StoreError(f"{url}: {given} of run {each!r}; versions: {_some([str(number) for number in numbers])}")
    run_id = run_id_of(project, each, wanted or 0)
    if not project.exists(f"Experiments/{run_id}"):
        raise StoreError(f"{url}: the directory of that run, {run_id}, is gone from {project.shown}")
    return run_id


def versions_of(project: Project, name: str) -> list[int]:
    """The versions that there are of a run, sorted; those included whose directories are gone."""
    return sorted(int(entry) for entry in project.list(f"{VERSIONS}/{_as_folder(name)}") if entry.isdecimal())


def newest_there(project: Project, name: str, versions: list[int]) -> int | None:
    """The last of a run's versions whose directory is there; None when none is."""
    for version in reversed(versions):
        run_id = run_id_of(project, name, version)
        if run_id and project.exists(f"Experiments/{run_id}"):
            return version
    return None


def run_id_of(project: Project, name: str, version: int) -> str:
    """The id of a version that there is."""
    return project.read_bytes(f"{VERSIONS}/{_as_folder(name)}/{version}").decode(errors="replace").strip()


def _check_there(run: RunDir, url: str, rest: list[str]) -> None:
    for depth in range(len(rest), 0, -1):
        if run.exists("/".join(rest[:depth])):
            missing = rest[depth] if depth < len(rest) else None
            break
    else:
        depth, missing = 0, rest[0] if rest else None
    if missing is None:
        return
    there = run.list("/".join(rest[:depth]))
    near = difflib.get_close_matches(missing, there, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"in it: {_some(there)}"
    where = "/".join(rest[:depth])
    raise StoreError(f"{url}: there is no {missing!r} in {run.path(*[where] if where else [])}; {hint}")


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise StoreError(f"{without_credentials(path)}: a path that leaves the project by '..'; give an absolute one")
    return parts


def names_of_runs(project: Project) -> list[str]:
    """The names that the project's runs have, sorted; where there are very many runs, those of the latest."""
    records = project.read_many([f"Experiments/{run_id}/run.json" for run_id in project.runs()[-SEARCHED:]])
    return sorted({name for record in records if (name := _name_in(record))})


def _name_in(record: bytes | None) -> str | None:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(record or b"")["name"])
    return None


def _nearest(project: Project, name: str) -> str:
    names = names_of_runs(project)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"names: {_some(names)}" if names else "it has no runs"


def _some(names: list[str]) -> str:
    shown = names if len(names) <= NEAR else [*names[: NEAR - 1], "…", names[-1]]
    return ", ".join(shown) or "nothing"
