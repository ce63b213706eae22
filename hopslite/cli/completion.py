"""The command `completion`: shell completion of commands, options, names and ids of runs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion_command"]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Write the completion script of a shell: eval "$(hopslite completion bash)" in ~/.bashrc."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "hopslite", "_HOPSLITE_COMPLETE").source())
