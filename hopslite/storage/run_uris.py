"""Resolution of `runs:/NAME/VERSION/…` URLs, paths in the project, and other URLs."""

from __future__ import annotations

import os
import urllib.parse

from ..core.formatting import plain
from ..core.redaction import without_credentials
from ..core.suggestions import did_you_mean
from ..errors import StoreError
from .naming import folder_of_name
from .project import Project
from .run_directory import RunDir
from .run_records import records_in

__all__ = ["RUNS", "names_of_runs", "newest_there", "resolve", "run_id_of", "versions_of"]

RUNS = "runs:/"
VERSIONS = "Experiments/.versions"
NEAR = 5  # names shown at most
SEARCHED = 1000  # runs whose names are read for an error's message


def resolve(project: Project, url: str) -> str:
    """Resolve a `runs:/` URL or a path in the project to a URL or an absolute local path.

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
    for candidate in dict.fromkeys([name, urllib.parse.unquote(name)]):  # a name may hold a percent sign of its own
        if numbers := versions_of(project, candidate):
            break
    else:
        raise StoreError(f"{url}: there is no run named {name!r} in {project.shown}; {_nearest(project, name)}")
    newest = newest_there(project, candidate, numbers) or numbers[-1] if version == "latest" else None
    wanted = int(version) if version.isdecimal() else newest
    if wanted not in numbers:
        problem = f"there is no version {version!r}" if version else "a version is missing"
        raise StoreError(
            f"{url}: {problem} of run {candidate!r}; versions: {_some([str(number) for number in numbers])}"
        )
    run_id = run_id_of(project, candidate, wanted or 0)
    if not project.exists(f"Experiments/{run_id}"):
        raise StoreError(f"{url}: the directory of that run, {run_id}, is gone from {project.shown}")
    return run_id


def versions_of(project: Project, name: str) -> list[int]:
    """Sorted versions of a run's name, also those whose directories are gone."""
    return sorted(int(entry) for entry in project.list(f"{VERSIONS}/{folder_of_name(name)}") if entry.isdecimal())


def newest_there(project: Project, name: str, versions: list[int]) -> int | None:
    """Newest version whose directory exists; None if there is none."""
    for version in reversed(versions):
        run_id = run_id_of(project, name, version)
        if run_id and project.exists(f"Experiments/{run_id}"):
            return version
    return None


def run_id_of(project: Project, name: str, version: int) -> str:
    """Run id of a version."""
    return project.read_bytes(f"{VERSIONS}/{folder_of_name(name)}/{version}").decode(errors="replace").strip()


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
    hint = did_you_mean(missing, there, f"in it: {_some(there)}")
    where = "/".join(rest[:depth])
    raise StoreError(f"{url}: there is no {missing!r} in {run.path(*[where] if where else [])}; {hint}")


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise StoreError(f"{without_credentials(path)}: a path that leaves the project by '..'; give an absolute one")
    return parts


def names_of_runs(project: Project) -> list[str]:
    """Sorted names of the project's runs; of the latest ones if there are very many."""
    records = records_in(project, project.runs()[-SEARCHED:], ["name"], at_once=SEARCHED)
    return sorted({str(record["name"]) for _, record in records if not isinstance(record, StoreError)} - {""})


def _nearest(project: Project, name: str) -> str:
    names = [plain(name) for name in names_of_runs(project)]
    return did_you_mean(name, names, f"names: {_some(names)}" if names else "it has no runs")


def _some(names: list[str]) -> str:
    shown = names if len(names) <= NEAR else [*names[: NEAR - 1], "…", names[-1]]
    return ", ".join(shown) or "nothing"
