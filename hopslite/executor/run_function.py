"""Runs the training function of a trial in this process: plain data in, a `Result` out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core import plugins
from ..core.redaction import redact, redact_value
from ..core.types import Result, Spec, State, json_safe
from ..errors import CommandFailed, InvalidConfiguration, ReturnValueError
from ..serialization.values import Values, call_arguments, copied_values
from ..storage.free_space import lacks_room
from .checkpoints import why_none, why_none_to_continue
from .context import TrialContext, trial_context
from .define_by_run_trial import TRIAL, DefineByRunTrial, is_pruned
from .disk_probe import retry_until_writable, temporary_directory
from .inputs import fetch_inputs
from .job_spec import Job
from .outputs import Outputs, check_finite, keep_files, read_outputs, write_json, write_text
from .process_exit import end_forked_child
from .reporter import Reporter, ReportSummary
from .resource_reserve import reserved_resources
from .tracebacks import user_traceback

__all__ = ["Loaded", "execute", "failed_result", "stopped_result"]

Loaded = tuple[Callable[..., Any], list[Any]]  # the training function, and the values that were serialized with it

MAX_OUTPUTS = 8 << 20  # characters; they go to the driver, the journal and the summary
HALF_TRACEBACK = 50_000
MAX_SUMMARY = 500
KERAS_3 = (
    "Keras 3 cannot fit a model under MultiWorkerMirroredStrategy: it does not know TensorFlow's PerReplica values. "
    "Two ways out: import tf_keras instead of keras (pip install tf_keras), or write the training loop yourself, with "
    "GradientTape and strategy.run, or with Keras's JAX backend and strategy='jax'"
)


def execute(
    job: Job,
    spec: Spec,
    context: TrialContext,
    reporter: Reporter,
    load: Callable[[], Loaded],
    shares_values: bool = False,
    interruptible: bool = False,
    on_wait: Callable[[str], object] = lambda _: None,
) -> Result:
    """Call the training function with the trial's hyperparameters and record its outcome.

    Writes `.hparams.json`, `.outputs.json` and `.metric` into the trial's directory. Whatever the function raises
    becomes a FAILED result.

    Args:
        load: returns the training function and the values serialized with it.
        shared: True if other trials get the same objects; this one then gets copies of the values.
        on_wait: called with the reason when recording the returned value has to wait for free space.
        interruptible: True if a KeyboardInterrupt is the user's, which ends the run, and is raised here.
    """
    started = time.time()
    started_monotonic = time.monotonic()
    member = spec.part

    def result(state: State, **details: Any) -> Result:
        return Result(
            spec.trial_id,
            state,
            started=started,
            duration=time.monotonic() - started_monotonic,
            host=socket.gethostname(),
            **details,
        )

    try:
        context = dataclasses.replace(
            context, inputs=fetch_inputs(job.inputs, job.project), tracking_uri=job.tracking_uri
        )
    except OSError as error:
        return result(State.FAILED, error=str(error), cause="inputs")
    if problem := why_none_to_continue(spec, context):
        return result(State.FAILED, error=problem, cause="checkpoints")
    try:
        fn, objects = load()
    except BaseException as error:  # noqa: BLE001 - the user's classes may raise anything when they are unpickled
        return result(State.FAILED, **_load_failure(error))
    try:
        params = Values.from_wire(spec.params, objects)
        if shares_values:
            params = copied_values(params)
        if not member or member.is_chief:
            _write_hparams(context, params)
        if member and member.server:
            plugins.load("distribute", str(job.strategy)).serve()
            return result(State.FINISHED)
        trial = None
        if job.objective is not None:
            params[TRIAL] = trial = DefineByRunTrial(int(spec.trial_id), job.objective, reporter)
        args, kwargs = call_arguments(fn, params, reporter)
        try:
            with trial_context(context, reporter), reserved_resources():
                returned = _call(fn, args, kwargs)
        finally:
            if trial and reporter.sends:
                _write_hparams(context, trial.params)
        if member and not member.is_chief:
            return result(State.FINISHED)
        if member:
            _check_picklable(returned)
        if returned is None and job.needs_metric:
            returned = _reported(reporter.reported, job.report_as)
        outputs = read_outputs(returned, job.optimization_key, job.needs_metric, job.objectives)
        files = _record_with_room(job, spec, context, outputs, on_wait)
    except BaseException as error:  # one bad trial never ends a search
        if is_pruned(error):
            seconds = time.monotonic() - started_monotonic
            return stopped_result(job, spec, context, reporter.reported, started, seconds, on_wait=on_wait)
        if interruptible and isinstance(error, KeyboardInterrupt):
            raise
        return result(State.FAILED, **_failure(error, job, context))
    problem, cause = check_finite(outputs, job.optimization_key), "not-a-number"
    if not problem and job.needs_checkpoints:
        problem, cause = why_none(context), "checkpoints"
    if problem:
        return result(State.FAILED, outputs=outputs.values, artifacts=tuple(files), error=problem, cause=cause)
    return result(
        State.FINISHED,
        metric=outputs.metric,
        metrics=outputs.metrics,
        outputs=outputs.values,
        artifacts=tuple(files),
    )


def _call(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The function's returned value; a process that the function has forked ends here, and speaks for no trial."""
    process = os.getpid()
    try:
        returned = fn(*args, **kwargs)
    except BaseException as error:
        if os.getpid() != process:
            end_forked_child(error)
        raise
    if os.getpid() != process:
        end_forked_child(None)
    return returned


