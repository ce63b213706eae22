"""The command `export`: packs a run into one archive."""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
from collections.abc import Callable

import click

from ..core.formatting import plain
from ..runs.history import PLAN, UNTRUSTED
from ..runs.lookup import find
from ..storage.annotations import LOCK
from ..storage.run_records import record_in
from ._options import RUN, home, project_option
from ._output import write

__all__ = ["LEFT_OUT", "PLANS", "export_command"]

LEFT_OUT = ("sessions", ".tracking.lock", LOCK, "mlflow.json")  # of this machine, not of the run
PLANS = (PLAN, UNTRUSTED)


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
    record = record_in(directory) or {}
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
        packed = os.path.join(scratch, "packed")
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(folder, run_id, filter=_chosen(folder, LEFT_OUT if with_plan else (*LEFT_OUT, *PLANS)))
        os.replace(packed, target)
    click.echo(target)


def _chosen(folder: str, without: tuple[str, ...]) -> Callable[[tarfile.TarInfo], tarfile.TarInfo | None]:
    """Filter that packs files portably, and reports those left out."""
    root = os.path.realpath(folder)

    def choose(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = member.name.partition("/")[2]
        if name.partition("/")[0] in without:
            return None
        if member.issym() and not _lead_inside(member, os.path.join(root, name), root):
            write(f"left out: {name}, a link that leads out of the run to {plain(member.linkname)}", err=True)
            return None
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            write(f"left out: {name}, which is no file", err=True)
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    return choose


def _lead_inside(member: tarfile.TarInfo, path: str, root: str) -> bool:
    """Make a link relative for an archive; returns False if it leads out of the directory."""
    target = os.path.realpath(path)
    if target != root and not target.startswith(f"{root}/"):
        return False
    member.linkname = os.path.relpath(target, os.path.dirname(path))
    return True
