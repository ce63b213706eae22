"""The command `tensorboard`: TensorBoard on runs."""

from __future__ import annotations

import re

import click

from ..core import extras
from ..errors import HopsliteError
from ..runs.lookup import find
from ..storage.run_records import record_in
from ._browser import START_SECONDS, browser_option, free_port, open_page, until_interrupted
from ._options import RUN, home, project_option

__all__ = ["tensorboard_command"]

TENSORBOARD_PORT = 6006


@click.command("tensorboard")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=RUN)
@click.option("--port", type=click.IntRange(1, 65535), default=TENSORBOARD_PORT, show_default=True)
@browser_option
@project_option
def tensorboard_command(place: str | None, runs: tuple[str, ...], port: int, browser: bool) -> None:
    """Open TensorBoard on runs, wherever they are, until Ctrl-C."""
    extras.require("tensorboard", "hopslite tensorboard")
    from ..track import TensorBoardServer

    project = home(place)
    directories = [find(project, run) for run in runs]
    logdirs = {}
    for directory in directories:
        record = record_in(directory) or {}
        name = re.sub(r"[^\w.-]+", "_", f"{record.get('name', 'run')}-{record.get('version', 0)}").lstrip(".")
        logdirs[name if name not in logdirs else directory.url.rpartition("/")[2]] = directory.url
    troubles: list[str] = []
    port = free_port(port)
    with until_interrupted() as ended:
        server = TensorBoardServer(
            logdirs if len(logdirs) > 1 else next(iter(logdirs.values())), on_warning=troubles.append, port=port
        )
        try:
            url = server.url(START_SECONDS)
            if url is None:
                raise HopsliteError(troubles[0] if troubles else "TensorBoard did not respond")
            click.echo("Ctrl-C ends it", err=True)
            open_page(url, browser)
            ended.wait()
        finally:
            server.close()