def _reported(reported: ReportSummary, report_as: str) -> dict[str, float] | None:
    """The outputs of a function that returns nothing: what it has reported.

    Raises:
        ReturnValueError: it has reported metrics, but never the optimised one.
    """
    if not reported.count and reported.names:
        wanted = " and ".join(map(repr, reported.objectives or [reported.key]))
        raise ReturnValueError(
            f"the training function returned None, and has reported {', '.join(map(repr, reported.names))} but never "
            f"{wanted}; return that or report it, or say what to optimise with optimization_key="
        )
    return reported.outputs(report_as) if reported.count else None


def _write_hparams(context: TrialContext, params: Mapping[str, Any]) -> None:
    write_json(os.path.join(context.directory, ".hparams.json"), redact_value(json_safe(params)))


def stopped_result(
    job: Job,
    spec: Spec,
    context: TrialContext,
    reported: ReportSummary,
    started: float,
    duration: float,
    *warnings: str,
    on_wait: Callable[[str], object] | None = None,
) -> Result:
    """The STOPPED result of a trial with its reports; with `on_wait` its files wait for free space.

    With `on_wait` its files wait for room.
    """
    value = reported.value(job.report_as)
    outputs = Outputs(value, dict(reported.outputs(job.report_as)), {})
    try:
        if on_wait:
            _record_with_room(job, spec, context, outputs, on_wait)
        else:
            _record(job, spec, context, outputs)
    except OSError as error:
        warnings = (*warnings, f"its .outputs.json could not be written ({error}); the journal has what it holds")
    return Result(
        spec.trial_id,
        State.STOPPED,
        metric=value if math.isfinite(value) else None,
        outputs=outputs.values,
        started=started,
        duration=duration,
        host=socket.gethostname(),
        warnings=warnings,
    )


def _check_picklable(returned: Any) -> None:
    try:
        pickle.dumps(returned)
    except Exception as error:  # each type has errors of its own
        raise ReturnValueError(
            f"train_fn returned {returned!r:.200}, which cannot be sent to the driver ({error}); return numbers, text, "
            "and names of files"
        ) from error


