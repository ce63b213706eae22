"""Actions of the pages on runs: stop, resume."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from typing import IO

from ..core.formatting import one_line
from ..core.types import State
from ..errors import HopsliteError
from ..runs.history import IN_DRIVER, resumable
from ..runs.lookup import state_of
from ..storage.driver_lease import newest_session
from ..storage.machine_cache import state_folder
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ..storage.stop_requests import request_stop
from ..track._interpreter import boot
from .feeds import in_thread

__all__ = ["resume", "stop"]

LOG = "driver.log"  # in the run's directory, as for detached runs
WATCHED_SECONDS = 10.0  # for which a driver that ends at once is noticed
POLL_SECONDS = 0.2


async def stop(run: RunDir, trial: str | None = None) -> None:
    """Ask the driver of a run to stop it, or one of its trials.

    Raises:
        HopsliteError: it cannot be stopped; the message says why.
        OSError: its directory cannot be written.
    """
    await in_thread(_stop, run, trial)


def _stop(run: RunDir, trial: str | None) -> None:
    record = record_in(run) or {}
    state = state_of(run, record)
    if state.final:
        raise HopsliteError(f"it is {state}: nothing is left to stop")
    if record.get("verb") == IN_DRIVER:
        raise HopsliteError("it is around code of a program (start_run), which only that program can end")
    request_stop(run, newest_session(run), trial)


async def resume(project: Project, run: RunDir) -> str | None:
    """Resume a run in a process of its own, which goes on when the dashboard ends.

    Returns:
        The last line of its output if it has ended within seconds, otherwise None.

    Raises:
        HopsliteError: the run cannot be resumed.
        OSError: the process cannot be started.
    """
    process, log = await in_thread(_start, project, run)
    until = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        if process.poll() is not None:
            return await in_thread(_last_line, log) if process.returncode else None
    return None


def _start(project: Project, run: RunDir) -> tuple[subprocess.Popen[bytes], str]:
    run_id = run.url.rpartition("/")[2]
    resumable(project, run_id)
    state = state_of(run, record_in(run) or {})
    if not state.final or state is State.FINISHED:
        raise HopsliteError(f"it is {state}: there is nothing to resume")
    log = run.path(LOG) if run.is_local else os.path.join(_remote_logs(), f"{run_id}.log")
    with open(log, "ab", opener=_private) as output:
        return _process(project, run_id, output), log


def _process(project: Project, run_id: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        boot("hopslite.cli", "resume", run_id),
        env={**os.environ, "HOPSLITE_PROJECT": project.url},  # not an argument: it may hold a password
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _remote_logs() -> str:
    folder = os.path.join(state_folder(), "runs")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def _last_line(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[-1]) if lines else "it ended without a message"
