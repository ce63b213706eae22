"""Detached commands: a command that goes on in a process of its own, which no terminal ends."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Mapping
from typing import Any

import click

from ..driver.reservation import Turn, current_turn
from ..storage.machine_cache import state_folder
from ..storage.run_directory import RunDir
from ..submission.detached import start_detached
from . import ARGUMENTS
from ._output import command, write

__all__ = ["LOG", "RECORD", "detach", "is_detached", "log_of", "runs_folder", "turn_of"]

RECORD, LOG = "detached.json", "driver.log"  # in the run's directory
KEPT_SECONDS = 30 * 24 * 3600  # for the output of runs of remote projects on this machine


def is_detached() -> bool:
    """True in the process that carries out a detached command."""
    return current_turn() is not None


def turn_of(is_queued: bool) -> Turn | None:
    """Order in which the run of this command comes, if it is detached or queued."""
    turn = current_turn()
    return dataclasses.replace(turn or Turn(), is_queued=True) if is_queued else turn


def detach() -> int:
    """Carry out this command in a process of its own; returns when its run is recorded, or with its error."""
    started = start_detached(click.get_current_context().find_root().meta[ARGUMENTS])
    if started.reserved is None:
        click.echo(started.output, nl=False, err=True)
        return started.code
    _show(started.reserved)
    return 0


def _show(reserved: Mapping[str, Any]) -> None:
    run_id = str(reserved["run_id"])
    write(run_id)
    ahead = reserved["ahead"]
    waits = f" after the {'run' if ahead == 1 else f'{ahead} runs'} before it in the queue" if ahead else ""
    write(f"{reserved['name']} version {reserved['version']} goes on by itself{waits}:", err=True)
    for words, effect in (("attach", "shows its output"), ("show", "its trials"), ("stop", "ends it")):
        write(f"  {command(f'{words} {run_id}'):<60}  {effect}", err=True)


def runs_folder() -> str:
    """Folder for the output of runs whose projects are on another machine; old files are removed."""
    folder = os.path.join(state_folder(), "runs")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if time.time() - os.stat(path).st_mtime > KEPT_SECONDS:
                os.unlink(path)
    return folder


def log_of(run: RunDir) -> str | None:
    """Path or URL of the output of a detached run that can be read here; None if there is none."""
    if run.exists(LOG):
        return run.path(LOG)
    path = os.path.join(runs_folder(), f"{run.url.rpartition('/')[2]}.log")
    return path if os.path.exists(path) else None