def _record(job: Job, spec: Spec, context: TrialContext, outputs: Outputs) -> list[str]:
    relative_path = f"Experiments/{job.run_id}/trials/{spec.trial_id}"
    files = keep_files(outputs, context.directory, lambda name: f"{relative_path}/{name}")
    outputs.values.setdefault("log", f"{relative_path}/{os.path.basename(context.log)}")
    values = json_safe(outputs.values)
    size = len(json.dumps(values))
    if size > MAX_OUTPUTS:
        raise ReturnValueError(
            f"the returned values take {size >> 20} MB as JSON, and {MAX_OUTPUTS >> 20} MB are allowed; "
            "write what is large to a file and return the file's name"
        )
    write_text(os.path.join(context.directory, ".outputs.json"), json.dumps(redact_value(values)))
    if outputs.metric is not None:
        write_text(os.path.join(context.directory, ".metric"), str(outputs.metric))
    return files


def _record_with_room(
    job: Job, spec: Spec, context: TrialContext, outputs: Outputs, on_wait: Callable[[str], object]
) -> list[str]:
    """Record a returned value; it took long to compute, so it waits in memory while the disk is full."""
    folder = os.path.dirname(context.directory)  # not the trial's own, which it may have removed
    return retry_until_writable(lambda: _record(job, spec, context, outputs), folder, job.storage_patience, on_wait)


def _failure(error: BaseException, job: Job, context: TrialContext) -> dict[str, Any]:
    """The fields of a Result that describe an exception, with the traceback of the user's code."""
    if isinstance(error, ReturnValueError):
        return {"error": str(error), "cause": "return-value", "outputs": getattr(error, "outputs", None)}
    if isinstance(error, CommandFailed):
        return {"error": str(error), "cause": "exit"}
    if isinstance(error, InvalidConfiguration):  # it has the line of the file, which says more than a traceback
        return {"error": redact(str(error)), "cause": "configuration"}
    if isinstance(error, SystemExit):
        return {"error": f"the training function called sys.exit({error.code!r})"[:500], "cause": "exit"}
    cause = "out-of-memory" if isinstance(error, MemoryError) else "exception"
    text = user_traceback(error)
    if lacks_room(error, filter(None, (context.directory, context.logdir, temporary_directory()))):
        cause = "storage"
    if len(text) > 2 * HALF_TRACEBACK:
        text = f"{text[:HALF_TRACEBACK]}\n…\n{text[-HALF_TRACEBACK:]}"
    text = redact(text)  # it goes into the log, too
    if job.strategy and len(job.members) > 1 and "PerReplica" in text and _keras_version() >= 3:
        return {"error": KERAS_3, "cause": "exception"}
    return {"error": _summary(error), "cause": cause, "traceback": text}


def _load_failure(error: BaseException) -> dict[str, Any]:
    """The fields of a Result whose training function could not be unpickled."""
    where = f"on {socket.gethostname()}, with {sys.executable}"
    text = f"the training function cannot be loaded {where}: {_summary(error)}"
    if isinstance(error, ModuleNotFoundError):
        text += f". Install {error.name} for the executors' Python, or send it with spark.sparkContext.addPyFile()"
    return {"error": text, "cause": "unpickling", "traceback": redact(user_traceback(error))}


def _summary(error: BaseException) -> str:
    message = _message(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0][:MAX_SUMMARY]}" if message else type(error).__name__
    return redact(text)[:MAX_SUMMARY]


def _keras_version() -> int:
    """The major version of the imported Keras; 0: none is imported."""
    version = str(getattr(sys.modules.get("keras"), "__version__", "0"))
    return int(version.partition(".")[0])


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's exception whose __str__ fails
        return ""


def failed_result(spec: Spec, cause: str, error: str, started: float, **details: Any) -> Result:
    """The FAILED or KILLED result of a trial that sent none itself."""
    state = State.KILLED if cause == "killed" else State.FAILED
    return Result(
        spec.trial_id,
        state,
        error=error,
        cause=cause,
        started=started,
        duration=max(0.0, time.time() - started),
        host=socket.gethostname(),
        **details,
    )
