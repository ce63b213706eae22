"""The command `rm`: deletes runs."""

from __future__ import annotations

import click

from ..core.formatting import plain
from ..runs.lookup import find, state_of
from ..storage.driver_lease import require_no_live_driver
from ..storage.run_records import record_in
from ._options import RUN, agreed, home, project_option
from ._output import write

__all__ = ["rm_command"]


@click.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=RUN)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@project_option
def rm_command(place: str | None, runs: tuple[str, ...], yes: bool) -> int:
    """Delete runs with all their files. Their versions are never given again; MLflow keeps its record of them."""
    project = home(place)
    directories = {directory.url: directory for directory in (find(project, run) for run in runs)}
    named = []
    for directory in directories.values():
        record = record_in(directory) or {}
        run_id = directory.url.rpartition("/")[2]
        if not state_of(directory, record).final:
            require_no_live_driver(directory, lambda line: click.echo(line, err=True))
        named.append(plain(f"{record.get('name', '?')} version {record.get('version', '?')} ({run_id})"))
    if not yes:
        for line in named:
            write(line, err=True)
        if not agreed(f"Delete {len(named)} run{'s' * (len(named) > 1)} for good?"):
            click.echo("nothing deleted", err=True)
            return 1
    for line, directory in zip(named, directories.values(), strict=True):
        directory.remove_all()
        write(f"deleted {line}")
    return 0
