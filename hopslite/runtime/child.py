"""A trial that runs in a process of its own, as its slot sees it: where it writes, how it is stopped, how it died."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import time
from typing import Any

from .._trial import Result, Spec, State
from ..store import RunDir
from .capture import LOG, LogTail
from .context import TrialContext
from .execute import failed, stopped
from .job import Job
from .report import Reported
from .sync import mirrored
from .system import Sampler, kernel_oom_kills
from .workdir import WorkDir
from .zygote import Zygote

__all__ = ["NEVER", "Place", "RunningTrial", "how_it_died", "signal_name", "warned"]

STACK_DUMP_SECONDS = 1.0  # between the request for a stack trace and the kill, when a trial is out of time
NEVER = float("inf")
OUT_OF_TIME = ("timeout", "silent", "stopped")


class Place:
    """Where a trial runs and writes on this machine, and how that comes into the run directory."""

    def __init__(self, job: Job, spec: Spec, work: WorkDir) -> None:
        self.run = RunDir(spec.logdir)
        self.work = work
        work.prepare()
        part = spec.part
        self._kept = self.run.url if self.run.is_local else os.path.join(work.root, "trial")
        self._own: str | None = None  # what several members would otherwise overwrite is written here
        if part and part.role not in ("chief", "evaluator"):
            self._own = os.path.join(work.root, "member")
        self.directory = self._own or self._kept
        for folder in (self._kept, self.directory):
            os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(self._kept, f"{part.file}_{LOG}" if part else LOG)
        self._files = os.path.join(self._kept, part.file) if part and not part.is_chief else self._kept
        logdir = work.logdir or self.directory
        checkpoints, self._mirror = mirrored(spec, self.run, self._kept, work.root, job.sync_interval)
        self.context = TrialContext(
            job.run_id, spec.trial_id, self.directory, logdir, self.log, checkpoints, job.project
        )

    def abandon(self) -> None:
        """The trial does not begin here after all: its directories are the next one's, which finds nothing in them."""
        if self._mirror:
            self._mirror.stop()
            self._remove_copied()

    def settle(self) -> list[str]:
        """Bring everything into the run directory; returns what went wrong."""
        try:
            self._bring()
        except (OSError, ValueError, shutil.Error) as error:
            return [f"files could not be kept ({error}); they are in {self.work.set_aside()} on {socket.gethostname()}"]
        return []

    def _bring(self) -> None:
        try:
            self.work.keep(self._files, with_logdir=self._own is None)
            if self._own:
                shutil.rmtree(self._own)
            if self._mirror:
                self._mirror.finish()
                self._remove_copied()
        finally:
            if self._mirror:  # it would take the next trial's files, which are in the same place, for this one's
                self._mirror.stop()

    def _remove_copied(self) -> None:
        """Remove the local directories of a run that is kept elsewhere."""
        for folder in (self._kept, self.context.checkpoints):
            shutil.rmtree(folder, ignore_errors=True)


class RunningTrial:
    """A trial that is running in a process of its own."""

    def __init__(self, job: Job, spec: Spec, zygote: Zygote, work: WorkDir) -> None:
        self.spec = spec
        self.place = Place(job, spec, work)
        self.started, self.clock = time.time(), time.monotonic()
        self.oom_kills = kernel_oom_kills()
        try:
            self.link = zygote.run(spec, self.place.context, self.place.work.cwd)
        except BaseException:
            self.place.abandon()
            raise
        self.pid: int | None = None
        self.result: Result | None = None
        self.exit: dict[str, Any] | None = None
        self.closed = False
        self.stop_why: str | None = None  # asked to stop at its next report
        self.ended_for: str | None = None
        self.kill_at = self.deadline = self.silent_at = NEVER
        self.read_at = 0.0  # what it sends is not looked at earlier
        self.heard = spec.part is None or spec.part.is_chief
        self.reported = Reported(job.direction)
        self.waits = spec.member is not None  # members end together: what one serves the others may still need
        self.tail = LogTail(self.place.log)
        self.sampler: Sampler | None = None

    @property
    def over(self) -> bool:
        """The process is gone; its result, if it sent one, has been read."""
        return (self.exit is not None and self.closed) or (self.closed and self.result is not None)

    @property
    def result_counts(self) -> bool:
        """Whether its result is that of the trial, though its process may have been ended before it was gone.

        What has finished or was stopped stays so. A member's end only counts when all are done, after which it waits
        no longer.
        """
        if self.ended_for is None or self.result is None:
            return self.result is not None
        return self.result.state is State.STOPPED or (self.result.state is State.FINISHED and not self.waits)

    def ask_to_stop(self, why: str) -> None:
        """Have the training function stopped at its next report."""
        self.stop_why = why
        with contextlib.suppress(OSError):
            self.link.send_bytes(why.encode())

    def end(self, why: str) -> None:
        """End the process: at once, or with a stack trace in its log first when it ran out of time."""
        if self.ended_for is None:
            self.ended_for = why
            if why in OUT_OF_TIME and self.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGABRT)  # faulthandler writes where it was
                self.kill_at = time.monotonic() + STACK_DUMP_SECONDS
                return
        self.kill()

    def kill(self) -> None:
        """End the process; one that is not forked yet is ended when it tells its number (`began`)."""
        self.kill_at = NEVER
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Let a member's process end that has finished."""
        self.waits = False
        with contextlib.suppress(OSError):
            self.link.send_bytes(b"")

    def began(self, pid: int) -> None:
        self.pid = pid
        if self.ended_for is not None:
            self.kill()


def warned(result: Result | None, *warnings: str) -> Result:
    assert result is not None
    return dataclasses.replace(result, warnings=(*result.warnings, *warnings)) if warnings else result


def how_it_died(trial: RunningTrial, job: Job) -> Result:
    """Tell apart the ways in which a process ends without a result."""
    status = trial.exit["status"] if trial.exit else None
    if trial.ended_for == "stopped":
        late = f"it was ended: it had made no report within stop_grace={job.stop_grace:g} s of being told to stop"
        duration = time.monotonic() - trial.clock
        return stopped(job, trial.spec, trial.place.context, trial.reported, trial.started, duration, late)
    if trial.ended_for == "timeout":
        cause, error = "timeout", f"ran longer than trial_timeout={job.trial_timeout:g} s and was ended"
    elif trial.ended_for == "silent":
        cause, error = "timeout", f"reported nothing for heartbeat_timeout={job.heartbeat_timeout:g} s and was ended"
    elif trial.ended_for is not None:
        cause, error = "killed", f"ended: {trial.ended_for}"
    elif status is None:
        cause, error = "lost", (trial.exit or {}).get("why", "the parent process of the trial was killed")
    elif os.WIFSIGNALED(status):
        cause, error = _by_signal(os.WTERMSIG(status), trial)
    else:
        code = os.WEXITSTATUS(status)
        cause, error = "exit", f"the process exited with code {code} before the training function returned"
    return failed(trial.spec, cause, f"{error}; see {os.path.basename(trial.place.log)}", trial.started)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _by_signal(number: int, trial: RunningTrial) -> tuple[str, str]:
    name = signal_name(number)
    if number == signal.SIGKILL and kernel_oom_kills() > trial.oom_kills:
        return "out-of-memory", "killed by the kernel, which was out of memory (SIGKILL)"
    if number in (signal.SIGSEGV, signal.SIGBUS):
        return "segfault", f"the process crashed with a segmentation fault ({name})"
    return "signal", f"the process was killed by {name}"
