"""The command `logs`: what a trial has written, also while it goes on."""

from __future__ import annotations

import time

import click

from .._runs import find, read, trial_of
from .._trial import State
from ..errors import RunNotFound
from ..store import Project, RunDir
from ._common import RUN, home, project_option

__all__ = ["logs_command"]

PIECE = 1 << 20
LOCAL_SECONDS, REMOTE_SECONDS = 0.25, 2.0
CHECKED_SECONDS = 2.0  # between two looks whether the trial has ended


@click.command("logs")
@click.argument("run", type=RUN)
@click.argument("trial", default="best")
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial ends.")
@click.option("-n", "lines", type=click.IntRange(0), help="Only the last lines.")
@click.option("--member", metavar="NAME", help="Of a distributed trial: chief_0, worker_1, ps_0, …")
@project_option
def logs_command(place: str | None, run: str, trial: str, follow: bool, lines: int | None, member: str | None) -> None:
    """Write what a TRIAL of a run has printed; default: that of the best, or the only one."""
    project = home(place)
    directory = find(project, run)
    found = read(project, directory)
    if trial == "best" and found.best_trial is None and len(found.trials) == 1:
        trial = found.trials[0].id
    chosen = trial_of(found, trial)
    logs = RunDir(chosen.logdir)
    name = f"{member}_output.log" if member else chosen.log
    there = sorted(each for each in logs.list() if each.endswith("output.log"))
    if name not in there and there and not (follow and not member):
        raise RunNotFound(f"trial {chosen.id} has no {name}; it has {', '.join(there)}")
    size = _size(logs, name)
    begin = 0 if lines is None else _beginning(logs, name, size, lines)
    _write(logs, name, begin, size)
    if follow:
        _follow(project, directory, chosen.id, logs, name, size)
    elif name not in there:
        click.echo(f"trial {chosen.id} is {chosen.state} and has printed nothing", err=True)


def _size(logs: RunDir, name: str) -> int:
    try:
        return int(logs.fs.size(f"{logs.url}/{name}" if logs.is_local else logs.path(name)) or 0)
    except FileNotFoundError:
        return 0


def _write(logs: RunDir, name: str, begin: int, size: int) -> None:
    """A part of a log, in pieces: it may be larger than the memory."""
    for at in range(begin, size, PIECE):
        click.echo(logs.read_bytes(name, at, min(at + PIECE, size)), nl=False)


def _beginning(logs: RunDir, name: str, size: int, lines: int) -> int:
    """Where the last lines begin."""
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
            is_over = trial_of(now, trial_id).state.final or now.state is not State.RUNNING
            checked = time.monotonic()
        size = _size(logs, name)
        _write(logs, name, written, size)
        written = max(written, size)
        if is_over:
            return
        time.sleep(LOCAL_SECONDS if logs.is_local else REMOTE_SECONDS)
