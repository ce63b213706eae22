"""Directories of a trial that runs in the driver's process, and the transfer of its files to the run directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

from ..core.types import Spec
from ..executor import program_folder
from ..executor.context import TrialContext
from ..executor.disk_probe import retry_until_writable
from ..executor.job_spec import Job
from ..executor.trial_log import LOG
from ..executor.trial_process import DirectoriesUnavailable, check_run_exists
from ..executor.upload import mirrored_checkpoints
from ..storage.run_directory import RunDir

__all__ = ["trial_directories"]


@contextlib.contextmanager
def trial_directories(
    job: Job, spec: Spec, on_wait: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[TrialContext, list[str]]]:
    """The trial's context, and a list that receives warnings about files that could not be kept.

    Args:
        on_wait: called with the reason each time files have to wait for free space; True ends the wait.

    Raises:
        OSError: the directories cannot be created; `DirectoriesUnavailable` where the run's store is at fault.
    """
    run = RunDir(spec.logdir)
    check_run_exists(run)
    scratch = tempfile.mkdtemp(prefix="hopslite-")
    directory = run.url if run.is_local else f"{scratch}/trial"
    logdir = f"{scratch}/logdir" if job.local_logdir else directory
    for path in (directory, logdir):
        os.makedirs(path, exist_ok=True)
    mirror, problems = None, list[str]()
    try:
        log = os.path.join(directory, LOG)
        try:
            checkpoints, mirror = mirrored_checkpoints(
                spec, run, directory, scratch, job.sync_interval, job.storage_patience
            )
        except OSError as error:
            raise DirectoriesUnavailable(str(error)) from error
        program = os.path.join(scratch, "program")
        yield (
            TrialContext(job.run_id, spec.trial_id, directory, logdir, log, checkpoints, job.project, program),
            problems,
        )
        if logdir != directory:
            retry_until_writable(
                lambda: shutil.copytree(logdir, directory, dirs_exist_ok=True),
                os.path.dirname(directory),
                job.storage_patience,
                on_wait,
            )
    finally:
        try:
            folder = os.path.dirname(directory)
            problems += retry_until_writable(
                lambda: program_folder.collect_files(os.path.join(scratch, "program"), directory),
                folder,
                job.storage_patience,
                on_wait,
            )
            if mirror:
                mirror.finish(on_wait)
            shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            problems.append(f"files could not be kept ({error}); they are in {scratch}")
