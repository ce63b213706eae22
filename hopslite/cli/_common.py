"""What the commands have in common: the project, runs as arguments, and what they write."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .._format import cut
from .._trial import State, json_safe
from ..config import Settings
from ..store import Project

__all__ = [
    "RUN",
    "as_json",
    "colour_of",
    "command",
    "home",
    "moment",
    "parse_moment",
    "project_option",
    "say",
    "table",
    "width",
]

F = TypeVar("F", bound=Callable[..., Any])
FILE_WIDTH = 200  # of lines that go to a file, where nothing wraps
SEPARATOR = "  "
NARROWEST = 8  # characters of a column that may be cut
COLOURS = {
    State.FINISHED: "green",
    State.RUNNING: "cyan",
    State.STOPPED: "yellow",
    State.FAILED: "red",
    State.KILLED: "red",
}
DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class _Run(click.ParamType):  # type: ignore[type-arg]
    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from ..store.references import names_of_runs

        try:
            project = home(ctx.find_root().params.get("project"))
            known = [*names_of_runs(project), *reversed(project.runs())]
        except Exception:  # noqa: BLE001 - nobody wants an error for a tab key
            return []
        return [CompletionItem(each) for each in known if each.startswith(incomplete)]


RUN = _Run()


def home(place: str | None) -> Project:
    return Project(Settings.load(project=place).project)


def command(words: str) -> str:
    """A command of ours as it is to be typed to mean the project that this one was given."""
    place = click.get_current_context().find_root().obj
    return f"hopslite {words}" if place is None else f"hopslite {words} --project {shlex.quote(place)}"


def as_json(function: F) -> F:
    return click.option("--json", "is_json", is_flag=True, help="For programs: one JSON document.")(function)


def project_option(function: F) -> F:
    """`--project` after the command as well as before it."""

    def keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.obj = ctx.find_root().obj = value

    option = click.option(
        "--project", metavar="URL", expose_value=False, callback=keep, is_eager=True, help="Where the runs are."
    )
    return option(click.pass_obj(function))  # type: ignore[return-value]


def say(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(json_safe(value, strict=True), indent=2))


def width() -> int:
    """How many characters a line may have."""
    if not sys.stdout.isatty():
        return FILE_WIDTH
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or FILE_WIDTH  # not $COLUMNS, which may be another's
    except OSError:
        return shutil.get_terminal_size().columns


def colour_of(state: Any) -> str | None:
    return COLOURS.get(State(state)) if str(state) in State.__members__ else None


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, elastic: Sequence[str] = (), last: Sequence[str] = ()
) -> None:
    """Write rows below their heads, as wide as the terminal; columns that say nothing are left out.

    Args:
        elastic: columns that are cut when there is no room.
        last: columns that are left out when there still is none, the first of these first.
    """
    kept = [index for index, _ in enumerate(head) if any(row[index] for row in rows)] if rows else range(len(head))
    columns = {head[index]: [head[index], *(row[index] for row in rows)] for index in kept}
    available = width()
    for name in (None, *last):
        if name is not None:
            columns.pop(name, None)
        widths = {key: max(map(len, texts)) for key, texts in columns.items()}
        fixed = sum(w for key, w in widths.items() if key not in elastic)
        free = available - fixed - len(SEPARATOR) * (len(columns) - 1)
        loose = sorted((key for key in columns if key in elastic), key=widths.__getitem__)
        if free >= sum(min(widths[key], NARROWEST * 2) for key in loose):
            break
    for left, key in zip(range(len(loose), 0, -1), loose, strict=True):
        widths[key] = min(widths[key], max(free // left, NARROWEST))
        free -= widths[key]
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


def moment(seconds: float | None) -> str:
    """A time as people write it, in this machine's time zone; today's without its date."""
    if not seconds:
        return ""
    then = datetime.datetime.fromtimestamp(seconds)
    return then.strftime("%H:%M:%S" if then.date() == datetime.date.today() else "%Y-%m-%d %H:%M")


def parse_moment(text: str) -> float:
    """Seconds since the epoch of `2026-01-31`, `2026-01-31 12:00`, `today`, `yesterday` or `3d`, `12h`, `30m` ago."""
    today = datetime.datetime.combine(datetime.date.today(), datetime.time())
    if text in ("today", "yesterday"):
        return (today - datetime.timedelta(days=text == "yesterday")).timestamp()
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if ago:
        return time.time() - float(ago[1]) * DURATIONS[ago[2]]
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no date; give 2026-01-31, '2026-01-31 12:00', today, yesterday, or a time ago such as 3d, 12h"
        ) from None
