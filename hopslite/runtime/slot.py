"""One Spark task that stays: it asks the driver for trials and runs them one after the other."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

from ..store import RunDir
from ..store.filesystems import forget_connections
from ._inline_runner import InlineRunner
from ._process_runner import ProcessRunner, preset
from .job import Job
from .link import Link

__all__ = ["serve"]

BEAT_SECONDS = 2.0


def serve(link: Link, job: Job, gpus: list[str] | None) -> None:
    """Run trials as the driver sends them until it says `exit` or the channel closes.

    Messages to the driver: `ready`, `started`, `report`, `output`, `sample`, `ended`, `beat`; from it: `run`, `stop`
    (at the next report), `kill`, `exit`. For members of a distributed trial also `reserve`, answered by `reserved` with
    the port that is held; `probe`, answered by `probed`: whether the framework listens there; and, between a member's
    `done` and its `ended`, `release`.

    Args:
        gpus: addresses of the GPUs that trials here may use; None leaves `CUDA_VISIBLE_DEVICES` as it is.
    """
    with _reaching(job):
        _check_run_directory(job)
        _serve(link, job, gpus)


def _serve(link: Link, job: Job, gpus: list[str] | None) -> None:
    environment = {"ML_ID": job.run_id}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    environment |= preset(job)
    runner = ProcessRunner if job.isolation == "process" else InlineRunner
    with _beating(link):
        slot = runner(link, job, environment)
        try:
            with contextlib.suppress(EOFError, OSError):
                link.send({"type": "ready"})
                slot.loop()
        finally:
            slot.close()


@contextlib.contextmanager
def _reaching(job: Job) -> Iterator[None]:
    """Reach remote file systems as the driver does; what this machine has set counts. Spark uses this process again."""
    missing = {name: value for name, value in job.access.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        if missing:
            forget_connections()
        for name in missing:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _beating(link: Link) -> Iterator[None]:
    """Tell the driver that this slot is alive, also while it copies files or runs a trial itself."""
    closing = threading.Event()

    def beat() -> None:
        with contextlib.suppress(OSError):
            while not closing.wait(BEAT_SECONDS):
                link.send({"type": "beat"})

    threading.Thread(target=beat, name="hopslite-beat", daemon=True).start()
    try:
        yield
    finally:
        closing.set()


def _check_run_directory(job: Job) -> None:
    run = RunDir(f"{job.project}/Experiments/{job.run_id}")
    if not run.exists("run.json"):
        raise FileNotFoundError(
            f"{run.url} is not visible on {socket.gethostname()}: the project directory must be on a file system that "
            "the driver and all executors share"
        )
