"""The cause of a trial process's death: killed for memory, a signal, a crash, a time limit, an exit code, or lost."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from ..core.types import Result
from .job_spec import Job
from .run_function import failed_result, stopped_result
from .system_metrics import kernel_oom_kills

if TYPE_CHECKING:
    from .trial_process import RunningTrial

__all__ = ["result_of_dead_process", "signal_name"]

PROTOCOL_ERROR = (
    "its process wrote into the connection to its slot, as to a descriptor that it had not opened; this is no "
    "message of a trial"
)


def result_of_dead_process(trial: RunningTrial, job: Job) -> Result:
    """The result of a process that ended without sending one, with the cause of its end."""
    status = trial.exit["status"] if trial.exit else None
    if trial.kill_reason == "stopped":
        late = f"it was ended: it made no report within stop_grace={job.stop_grace:g} s after it was asked to stop"
        duration = time.monotonic() - trial.started_monotonic
        return stopped_result(job, trial.spec, trial.directories.context, trial.reported, trial.started, duration, late)
    if trial.kill_reason == "timeout":
        cause, error = "timeout", f"ran longer than trial_timeout={job.trial_timeout:g} s and was ended"
    elif trial.kill_reason == "silent":
        cause, error = "timeout", f"reported nothing for heartbeat_timeout={job.heartbeat_timeout:g} s and was ended"
    elif trial.protocol_error is not None:
        cause, error = "garbage", f"{PROTOCOL_ERROR} ({trial.protocol_error})"
    elif trial.kill_reason is not None:
        cause, error = "killed", f"ended: {trial.kill_reason}"
    elif status is None:
        cause, error = "lost", (trial.exit or {}).get("why", "the parent process of the trial was killed")
    elif os.WIFSIGNALED(status):
        cause, error = _signal_cause(os.WTERMSIG(status), trial)
    else:
        code = os.WEXITSTATUS(status)
        if code == 0 and trial.pipe.has_partial_frame:
            return failed_result(trial.spec, "garbage", f"{PROTOCOL_ERROR} (it ended within a frame)", trial.started)
        cause, error = "exit", f"the process exited with code {code} before the training function returned"
    return failed_result(trial.spec, cause, f"{error}; see {os.path.basename(trial.directories.log)}", trial.started)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _signal_cause(number: int, trial: RunningTrial) -> tuple[str, str]:
    name = signal_name(number)
    if number == signal.SIGKILL and kernel_oom_kills() > trial.oom_kills:
        return "out-of-memory", "killed by the kernel, which was out of memory (SIGKILL)"
    if number in (signal.SIGSEGV, signal.SIGBUS):
        return "segfault", f"the process crashed with a segmentation fault ({name})"
    return "signal", f"the process was killed by {name}"
