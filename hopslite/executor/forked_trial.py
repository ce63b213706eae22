"""A trial's own process: runs the training function and sends its result to the slot."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import socket
import sys
import time
from collections.abc import Callable

from ..channel.trial_pipe import TrialPipe
from ..core.types import Result, Spec, State
from .context import TrialContext
from .copy_on_write import enable_copy_on_write
from .inherited_generators import InheritedGenerators
from .job_spec import Job
from .preimport import ImportWatcher, framework_environment, loaded_frameworks
from .process_control import replace_environment
from .process_exit import exit_cleanly
from .reporter import Reporter, ReportSummary
from .run_function import Loaded, execute
from .spark_task import restore
from .trial_exit import process_failure, write_failure
from .trial_log import redirect_output

__all__ = ["resource_usage", "run_trial"]


def run_trial(
    job: Job,
    spec: Spec,
    context: TrialContext,
    cwd: str,
    pipe: TrialPipe,
    environment: dict[str, str] | None,
    load: Callable[[], Loaded],
    changes: FrameworkChanges,
    generators: InheritedGenerators,
) -> None:
    """Run the trial and send its result, then exit as a program does.

    The result is sent before anything else: later steps may fail, as may steps before the training function.
    """
    pipe.send({"pid": os.getpid()})
    result = _execute(job, spec, context, cwd, pipe, environment, load, changes, generators)
    _send_result(pipe, spec, result, changes)
    write_failure(context.log, result)
    if spec.part and result.state is State.FINISHED:
        pipe.await_release()  # until all members are done
    exit_cleanly()


class FrameworkChanges:
    """Frameworks imported by this process, and their environment variables set, since `begin`.

    It begins in the fork server: looking at all modules in each trial would copy the pages with their names.
    """

    def __init__(self) -> None:
        self._frameworks, self._module_count = loaded_frameworks(), len(sys.modules)
        self.begin()

    def begin(self) -> None:
        self._before = framework_environment()

    @property
    def modules(self) -> list[str]:
        return [] if len(sys.modules) == self._module_count else sorted(loaded_frameworks() - self._frameworks)

    @property
    def environment(self) -> dict[str, str]:
        return {k: v for k, v in framework_environment().items() if self._before.get(k) != v}


def _execute(
    job: Job,
    spec: Spec,
    context: TrialContext,
    cwd: str,
    pipe: TrialPipe,
    environment: dict[str, str] | None,
    load: Callable[[], Loaded],
    changes: FrameworkChanges,
    generators: InheritedGenerators,
) -> Result:
    """The trial's result, also if its process cannot be prepared."""
    started = time.time()
    try:
        _prepare(spec, environment)
        if spec.part or environment is not None:
            changes.begin()
        redirect_output(context.log)
        _write_member_header(spec)
        os.chdir(cwd)
        enable_copy_on_write(cwd, (job.directory, job.spark_files))
        if job.spark_task:
            restore(job.spark_task)
        generators.reseed()
        sys.meta_path.insert(
            0, ImportWatcher(lambda name: pipe.send({"loading": name, "environment": changes.environment}))
        )
        return execute(
            job, spec, context, _reporter(job, spec, pipe), load, on_wait=lambda why: pipe.send({"waiting": why})
        )
    except BaseException as error:  # noqa: BLE001 - a full disk, no memory, no descriptors
        failure = error.with_traceback(None)
        failure.__context__ = None  # whose frames may hold all the memory
    return process_failure(spec, failure, started)


def _send_result(pipe: TrialPipe, spec: Spec, result: Result, changes: FrameworkChanges) -> None:
    """Send the result with its resource usage and the changes to frameworks."""
    try:
        usage = resource_usage(resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        message = dataclasses.replace(result, usage=usage).to_json()
        pipe.send({"result": message, "modules": changes.modules, "environment": changes.environment})
    except Exception as error:  # noqa: BLE001 - no memory for it, or no JSON; sending has not begun
        message = process_failure(spec, error, result.started).to_json()
        pipe.send({"result": message, "modules": [], "environment": {}})
    pipe.flush()


def _prepare(spec: Spec, environment: dict[str, str] | None) -> None:
    """Set the environment of this trial."""
    if environment is not None:  # without the variables of an earlier trial
        replace_environment(environment)
    if spec.part:
        os.environ.update(spec.part.environment)


def _write_member_header(spec: Spec) -> None:
    """Write a member's identity to the beginning of its log."""
    if member := spec.part:
        variables = " ".join(f"{name}={value}" for name, value in member.environment.items())
        location = f"process {os.getpid()} on {socket.gethostname()}"
        location += f", GPUs {gpus}" if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) else ""
        with contextlib.suppress(OSError):  # a full disk
            sys.stderr.write(f"hopslite: {member}, attempt {spec.attempt + 1}, {location}, {variables or 'alone'}\n")


def _reporter(job: Job, spec: Spec, pipe: TrialPipe) -> Reporter:
    sends_reports = spec.part is None or spec.part.is_chief
    send = (lambda report: pipe.send({"report": report})) if sends_reports else None
    return Reporter(
        ReportSummary(job.direction, job.optimization_key, job.objectives), send, pipe.stop_reason, pipe.ask
    )


def resource_usage(*usages: resource.struct_rusage) -> dict[str, float]:
    """CPU time and peak memory of processes, from their resource usage."""
    return {
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 3),
        "max_memory_mb": round(
            max(usage.ru_maxrss for usage in usages) / (1024 if sys.platform == "linux" else 1 << 20), 1
        ),
    }
