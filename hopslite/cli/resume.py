"""The command `resume`: resumes a run."""

from __future__ import annotations

import functools
from typing import Any

import click

from ..core.types import State
from ..driver.reservation import with_turn
from ..errors import RunNotFound
from ..runs import history
from ..runs.lookup import find
from ..storage.run_records import record_in
from ..submission.environment import env_option, variables
from ..submission.options import command_options
from ..submission.verb_call import LazySession
from ._detach import detach, is_detached, turn_of
from ._options import RUN, home, project_option

__all__ = ["resume_command"]


@click.command("resume")
@click.argument("run", type=RUN)
@click.option("--retry-failed", is_flag=True, help="Run trials that failed once more.")
@click.option("--parallelism", type=click.IntRange(1), help="How many trials at a time.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For the rest of it.")
@click.option("--master", metavar="URL", help="Spark's; default: what spark-defaults.conf says, or local[*].")
@functools.partial(command_options, only=("detach", "queue"))
@env_option
@click.option("--trust-plan", is_flag=True, help="Run the code that came with the archive of an imported run.")
@project_option
def resume_command(
    place: str | None,
    run: str,
    retry_failed: bool,
    parallelism: int | None,
    timeout: float | None,
    master: str | None,
    trust_plan: bool,
    environment: tuple[str, ...],
    **turn: bool | None,
) -> int:
    """Resume a run that was interrupted. Finished trials are not run again.

    Variables that `hopslite run` was given, and secret parameters such as a token, are in no record: give them again
    with --env, or set them here.
    """
    from .. import experiment

    directory = find(home(place), run)
    project, _, run_id = directory.url.rpartition("/Experiments/")
    if not project:
        raise RunNotFound(f"{directory.shown} is in no project: only a run below a folder Experiments can go on")
    if trust_plan:
        history.trust_plan(directory)
    state = (record_in(directory) or {}).get("state")
    if state == State.FINISHED.value and not retry_failed:
        click.echo(f"run {run_id} has finished; nothing is left to do")
        return 0
    if turn["detach"] and not is_detached():
        return detach()
    overrides = {"parallelism": parallelism, "timeout": timeout, "env": variables(environment) or None}
    options: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    if master is not None:
        options["spark"] = LazySession(master)
    with with_turn(turn_of(bool(turn["queue"]))):
        experiment.resume(run_id, project=project, retry_failed=retry_failed, **options)
    return 0
