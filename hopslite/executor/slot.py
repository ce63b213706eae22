"""A slot: a long-lived Spark task that runs trials of the driver, one after another."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..channel.heartbeat import HEARTBEAT_SECONDS
from ..channel.interface import DriverConnection
from ..serialization.broadcasts import broadcast_environment
from ..storage.fs.urls import forget_connections
from ..storage.run_directory import RunDir
from .disk_probe import retry_until_writable
from .gpu_memory import memory_growth
from .job_spec import Job
from .process_runner import ProcessRunner, preset_environment
from .workdir import scratch_disk

if TYPE_CHECKING:
    from .inline_runner import InlineRunner

__all__ = ["remote_access", "serve"]

RETRY_SECONDS = 2.0  # between two attempts to reach a store


def serve(driver: DriverConnection, job: Job, gpus: list[str] | None, trials_per_gpu: int = 1) -> None:
    """Run trials as the driver sends them, until it sends `exit` or the channel closes.

    Messages to the driver: `ready`, `started`, `report`, `output`, `sample`, `ask` (a trial waits for the `answer`),
    `ended`, `beat`; from it: `run`, `answer`, `stop` (at the next report), `kill`, `exit`. For members of a distributed
    trial also `reserve`, answered by `reserved` with the port; `probe`, answered by `probed`: whether the framework
    listens there; and, between a member's `done` and its `ended`, `release`.

    Args:
        gpus: addresses of the GPUs that trials here may use; None leaves `CUDA_VISIBLE_DEVICES` as it is.
        trials_per_gpu: how many slots use a GPU together.
    """
    with remote_access(job), _heartbeats(driver):
        _check_run_directory(job)
        _serve(driver, job, gpus, trials_per_gpu)


def _serve(driver: DriverConnection, job: Job, gpus: list[str] | None, trials_per_gpu: int) -> None:
    environment = {**job.environment, "ML_ID": job.run_id}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if gpus and trials_per_gpu > 1:
        environment |= memory_growth({**os.environ, **environment})
    environment |= preset_environment(job)
    environment |= broadcast_environment((job.spark_task or {}).get("broadcasts", {}))
    runner = retry_until_writable(lambda: _runner(driver, job, environment), scratch_disk(), job.storage_patience)
    try:
        with contextlib.suppress(EOFError, OSError):
            driver.send({"type": "ready"})
            runner.loop()
    finally:
        runner.close()


def _runner(driver: DriverConnection, job: Job, environment: dict[str, str]) -> ProcessRunner | InlineRunner:
    if job.isolation == "process":
        return ProcessRunner(driver, job, environment)
    from .inline_runner import InlineRunner  # imported late: a slot does not wait for a runner that it does not use

    return InlineRunner(driver, job, environment)


@contextlib.contextmanager
def remote_access(job: Job) -> Iterator[None]:
    """Set the driver's variables for remote file systems that this machine has not set, while the block lasts.

    Spark uses this process again, also for other programs.
    """
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
def _heartbeats(driver: DriverConnection) -> Iterator[None]:
    """Send heartbeats to the driver, also while this slot copies files or runs a trial itself."""
    closing = threading.Event()

    def send_heartbeats() -> None:
        with contextlib.suppress(OSError):
            while not closing.wait(HEARTBEAT_SECONDS):
                driver.send({"type": "beat"})

    threading.Thread(target=send_heartbeats, name="hopslite-beat", daemon=True).start()
    try:
        yield
    finally:
        closing.set()


def _run_exists(run: RunDir, patience: float) -> bool:
    """True if this machine sees the run directory; a store that does not answer is asked again."""
    give_up_at = time.monotonic() + patience
    while True:
        try:
            return run.exists("run.json")
        except OSError:
            if time.monotonic() + RETRY_SECONDS > give_up_at:
                raise
        time.sleep(RETRY_SECONDS)


def _check_run_directory(job: Job) -> None:
    run = RunDir(job.run_url)
    if not _run_exists(run, job.storage_patience):
        raise FileNotFoundError(
            f"{run.url} is not visible on {socket.gethostname()}: the project directory must be on a file system that "
            "the driver and all executors share"
        )
