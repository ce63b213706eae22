"""Commands that change what is kept of a run: `tag`, `note`, `rm`."""

from __future__ import annotations

import contextlib
import dataclasses
import sys

import click

from .._past import record_of
from .._runs import find, state_of
from .._trial import State
from ..store import RunDir
from ..store.notes import Notes
from ..store.sessions import refuse_if_at_work
from ._common import RUN, command, home, project_option

__all__ = ["note_command", "rm_command", "tag_command"]


@click.command("tag")
@click.argument("run", type=RUN)
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE | KEY]...")
@click.option("-d", "--delete", "deleted", multiple=True, metavar="KEY", help="Take a tag away.")
@project_option
def tag_command(place: str | None, run: str, tags: tuple[str, ...], deleted: tuple[str, ...]) -> None:
    """Give a run tags; without any, show those that it has."""
    directory = find(home(place), run)
    given = dict(tag.partition("=")[::2] for tag in tags)
    if bad := [tag for tag in (*given, *deleted) if not tag.strip()]:
        raise click.BadParameter(f"a tag without a name: {bad!r}")
    _check_text(*tags)
    record = record_of(directory.read_many(["run.json"])[0]) or {}
    of_call = record.get("tags") or {}
    with Notes.alone(directory) if given or deleted else contextlib.nullcontext():
        notes = Notes.read(directory)
        there = {**of_call, **notes.tags}
        if unknown := [key for key in deleted if key not in there]:
            raise click.BadParameter(f"there is no tag {unknown[0]!r}; tags: {', '.join(sorted(there)) or 'none'}")
        if stays := [key for key in deleted if key in of_call]:
            raise click.BadParameter(f"{stays[0]!r} belongs to the run's call and stays; give it another value instead")
        if given or deleted:
            kept = {key: value for key, value in {**notes.tags, **given}.items() if key not in deleted}
            _write(directory, dataclasses.replace(notes, tags=kept))
            there = {**of_call, **kept}
    for key, value in sorted(there.items()):
        click.echo(f"{key}={value}")


@click.command("note")
@click.argument("run", type=RUN)
@click.argument("text", required=False)
@project_option
def note_command(place: str | None, run: str, text: str | None) -> None:
    """Write a note on a run (TEXT; "-" reads it from standard input; "" takes it away), or show it."""
    directory = find(home(place), run)
    if text is None:
        record = record_of(directory.read_many(["run.json"])[0]) or {}
        click.echo(Notes.read(directory).text or record.get("description") or "")
        return
    text = sys.stdin.buffer.read().decode(errors="replace").strip() if text == "-" else text
    _check_text(text)
    with Notes.alone(directory):
        _write(directory, dataclasses.replace(Notes.read(directory), text=text))


def _check_text(*given: str) -> None:
    for text in given:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise click.BadParameter(f"{text!r} is no UTF-8 text")


def _write(directory: RunDir, notes: Notes) -> None:
    notes.write(directory)
    if directory.exists("mlflow.json"):
        run_id = directory.url.rpartition("/")[2]
        click.echo(f"MLflow hears of it with: {command(f'track {run_id}')}", err=True)


@click.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=RUN)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@project_option
def rm_command(place: str | None, runs: tuple[str, ...], yes: bool) -> None:
    """Delete runs with all their files. Their versions are never given again; MLflow keeps its record of them."""
    project = home(place)
    found = {directory.url: directory for directory in (find(project, run) for run in runs)}
    named = []
    for directory in found.values():
        record = record_of(directory.read_many(["run.json"])[0]) or {}
        run_id = directory.url.rpartition("/")[2]
        if state_of(directory, record) is State.RUNNING:
            refuse_if_at_work(directory, lambda line: click.echo(line, err=True))
        named.append(f"{record.get('name', '?')} version {record.get('version', '?')} ({run_id})")
    if not yes:
        for line in named:
            click.echo(line, err=True)
        click.confirm(f"Delete {len(named)} run{'s' * (len(named) > 1)} for good?", abort=True, err=True)
    for line, directory in zip(named, found.values(), strict=True):
        directory.remove_all()
        click.echo(f"deleted {line}")
