"""Output of the commands: lines, tables, facts and JSON, fitted to the terminal."""

from __future__ import annotations

import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..core.formatting import cut, plain, printable
from ..core.text_table import SEPARATOR, fit_widths, terminal_width
from ..core.types import State, json_safe

__all__ = ["colour_of", "command", "local_time", "width", "write", "write_facts", "write_json", "write_table"]

FILE_WIDTH = 200  # of lines that go to a file, where nothing wraps
NARROWEST = 8  # characters of a column that may be cut
COLOURS = {
    State.FINISHED: "green",
    State.QUEUED: "blue",
    State.RUNNING: "cyan",
    State.STOPPED: "yellow",
    State.FAILED: "red",
    State.KILLED: "red",
}


def command(words: str) -> str:
    """Command line of hopslite for the user to type, with this command's project."""
    place = click.get_current_context().find_root().obj
    return f"hopslite {words}" if place is None else f"hopslite {words} --project {shlex.quote(place)}"


def write(text: str, *, err: bool = False) -> None:
    """Write lines that may hold others' texts, without control sequences."""
    click.echo(printable(text), err=err)


def write_facts(values: Sequence[tuple[str, str]]) -> None:
    """Write facts, one per line; empty ones are left out."""
    for name, text in values:
        if text:
            click.echo(f"  {name + ':':<13}{plain(' '.join(text.splitlines()))}")


def write_json(value: Any) -> None:
    """Write a JSON document."""
    click.echo(json.dumps(json_safe(value, strict=True), indent=2))


def width() -> int:
    """Number of characters in a line."""
    return terminal_width(sys.stdout) or FILE_WIDTH


def colour_of(state: Any) -> str | None:
    return COLOURS.get(State(state)) if str(state) in State.__members__ else None


def write_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, elastic: Sequence[str] = (), last: Sequence[str] = ()
) -> list[str]:
    """Write a table as wide as the terminal; empty columns are left out.

    Returns the names of the columns for which there was no room.

    Args:
        elastic: columns that are cut when there is no room.
        last: columns that are left out when there still is none, the first of these first.
    """
    kept = [index for index, _ in enumerate(head) if any(row[index] for row in rows)] if rows else range(len(head))
    columns = {head[index]: [plain(head[index]), *(plain(row[index]) for row in rows)] for index in kept}
    available = width()
    left_out: list[str] = []
    for name in (None, *last):
        if name is not None and columns.pop(name, None) is not None:
            left_out.append(name)
        widths = {key: max(map(len, texts)) for key, texts in columns.items()}
        fixed = sum(w for key, w in widths.items() if key not in elastic)
        free = available - fixed - len(SEPARATOR) * (len(columns) - 1)
        loose = [key for key in columns if key in elastic]
        if free >= sum(min(widths[key], NARROWEST * 2) for key in loose):
            break
    widths.update(zip(loose, fit_widths([widths[key] for key in loose], free, NARROWEST), strict=True))
    for number in range(len(rows) + 1):
        cells = []
        for key, texts in columns.items():
            cell = cut(texts[number], widths[key])
            if key != list(columns)[-1]:
                cell = cell.ljust(widths[key])
            if number == 0:
                cell = click.style(cell, bold=True)
            elif key == "state" and (colour := colour_of(texts[number])):
                cell = click.style(cell, fg=colour)
            cells.append(cell)
        click.echo(SEPARATOR.join(cells))
    return left_out


def local_time(seconds: float | None) -> str:
    """Local time for people; today's without the date."""
    if not seconds:
        return ""
    then = datetime.datetime.fromtimestamp(seconds)
    return then.strftime("%H:%M:%S" if then.date() == datetime.date.today() else "%Y-%m-%d %H:%M")
