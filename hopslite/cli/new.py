"""The command `new`: a folder with a program and its job file, made from a template."""

from __future__ import annotations

import shlex

import click

from .. import templates
from ._output import write

__all__ = ["new_command"]


class _Templates(click.Command):
    """Command whose help lists the templates."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Templates"):
            formatter.write_dl(list(templates.descriptions().items()))


@click.command("new", cls=_Templates)
@click.argument("template")
@click.argument("folder")
def new_command(template: str, folder: str) -> None:
    """Make a FOLDER from a TEMPLATE: a program, its job file, a README and tests.

    It runs as it is:

    \b
        hopslite new sklearn digits
        hopslite run digits/job.yml
    """
    names = templates.create(template, folder)
    quoted = shlex.quote(folder)
    write(f"{folder} has {', '.join(names)}")
    write(f"run it with: hopslite run {quoted}/job.yml")
    write(f"its parameters: hopslite run {quoted}/job.yml --help")
