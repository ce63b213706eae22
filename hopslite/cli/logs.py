"""The command `logs`: output of a trial, also while it runs."""

from __future__ import annotations

import time

import click

from ..core.types import LOG_NAME
from ..errors import RunNotFound
from ..result import Run
from ..runs.lookup import find, read, trial_of
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ._options import RUN, home, project_option

__all__ = ["logs_command", "size_of"]

PIECE = 1 << 20
LOCAL_SECONDS, REMOTE_SECONDS = 0.25, 2.0
CHECKED_SECONDS = 2.0  # between two checks for the trial's end


@click.command("logs")
@click.argument("run", type=RUN)
@click.argument("trial", default="best")
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial ends.")
@click.option("-n", "lines", type=click.IntRange(0), help="Only the last lines.")
@click.option("--member", metavar="NAME", help="Of a distributed trial: chief_0, worker_1, ps_0, …")
@project_option
def logs_command(place: str | None, run: str, trial: str, follow: bool, lines: int | None, member: str | None) -> None:
    """Write the output of a TRIAL of a run; default: that of the best, or the only one."""
    project = home(place)
    directory = find(project, run)
    loaded = _with_trial(project, directory) if follow else read(project, directory)
    if trial == "best" and not loaded._chosen and len(loaded.trials) == 1:
        trial = loaded.trials[0].id
    chosen = trial_of(loaded, trial)
    logs = RunDir(chosen.logdir)
    name = f"{member}_{LOG_NAME}" if member else chosen.log
    there = sorted(entry for entry in logs.list() if entry.endswith(LOG_NAME))
    if name not in there and there and not (follow and not member):
        raise RunNotFound(f"trial {chosen.id} has no {name}; it has {', '.join(there)}")
    size = size_of(logs, name)
    begin = 0 if lines is None else _beginning(logs, name, size, lines)
    _write(logs, name, begin, size)
    if follow:
        _follow(project, directory, chosen.id, logs, name, size)
    elif name not in there:
        click.echo(f"trial {chosen.id} is {chosen.state} and has printed nothing", err=True)


def _with_trial(project: Project, directory: RunDir) -> Run:
    """The run, once it has a trial, unless it ends without: it may wait for its turn, or for Spark."""
    while True:
        run = read(project, directory)
        if run.trials or run.state.final:
            return run
        time.sleep(LOCAL_SECONDS if directory.is_local else REMOTE_SECONDS)


def size_of(logs: RunDir, name: str) -> int:
    """Size of a file in bytes; 0 if it is missing."""
    try:
        return int(logs.fs.size(f"{logs.url}/{name}" if logs.is_local else logs.path(name)) or 0)
    except FileNotFoundError:
        return 0


def _write(logs: RunDir, name: str, begin: int, size: int) -> None:
    """Write a part of a log piecewise, since it may not fit into memory."""
    for at in range(begin, size, PIECE):
        click.echo(logs.read_bytes(name, at, min(at + PIECE, size)), nl=False)


def _beginning(logs: RunDir, name: str, size: int, lines: int) -> int:
    """Offset of the last lines."""
    if lines == 0:
        return size
    at, left = size, lines
    while at > 0:
        first = max(0, at - PIECE)
        data = logs.read_bytes(name, first, at)
        end = len(data) - (at == size and data.endswith(b"\n"))
        while (end := data.rfind(b"\n", 0, end)) >= 0:
            left -= 1
            if left == 0:
                return first + end + 1
        at = first
    return 0


def _follow(project: Project, directory: RunDir, trial_id: str, logs: RunDir, name: str, written: int) -> None:
    checked = 0.0
    while True:
        is_over = False
        if time.monotonic() - checked > CHECKED_SECONDS:
            now = read(project, directory)
            is_over = trial_of(now, trial_id).state.final or now.state.final
            checked = time.monotonic()
        size = size_of(logs, name)
        _write(logs, name, written, size)
        written = max(written, size)
        if is_over:
            return
        time.sleep(LOCAL_SECONDS if logs.is_local else REMOTE_SECONDS)
