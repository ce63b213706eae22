"""The command `attach`: output of a detached run, until its end."""

from __future__ import annotations

import socket
import time
from typing import Any

import click

from ..core.types import State
from ..errors import HopsliteError
from ..runs.lookup import find, read, state_of
from ..storage.driver_lease import has_live_driver
from ..storage.records import json_object
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ._detach import RECORD, log_of
from ._options import RUN, home, project_option
from ._output import command, write
from .logs import size_of

__all__ = ["attach_command"]

LOCAL_SECONDS, REMOTE_SECONDS = 0.25, 2.0
LAST_SECONDS = 1.0  # without output after a run's end, for the table that its driver writes last
INTERRUPTED = 130


@click.command("attach")
@click.argument("run", type=RUN)
@project_option
def attach_command(place: str | None, run: str) -> int:
    """Show the output of a detached run, from its beginning to its end, as if it was started here.

    Ctrl-C ends only this command; the run goes on. The exit code is that of the run.
    """
    project = home(place)
    directory = find(project, run)
    run_id = directory.url.rpartition("/")[2]
    log = log_of(directory)
    if log is None:
        raise HopsliteError(_why_none(directory, run_id))
    try:
        _follow(directory, RunDir(log.rpartition("/")[0]), log.rpartition("/")[2])
    except KeyboardInterrupt:
        write(f"\nrun {run_id} goes on: {command(f'attach {run_id}')}", err=True)
        return 0
    loaded = read(project, directory)
    if loaded.state is State.KILLED:
        write(f"run {run_id} is KILLED: {loaded.error}", err=True)
    if loaded.state in (State.STOPPED, State.KILLED):
        return INTERRUPTED
    return 1 if loaded.state is State.FAILED or loaded.counts.get(State.FAILED) else 0


def _why_none(directory: RunDir, run_id: str) -> str:
    record: dict[str, Any] = json_object(directory.read_many([RECORD])[0]) or {}
    hint = f"{command(f'logs -f {run_id}')} shows a trial's output, {command(f'show {run_id}')} all trials"
    host = record.get("host")
    if host is None:
        return f"run {run_id} was not started with --detach: its output is where it was started; {hint}"
    if host != socket.gethostname():
        return f"the output of run {run_id} is on {host:.60}, where it was started, until it ends; {hint}"
    return f"the output of run {run_id} is gone from this machine; {hint}"


def _follow(directory: RunDir, folder: RunDir, name: str) -> None:
    seconds = LOCAL_SECONDS if folder.is_local and directory.is_local else REMOTE_SECONDS
    written, quiet_since = 0, time.monotonic()
    while True:
        is_over = _is_over(directory)
        if size_of(folder, name) > written:  # stores refuse to read from the end of a file
            content = folder.read_bytes(name, written)
            click.echo(content, nl=False)
            written, quiet_since = written + len(content), time.monotonic()
        elif is_over and time.monotonic() - quiet_since > LAST_SECONDS:
            return
        time.sleep(seconds)


def _is_over(directory: RunDir) -> bool:
    """True if a run has ended and its driver works on it no more."""
    record = record_in(directory)
    return record is not None and state_of(directory, record).final and has_live_driver(directory) is not True
