"""The command `track`: delivers runs to MLflow and TensorBoard."""

from __future__ import annotations

import click

from ..core import plugins
from ..core.settings import Settings
from ..runs.lookup import find
from ..storage.run_directory import RunDir
from ._options import RUN, home, project_option

__all__ = ["track_command"]


@click.command("track")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=RUN)
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="The MLflow server; default: what hopslite.toml and the environment say, else where the run was told before.",
)
@project_option
def track_command(place: str | None, runs: tuple[str, ...], tracking_uri: str | None) -> int:
    """Tell MLflow and TensorBoard of runs. Doing so again changes nothing."""
    import os

    from ..track.__main__ import main

    project = home(place)
    directories: list[RunDir] = [find(project, run) for run in runs]
    settings = Settings.load(project=place, tracking_uri=tracking_uri)
    if not settings.tracks:
        click.echo(f"MLflow is told nothing: tracking_uri is {settings.tracking_uri!r}", err=True)
        others = [f"--tracker={name}" for name in plugins.names("track") if name != "mlflow"]
        return max(main([directory.url, *others]) for directory in directories)
    if settings.tracking_uri:  # not among the arguments: it may hold a password
        os.environ["MLFLOW_TRACKING_URI"] = settings.tracking_uri
    return max(main([directory.url]) for directory in directories)
