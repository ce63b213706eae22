"""A trial's process from the slot's side: its directories, its limits, and its end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from ..core.types import Result, Spec, State
from ..errors import StoreError
from ..storage.run_directory import RunDir
from . import program_folder
from .context import TrialContext
from .disk_probe import retry_until_writable
from .fork_server import ForkServer
from .job_spec import Job
from .reporter import ReportSummary
from .system_metrics import Sampler, kernel_oom_kills
from .trial_log import LOG, LogTail
from .upload import mirrored_checkpoints
from .workdir import WorkDir

__all__ = [
    "DirectoriesUnavailable",
    "KILL_SECONDS",
    "NEVER",
    "RunningTrial",
    "TrialDirectories",
    "check_run_exists",
    "with_warnings",
]

STACK_DUMP_SECONDS = 1.0  # between the request for a stack trace and the kill of a trial that is out of time
NEVER = float("inf")
KILL_SECONDS = 5.0  # for a trial's process to kill a program that does not end
FORK_SECONDS = 30.0  # for the fork server to fork a trial that is to end; then the fork server is killed
OUT_OF_TIME = ("timeout", "silent", "stopped")


class DirectoriesUnavailable(StoreError):
    """A trial's directories could not be created, or its checkpoints could not be fetched."""


def check_run_exists(trial: RunDir) -> None:
    """Refuse to recreate a run that was deleted, or to write where a file system is not mounted.

    Raises:
        DirectoriesUnavailable: the trial's run has no directory.
    """
    run = os.path.dirname(os.path.dirname(trial.url))
    if trial.is_local and os.path.basename(os.path.dirname(run)) == "Experiments" and not os.path.isdir(run):
        raise DirectoriesUnavailable(f"{run} is gone")


class TrialDirectories:
    """Local directories of a trial, and the transfer of its files to the run directory.

    `on_wait` is called with the reason before each wait for free space; a true return value ends the wait.
    """

    def __init__(self, job: Job, spec: Spec, work: WorkDir) -> None:
        self.run = RunDir(spec.logdir)
        self.work = work
        work.prepare()
        member = spec.part
        self._local_directory = self.run.url if self.run.is_local else os.path.join(work.root, "trial")
        self._member_directory: str | None = None  # for files that several members would otherwise overwrite
        if member and member.role not in ("chief", "evaluator"):
            self._member_directory = os.path.join(work.root, "member")
        self.directory = self._member_directory or self._local_directory
        check_run_exists(self.run)
        for folder in (self._local_directory, self.directory):
            os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(self._local_directory, f"{member.file}_{LOG}" if member else LOG)
        self._files_directory = (
            os.path.join(self._local_directory, member.file)
            if member and not member.is_chief
            else self._local_directory
        )
        logdir = work.logdir or self.directory
        checkpoints, self._mirror = mirrored_checkpoints(
            spec, self.run, self._local_directory, work.root, job.sync_interval, job.storage_patience
        )
        self._patience = job.storage_patience
        self.on_wait: Callable[[str], object] = lambda _: None
        self.context = TrialContext(
            job.run_id,
            spec.trial_id,
            self.directory,
            logdir,
            self.log,
            checkpoints,
            job.project,
            os.path.join(work.root, "program"),
        )

    def abandon(self) -> None:
        """Leave the directories empty for the next trial, when this one does not begin here after all."""
        if self._mirror:
            self._mirror.stop()
            self._remove_copied()

    def finish(self) -> list[str]:
        """Move all files into the run directory when there is room for them; returns warnings."""
        try:
            if self._mirror:  # it retries by itself
                return self._store()
            return retry_until_writable(
                self._store, os.path.dirname(self._local_directory), self._patience, self.on_wait
            )
        except (OSError, ValueError, shutil.Error) as error:
            return [f"files could not be kept ({error}); they are in {self.work.set_aside()} on {socket.gethostname()}"]

    def _store(self) -> list[str]:
        try:
            self.work.collect_files(self._files_directory, with_logdir=self._member_directory is None)
            warnings = program_folder.collect_files(self.context.program, self._files_directory)
            if self._member_directory:
                shutil.rmtree(self._member_directory, ignore_errors=True)
            if self._mirror:
                self._mirror.finish(self.on_wait)
                self._remove_copied()
            return warnings
        finally:
            if self._mirror:  # otherwise it would copy the next trial's files, which are in the same directories
                self._mirror.stop()

    def _remove_copied(self) -> None:
        """Remove the local directories of a run that is stored elsewhere."""
        for folder in (self._local_directory, self.context.checkpoints):
            shutil.rmtree(folder, ignore_errors=True)


