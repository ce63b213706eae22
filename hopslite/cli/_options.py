"""Arguments and options shared by commands: project, runs, times, JSON."""

from __future__ import annotations

import datetime
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..core import gpu_shares
from ..core.settings import Settings
from ..core.suggestions import did_you_mean
from ..storage.project import Project

__all__ = ["GPUS", "RUN", "agreed", "as_json", "check_command", "home", "parse_moment", "project_option"]

F = TypeVar("F", bound=Callable[..., Any])
DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class _Run(click.ParamType):  # type: ignore[type-arg]
    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from ..storage.run_uris import names_of_runs

        try:
            project = home(ctx.find_root().params.get("project"))
            known = [*names_of_runs(project), *reversed(project.runs())]
        except Exception:  # noqa: BLE001 - nobody wants an error for a tab key
            return []
        return [CompletionItem(completion) for completion in known if completion.startswith(incomplete)]


class _Gpus(click.ParamType):  # type: ignore[type-arg]
    name = "gpus"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if reason := gpu_shares.problem(amount):
            self.fail(f"{value}: {reason}", param, ctx)
        return int(amount) if amount == int(amount) else amount


GPUS, RUN = _Gpus(), _Run()


def check_command(ctx: click.Context, arguments: Sequence[str], commands: Sequence[str]) -> None:
    """End with a hint if the first of some arguments is no command."""
    if arguments and arguments[0] not in commands and not arguments[0].startswith("-"):
        hint = did_you_mean(arguments[0], commands, f"commands: {', '.join(commands)}", limit=2)
        ctx.fail(f"there is no command {arguments[0]!r}; {hint}")


def home(place: str | None) -> Project:
    return Project(Settings.load(project=place).project)


def as_json(function: F) -> F:
    return click.option("--json", "is_json", is_flag=True, help="For programs: one JSON document.")(function)


def project_option(function: F) -> F:
    """Option `--project` after the command as well as before it."""

    def keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.obj = ctx.find_root().obj = value

    option = click.option(
        "--project", metavar="URL", expose_value=False, callback=keep, is_eager=True, help="Where the runs are."
    )
    return option(click.pass_obj(function))  # type: ignore[return-value]


def parse_moment(text: str) -> float:
    """Parse a time: `2026-01-31`, `2026-01-31 12:00`, `today`, `yesterday`, or `3d`, `12h`, `30m` ago."""
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
            f"{text!r} is not a date; give 2026-01-31, '2026-01-31 12:00', today, yesterday, or a time ago: 3d, 12h"
        ) from None


def agreed(question: str) -> bool:
    """Ask for confirmation; without a terminal and `-y` the answer is no, Ctrl-C ends the command."""
    try:
        return click.confirm(question, err=True)
    except click.exceptions.Abort:
        click.echo(err=True)
        if not sys.stdin.isatty():
            return False
        click.echo("nothing deleted", err=True)
        raise
