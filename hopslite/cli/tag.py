"""The command `tag`: tags of a run."""

from __future__ import annotations

import contextlib
import dataclasses

import click

from ..core.formatting import plain
from ..runs.lookup import find
from ..storage.annotations import Notes
from ..storage.run_records import record_in
from ._notes import check_text, update_mlflow
from ._options import RUN, home, project_option
from ._output import write

__all__ = ["tag_command"]


@click.command("tag")
@click.argument("run", type=RUN)
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE | KEY]...")
@click.option("-d", "--delete", "deleted", multiple=True, metavar="KEY", help="Take a tag away.")
@project_option
def tag_command(place: str | None, run: str, tags: tuple[str, ...], deleted: tuple[str, ...]) -> None:
    """Set tags of a run; without any, show them."""
    directory = find(home(place), run)
    new_tags = dict(tag.partition("=")[::2] for tag in tags)
    if bad := [tag for tag in (*new_tags, *deleted) if not tag.strip()]:
        raise click.BadParameter(f"a tag without a name: {bad!r}")
    check_text(*tags)
    record = record_in(directory) or {}
    of_call = record.get("tags") or {}
    with Notes.locked(directory) if new_tags or deleted else contextlib.nullcontext():
        notes = Notes.read(directory)
        there = {**of_call, **notes.tags}
        if unknown := [key for key in deleted if key not in there]:
            known = plain(", ".join(sorted(there))) or "none"
            raise click.BadParameter(f"there is no tag {unknown[0]!r}; tags: {known}")
        if stays := [key for key in deleted if key in of_call]:
            raise click.BadParameter(f"{stays[0]!r} belongs to the run's call and stays; give it another value instead")
        if new_tags or deleted:
            kept = {key: value for key, value in {**notes.tags, **new_tags}.items() if key not in deleted}
            dataclasses.replace(notes, tags=kept).write(directory)
            there = {**of_call, **kept}
    if new_tags or deleted:
        update_mlflow(place, directory, record, deleted)
    for key, value in sorted(there.items()):
        write(plain(f"{key}={value}"))
