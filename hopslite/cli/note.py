"""The command `note`: a note on a run."""

from __future__ import annotations

import dataclasses
import sys

import click

from ..runs.lookup import find
from ..storage.annotations import Notes
from ..storage.run_records import record_in
from ._notes import check_text, update_mlflow
from ._options import RUN, home, project_option
from ._output import write

__all__ = ["note_command"]


@click.command("note")
@click.argument("run", type=RUN)
@click.argument("text", required=False)
@project_option
def note_command(place: str | None, run: str, text: str | None) -> None:
    """Write a note on a run (TEXT; "-" reads it from standard input; "" takes it away), or show it."""
    directory = find(home(place), run)
    record = record_in(directory) or {}
    if text is None:
        write(Notes.read(directory).text or str(record.get("description") or ""))
        return
    text = sys.stdin.buffer.read().decode(errors="replace").strip() if text == "-" else text
    check_text(text)
    with Notes.locked(directory):
        dataclasses.replace(Notes.read(directory), text=text).write(directory)
    update_mlflow(place, directory, record, ())