class RunningTrial:
    """A trial that is running in a process of its own."""

    def __init__(self, job: Job, spec: Spec, fork_server: ForkServer, work: WorkDir) -> None:
        self.spec = spec
        try:
            self.directories = TrialDirectories(job, spec, work)
        except OSError as error:
            raise DirectoriesUnavailable(str(error)) from error
        self.started, self.started_monotonic = time.time(), time.monotonic()
        self.oom_kills = kernel_oom_kills()
        try:
            self.pipe = fork_server.run(spec, self.directories.context, self.directories.work.cwd)
        except BaseException:
            self.directories.abandon()
            raise
        self.pid: int | None = None
        self.result: Result | None = None
        self.exit: dict[str, Any] | None = None
        self.fully_read = False  # all messages have been read
        self.stop_reason: str | None = None  # it is to stop at its next report
        self.kill_reason: str | None = None
        self.protocol_error: str | None = None  # an invalid message
        self.kill_at = self.deadline = self.silence_deadline = NEVER
        self.next_read = 0.0  # its messages are not read earlier
        self.sends_reports = spec.part is None or spec.part.is_chief
        self.reported = ReportSummary(job.direction, job.optimization_key, job.objectives)
        self.awaits_release = (
            spec.part is not None
        )  # members end together, since others may still need a member's server
        self.log_tail = LogTail(self.directories.log)
        self.sampler: Sampler | None = None
        self._term_seconds = job.term_seconds
        self._kill_after_term = NEVER

    @property
    def ended(self) -> bool:
        """True if the process is gone, and its result, if it sent one, has been read."""
        is_gone = self.pipe.eof and not self.pipe.socket_lost
        return (self.exit is not None and self.fully_read) or (is_gone and self.result is not None)

    @property
    def result_is_valid(self) -> bool:
        """True if the received result counts, even if the process was killed before its end.

        A FINISHED or STOPPED result stays valid. A member's result counts only when all members are done, after which
        it no longer waits.
        """
        if self.kill_reason is None or self.result is None:
            return self.result is not None
        return self.result.state is State.STOPPED or (self.result.state is State.FINISHED and not self.awaits_release)

    def ask_to_stop(self, why: str) -> None:
        """Stop the training function at its next report."""
        self.stop_reason = why
        self.pipe.send_stop(why)
        self._terminate()

    def _terminate(self) -> None:
        """Send SIGTERM to a process that runs a program, for the program to save and end; once."""
        if self._term_seconds and self.pid is not None and self._kill_after_term == NEVER:
            self._kill_after_term = time.monotonic() + self._term_seconds + KILL_SECONDS
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill_for(self, why: str) -> None:
        """Kill the process: at once, after a stack trace in its log if it is out of time, or after its program."""
        if self.kill_reason is None:
            self.kill_reason = why
            self._terminate()
            if time.monotonic() < self._kill_after_term < NEVER and why not in ("stopped", "garbage"):
                self.kill_at = self._kill_after_term
                return
            if why in OUT_OF_TIME and self.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGABRT)  # faulthandler writes where it was
                self.kill_at = time.monotonic() + STACK_DUMP_SECONDS
                return
            if self.pid is None:
                self.kill_at = time.monotonic() + FORK_SECONDS
                return
        self.kill()

    def kill(self) -> None:
        """Kill the process; one that is not forked yet is killed when it sends its number (`on_started`)."""
        if self.pid is not None:
            self.kill_at = NEVER
            for kill in (os.killpg, os.kill):  # it may have left its group
                with contextlib.suppress(ProcessLookupError):
                    kill(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Let the process of a finished member end."""
        self.awaits_release = False
        self.pipe.send_release()

    def on_started(self, pid: int) -> None:
        self.pid = pid
        if self.kill_reason is not None:
            self.kill()


def with_warnings(result: Result | None, *warnings: str) -> Result:
    """A result with additional warnings."""
    assert result is not None
    return dataclasses.replace(result, warnings=(*result.warnings, *warnings)) if warnings else result
