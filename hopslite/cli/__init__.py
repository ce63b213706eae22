"""Command line `hopslite`: list, inspect, share and continue the runs of a project.

Exit codes: 0 done; 1 it could not be done, and the message says why; 2 wrong use; 3 there is no such run, trial or data
set; 130 interrupted. What is for people goes to a terminal's width; `--json` is for programs.
"""

from __future__ import annotations

import importlib
import os
import sys
from keyword import iskeyword
from typing import Any

import click

from .. import __version__
from ..core.formatting import printable
from ..core.plain_values import is_integer
from ..errors import DataSetNotFound, HopsliteError, InvalidArguments, RunInterrupted, RunNotFound
from ._options import check_command

__all__ = ["main"]

# Each in a module called like it, which is imported when the command is called, so that all answer at once.
COMMANDS = (
    "run",
    "train",
    "new",
    "ls",
    "show",
    "compare",
    "best",
    "logs",
    "tag",
    "note",
    "rm",
    "export",
    "import",
    "data",
    "attach",
    "stop",
    "resume",
    "reproduce",
    "track",
    "tensorboard",
    "ui",
    "dashboard",
    "migrate",
    "doctor",
    "ship",
    "completion",
)
ARGUMENTS = "hopslite.arguments"  # in the context's `meta`
FAILED, NOT_FOUND, INTERRUPTED = 1, 3, 130


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{name}_" if iskeyword(name) else f".{name}", __name__)
        command: click.Command = getattr(module, f"{name}_command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)  # for a command that goes on in another process
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        check_command(ctx, args, COMMANDS)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the command, with exit codes and messages for cases that Click treats as success or as errors."""
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
    """Run the command line; returns the exit code."""
    try:
        return _outcome(_cli.main(arguments, prog_name="hopslite", standalone_mode=False))
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (RunNotFound, DataSetNotFound) as error:
        return _say(error, NOT_FOUND)
    except (HopsliteError, OSError) as error:
        return _say(error, FAILED)


def _outcome(returned: Any) -> int:
    return returned if is_integer(returned) else 0


def _say(error: BaseException, code: int) -> int:
    text = error.problems[0] if isinstance(error, InvalidArguments) and len(error.problems) == 1 else str(error)
    click.echo(f"{click.style('error', fg='red', bold=True)}: {printable(text)}", err=True)
    return code
