"""Commands that carry runs elsewhere: `export` and `import`."""

from __future__ import annotations

import json
import os
import re
import tarfile
import tempfile

import click

from .._past import PLAN, record_of
from .._runs import find
from ..errors import StoreError
from ..store import Project
from ..store._unpack import ARCHIVES, unpack_archive
from ..store.notes import LOCK
from ._common import RUN, command, home, project_option

__all__ = ["export_command", "import_command"]

LEFT_OUT = ("sessions", ".tracking.lock", LOCK, "mlflow.json")  # of this machine, not of the run
RUN_ID = re.compile(r"[\w-]+")


@click.command("export")
@click.argument("run", type=RUN)
@click.option("-o", "--output", metavar="FILE", help="Default: NAME-VERSION.tar.gz here.")
@click.option("--force", is_flag=True, help="Replace the file.")
@click.option(
    "--with-plan", is_flag=True, help="With the pickled call, so that it can be resumed; it may hold secrets."
)
@project_option
def export_command(place: str | None, run: str, output: str | None, force: bool, with_plan: bool) -> None:
    """Pack a run into one archive, which `hopslite import` takes into another project."""
    directory = find(home(place), run)
    record = record_of(directory.read_many(["run.json"])[0]) or {}
    run_id = directory.url.rpartition("/")[2]
    safe = re.sub(r"[^\w.-]+", "_", str(record.get("name") or run_id)).strip(".") or run_id
    target = os.path.abspath(output or f"{safe}-{record.get('version', 0)}.tar.gz")
    if not target.endswith((".tar.gz", ".tgz")):
        raise click.BadParameter(f"{target}: give a name that ends in .tar.gz", param_hint="--output")
    if os.path.lexists(target) and not force:
        raise FileExistsError(f"{target} is there already; --force replaces it")
    with tempfile.TemporaryDirectory(prefix=".hopslite-", dir=os.path.dirname(target)) as scratch:
        folder = directory.url
        if not directory.is_local:
            folder = os.path.join(scratch, "run")
            directory.download_to(folder)

        def chosen(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            first = member.name.partition("/")[2].partition("/")[0]
            if first in LEFT_OUT or (first == PLAN and not with_plan):
                return None
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            return member

        packed = os.path.join(scratch, "packed")
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(folder, run_id, filter=chosen)
        os.replace(packed, target)
    click.echo(target)


@click.command("import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False))
@project_option
def import_command(place: str | None, archive: str) -> None:
    """Take a run from an ARCHIVE into the project, under its own id and the next free version of its name."""
    project = home(place)
    if not archive.lower().endswith(ARCHIVES):
        raise StoreError(f"{archive} is no archive of a run; hopslite export makes them (.tar.gz)")
    with tempfile.TemporaryDirectory(prefix="hopslite-") as scratch:
        folder = os.path.join(scratch, "unpacked")
        unpack_archive(archive, folder, archive)
        found = [each for each in os.listdir(folder) if os.path.isfile(os.path.join(folder, each, "run.json"))]
        if len(found) != 1 or not RUN_ID.fullmatch(found[0]):
            raise StoreError(f"{archive} is no archive of a run: there is no run.json in it")
        run_id = found[0]
        with open(os.path.join(folder, run_id, "run.json"), "rb") as file:
            record = record_of(file.read())
        if record is None or not isinstance(record.get("name"), str):
            raise StoreError(f"{archive}: its run.json cannot be read")
        version = _take_in(project, os.path.join(folder, run_id), run_id, record)
    was = "" if version == record.get("version") else f" (it was version {record.get('version')})"
    click.echo(f"{record['name']} version {version}{was}: {project.path('Experiments', run_id)}")
    click.echo(f"MLflow hears of it with: {command(f'track {run_id}')}", err=True)


def _take_in(project: Project, folder: str, run_id: str, record: dict[str, object]) -> int:
    if run_id in project.runs():
        raise FileExistsError(f"run {run_id} is in {project.shown} already")
    version = project.claim_version(str(record["name"]), run_id)
    record = {**record, "version": version, "project": project.shown, "logdir": project.path("Experiments", run_id)}
    with open(os.path.join(folder, "run.json"), "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
    target = project.sub("Experiments", run_id)
    names = [
        os.path.relpath(os.path.join(place, name), folder) for place, _, files in os.walk(folder) for name in files
    ]
    names.sort(key=lambda name: name == "run.json")  # a run is there when its record is
    target.makedirs()
    for folder_name in sorted({os.path.dirname(name) for name in names if os.path.dirname(name)}):
        target.makedirs(folder_name)
    target.upload({os.path.join(folder, name): name for name in names[:-1]})
    target.upload({os.path.join(folder, name): name for name in names[-1:]})
    return version
