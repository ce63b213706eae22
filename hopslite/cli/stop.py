"""The command `stop`: stops a run, or one of its trials."""

from __future__ import annotations

import time
from typing import Any

import click

from ..core.types import State
from ..errors import HopsliteError
from ..runs.history import IN_DRIVER
from ..runs.lookup import find, read, state_of, trial_of
from ..storage.driver_lease import has_live_driver, newest_session
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ..storage.stop_requests import request_stop
from ._options import RUN, home, project_option
from ._output import command, write

__all__ = ["stop_command"]

WAIT_SECONDS = 60.0
LOCAL_SECONDS, REMOTE_SECONDS = 0.25, 2.0  # between two looks at the run


@click.command("stop")
@click.argument("run", type=RUN)
@click.argument("trial", required=False)
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(0),
    default=WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="For the end; 0: only ask for it.",
)
@project_option
def stop_command(place: str | None, run: str, trial: str | None, seconds: float) -> int:
    """Stop a run, wherever it goes on, or one of its TRIALs, after which the run goes on.

    Trials end at their next report, or when they have had time to save what they have (stop_grace, 10 seconds). The run
    is then STOPPED; hopslite resume goes on with it.
    """
    project = home(place)
    directory = find(project, run)
    chosen = None if trial is None else trial_of(read(project, directory), trial).id
    state, shown = _state(project, directory, chosen)
    if state.final:
        click.echo(f"{shown} is {state}: nothing is left to stop", err=True)
        return 0
    record = record_in(directory) or {}
    if record.get("verb") == IN_DRIVER:
        raise HopsliteError(
            f"run {shown} is around code of a program (start_run), which only that program can end; {_holder(record)}"
        )
    request_stop(directory, newest_session(directory), chosen)
    write(f"asked {shown} to stop", err=True)
    return _wait(project, directory, chosen, shown, seconds) if seconds else 0


def _holder(record: dict[str, Any]) -> str:
    name = record.get("program") or "it"
    return f"end {name}, for example with Ctrl-C"


def _state(project: Project, directory: RunDir, trial: str | None) -> tuple[State, str]:
    """State of the run or the trial, and a name for messages."""
    run_id = directory.url.rpartition("/")[2]
    if trial is not None:
        return trial_of(read(project, directory), trial).state, f"trial {trial} of run {run_id}"
    record = record_in(directory)
    return (read(project, directory).state if record is None else state_of(directory, record)), f"run {run_id}"


def _wait(project: Project, directory: RunDir, trial: str | None, shown: str, seconds: float) -> int:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(LOCAL_SECONDS if directory.is_local else REMOTE_SECONDS)
        state, _ = _state(project, directory, trial)
        if state.final:
            write(f"{shown} is {state}")
            return 0
    elsewhere = "; its driver is on another machine and may be gone" if has_live_driver(directory) is None else ""
    raise HopsliteError(
        f"{shown} has not ended within {seconds:g} s{elsewhere}. The request stays: "
        f"{command('show ' + directory.url.rpartition('/')[2])}"
    )
