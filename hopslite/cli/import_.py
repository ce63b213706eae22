"""The command `import`: takes a run from an archive into the project."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import click

from ..core.formatting import plain
from ..errors import StoreError
from ..runs.history import PLAN, UNTRUSTED
from ..storage.project import Project
from ..storage.records import MOST_BYTES, read_record
from ..storage.safe_extract import ARCHIVES, unpack_archive
from ._options import home, project_option
from ._output import command, write
from .export import LEFT_OUT, PLANS

__all__ = ["import_command"]

RUN_ID = re.compile(r"[\w-]+")


@click.command("import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False))
@click.option("--trust-plan", is_flag=True, help="Let the run be resumed, which runs code from the archive.")
@project_option
def import_command(place: str | None, archive: str, trust_plan: bool) -> None:
    """Take a run from an ARCHIVE into the project, under its own id and the next free version of its name."""
    project = home(place)
    if not archive.lower().endswith(ARCHIVES):
        raise StoreError(f"{archive} is not an archive of a run; hopslite export makes them (.tar.gz)")
    with tempfile.TemporaryDirectory(prefix="hopslite-") as scratch:
        folder = os.path.join(scratch, "unpacked")
        unpack_archive(archive, folder, archive)
        unpacked = [entry for entry in os.listdir(folder) if os.path.isfile(os.path.join(folder, entry, "run.json"))]
        if len(unpacked) != 1 or not RUN_ID.fullmatch(unpacked[0]):
            raise StoreError(f"{archive} is not an archive of a run: there is no run.json in it")
        run_id = unpacked[0]
        folder = os.path.join(folder, run_id)
        record = _record(archive, folder)
        has_plan = _settle_plan(folder, trust_plan)
        version = _take_in(project, folder, run_id, record)
    was = "" if version == record["version"] else f" (it was version {record['version']})"
    write(plain(f"{record['name']} version {version}{was}: {project.path('Experiments', run_id)}"))
    if has_plan and not trust_plan:
        write(
            "the archive has a plan to resume the run with, which runs the code in it; it is kept apart as "
            f"{UNTRUSTED}. If you trust who made it: {command(f'resume --trust-plan {run_id}')}",
            err=True,
        )
    write(f"MLflow hears of it with: {command(f'track {run_id}')}", err=True)


def _record(archive: str, folder: str) -> dict[str, Any]:
    with open(os.path.join(folder, "run.json"), "rb") as file:
        content = file.read(MOST_BYTES + 1)
    try:
        return read_record(content)
    except StoreError as error:
        raise StoreError(f"{archive}: {error}") from None


def _settle_plan(folder: str, is_trusted: bool) -> bool:
    """Give an archive's plan its trusted or untrusted name; returns True if there is one."""
    there = [path for name in PLANS if os.path.lexists(path := os.path.join(folder, name))]
    if there:
        os.replace(there[0], os.path.join(folder, PLAN if is_trusted else UNTRUSTED))
    return bool(there)


def _take_in(project: Project, folder: str, run_id: str, record: dict[str, Any]) -> int:
    if run_id in project.runs():
        raise FileExistsError(f"run {run_id} is in {project.shown} already")
    version = project.claim_version(str(record["name"]), run_id)
    facts = {"run_id": run_id, "version": version}
    record = {**record, **facts, "project": project.shown, "logdir": project.path("Experiments", run_id)}
    with open(os.path.join(folder, "run.json"), "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
    target = project.sub("Experiments", run_id)
    names = [name for name in _files(folder) if name.partition("/")[0] not in LEFT_OUT]
    names.sort(key=lambda name: name == "run.json")  # a run is there when its record is
    target.makedirs()
    for folder_name in sorted({os.path.dirname(name) for name in names if os.path.dirname(name)}):
        target.makedirs(folder_name)
    target.upload({os.path.join(folder, name): name for name in names[:-1]})
    target.upload({os.path.join(folder, name): name for name in names[-1:]})
    return version


def _files(folder: str) -> Iterator[str]:
    """Files below a folder by name, also those behind its links, since a store has no links."""
    for place, folders, files in os.walk(folder):
        yield from _names(folder, place, files)
        for link in filter(os.path.islink, (os.path.join(place, name) for name in folders)):
            for inner, _, inside in os.walk(link):  # does not follow further links, so it terminates
                yield from _names(folder, inner, inside)


def _names(folder: str, place: str, files: list[str]) -> Iterator[str]:
    for name in files:
        if os.path.isfile(os.path.join(place, name)):  # a link may lead nowhere
            yield os.path.relpath(os.path.join(place, name), folder)
