"""Commands that go on: `resume` with a run, `track` with telling MLflow and TensorBoard of it."""

from __future__ import annotations

from typing import Any

import click

from .. import _plugins
from .._past import record_of
from .._runs import find
from .._trial import State
from ..config import Settings
from ..errors import RunNotFound
from ..pool._session import session
from ..store import RunDir
from ._common import RUN, home, project_option

__all__ = ["resume_command", "track_command"]


@click.command("resume")
@click.argument("run", type=RUN)
@click.option("--retry-failed", is_flag=True, help="Run trials that failed once more.")
@click.option("--parallelism", type=click.IntRange(1), help="How many trials at a time.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For the rest of it.")
@click.option("--master", metavar="URL", help="Spark's; default: what spark-defaults.conf says, or local[*].")
@project_option
def resume_command(
    place: str | None,
    run: str,
    retry_failed: bool,
    parallelism: int | None,
    timeout: float | None,
    master: str | None,
) -> int:
    """Go on with a run that broke off. What had finished is not run again."""
    from .. import experiment

    directory = find(home(place), run)
    project, _, run_id = directory.url.rpartition("/Experiments/")
    if not project:
        raise RunNotFound(f"{directory.shown} is in no project: only a run below a folder Experiments can go on")
    state = (record_of(directory.read_many(["run.json"])[0]) or {}).get("state")
    if state == State.FINISHED.value and not retry_failed:
        click.echo(f"run {run_id} has finished; nothing is left to do")
        return 0
    given = {"parallelism": parallelism, "timeout": timeout}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if master is not None:
        options["spark"] = session(master=master)
    experiment.resume(run_id, project=project, retry_failed=retry_failed, **options)
    return 0


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
    found: list[RunDir] = [find(project, run) for run in runs]
    settings = Settings.load(project=place, tracking_uri=tracking_uri)
    if not settings.tracks:
        click.echo(f"MLflow is told nothing: tracking_uri is {settings.tracking_uri!r}", err=True)
        others = [f"--tracker={name}" for name in _plugins.names("track") if name != "mlflow"]
        return max(main([directory.url, *others]) for directory in found)
    if settings.tracking_uri:  # not among the arguments: it may hold a password
        os.environ["MLFLOW_TRACKING_URI"] = settings.tracking_uri
    return max(main([directory.url]) for directory in found)
