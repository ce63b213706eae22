"""The command `hopslite`: what there is in a project, and what can be done with it, from a terminal.

Exit codes: 0 done; 1 it could not be done, and the message says why; 2 wrong use; 3 there is no such run or trial;
130 interrupted. What is for people goes to a terminal's width; `--json` is for programs.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any

import click

from .. import __version__
from ..errors import HopsliteError, InvalidArguments, RunInterrupted, RunNotFound

__all__ = ["main"]

# Where each command is; none is imported before it is called, so that all answer at once.
COMMANDS = {
    "run": "_run",
    "ls": "_ls",
    "show": "_show",
    "compare": "_compare",
    "best": "_show",
    "logs": "_logs",
    "tag": "_change",
    "note": "_change",
    "rm": "_change",
    "export": "_archive",
    "import": "_archive",
    "resume": "_go",
    "reproduce": "_reproduce",
    "track": "_go",
    "tensorboard": "_serve",
    "ui": "_serve",
    "doctor": "_doctor",
    "completion": "_completion",
}
FAILED, NOT_FOUND, INTERRUPTED = 1, 3, 130


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[name]}", __name__)
        command: click.Command = getattr(module, f"{name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 2)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"commands: {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As usual, but for what Click would take for an end without a word, or for a failure."""
        try:
            return super().invoke(ctx)
        except RunInterrupted as interrupted:
            click.echo(str(interrupted), err=True)
            return INTERRUPTED
        except BrokenPipeError:  # as of `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, "-V", "--version", message="hopslite %(version)s")
@click.option("--project", metavar="URL", help="Where the runs are; default: HOPSLITE_PROJECT or ./hopslite_project.")
@click.pass_context
def _cli(ctx: click.Context, project: str | None) -> None:
    """Runs of hopslite: list, compare, follow, resume and share them.

    RUN is the id of a run or the beginning of one, a NAME (its newest version), NAME/VERSION, or a run's directory.
    """
    ctx.obj = project


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    try:
        return _outcome(_cli.main(arguments, prog_name="hopslite", standalone_mode=False))
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RunNotFound as error:
        return _say(error, NOT_FOUND)
    except (HopsliteError, OSError) as error:
        return _say(error, FAILED)


def _outcome(returned: Any) -> int:
    return returned if isinstance(returned, int) and not isinstance(returned, bool) else 0


def _say(error: BaseException, code: int) -> int:
    text = error.problems[0] if isinstance(error, InvalidArguments) and len(error.problems) == 1 else str(error)
    click.echo(f"{click.style('error', fg='red', bold=True)}: {text}", err=True)
    return code
