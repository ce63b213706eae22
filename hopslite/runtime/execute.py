"""Running the training function once, in this process: plain data in, a `Result` out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from .. import _plugins
from .._trial import Result, Spec, State, json_safe
from ..errors import CommandFailed, ReturnValueError, TrialStopped
from .context import TrialContext, entered
from .inputs import mount
from .job import Job
from .outputs import Outputs, check_finite, keep_files, read_outputs, write_json, write_text
from .report import Reported, Reporter
from .values import Values, call_arguments, deserialize, own

__all__ = ["execute", "failed", "stopped"]

MAX_OUTPUTS = 8 << 20  # characters; they go to the driver, the journal and the summary
HALF_TRACE = 50_000
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
    loaded: tuple[Callable[..., Any], list[Any]] | None = None,
    interruptible: bool = False,
) -> Result:
    """Call the training function with the trial's hyperparameters and record what comes of it.

    Writes `.hparams.json`, `.outputs.json` and `.metric` into the trial's directory. Whatever the function raises
    becomes a FAILED result.

    Args:
        loaded: the function and its values where they are here already, for other trials as well; otherwise they come
            from `job.payload`.
        interruptible: whether a KeyboardInterrupt is the user's, who ends the run with it, and passes through.
    """
    started = time.time()
    clock = time.monotonic()
    part = spec.part

    def ended(state: State, **details: Any) -> Result:
        return Result(
            spec.trial_id,
            state,
            started=started,
            duration=time.monotonic() - clock,
            host=socket.gethostname(),
            **details,
        )

    try:
        context = dataclasses.replace(context, inputs=mount(job.inputs), tracking_uri=job.tracking_uri)
    except OSError as error:
        return ended(State.FAILED, error=str(error), cause="inputs")
    try:
        fn, objects = loaded or deserialize(job.payload)
        params = Values.from_wire(spec.params, objects)
        if loaded:
            params = own(params)
        if not part or part.is_chief:
            write_json(os.path.join(context.directory, ".hparams.json"), json_safe(params))
        if part and part.server:
            _plugins.load("distribute", str(job.strategy)).serve()
            return ended(State.FINISHED)
        args, kwargs = call_arguments(fn, params, reporter)
        with entered(context, reporter):
            returned = fn(*args, **kwargs)
        if part and not part.is_chief:
            return ended(State.FINISHED)
        if part:
            _check_sendable(returned)
        if returned is None and job.needs_metric and reporter.reported.count:
            returned = reporter.reported.value(job.report_as)
        outputs = read_outputs(returned, job.optimization_key, job.needs_metric)
        files = _record(job, spec, context, outputs)
    except TrialStopped:
        return stopped(job, spec, context, reporter.reported, started, time.monotonic() - clock)
    except BaseException as error:  # one bad trial never ends a search
        if interruptible and isinstance(error, KeyboardInterrupt):
            raise
        return ended(State.FAILED, **_failure(error, job))
    problem = check_finite(outputs.metric, job.optimization_key)
    if problem:
        return ended(State.FAILED, outputs=outputs.values, artifacts=tuple(files), error=problem, cause="not-a-number")
    return ended(State.FINISHED, metric=outputs.metric, outputs=outputs.values, artifacts=tuple(files))


def stopped(
    job: Job, spec: Spec, context: TrialContext, reported: Reported, started: float, duration: float, *warnings: str
) -> Result:
    """The result of a trial that was ended early: what it reported."""
    value = reported.value(job.report_as)
    outputs = Outputs(value, {job.optimization_key or "metric": value}, {})
    _record(job, spec, context, outputs)
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


def _check_sendable(returned: Any) -> None:
    try:
        pickle.dumps(returned)
    except Exception as error:  # each type has errors of its own
        raise ReturnValueError(
            f"train_fn returned {returned!r:.200}, which cannot be sent to the driver ({error}); return numbers, text, "
            "and names of files"
        ) from error


def _record(job: Job, spec: Spec, context: TrialContext, outputs: Outputs) -> list[str]:
    place = f"Experiments/{job.run_id}/trials/{spec.trial_id}"
    files = keep_files(outputs, context.directory, lambda name: f"{place}/{name}")
    outputs.values.setdefault("log", f"{place}/{os.path.basename(context.log)}")
    text = json.dumps(outputs.values, default=json_safe)
    if len(text) > MAX_OUTPUTS:
        raise ReturnValueError(
            f"the returned values take {len(text) >> 20} MB as JSON, and {MAX_OUTPUTS >> 20} MB are allowed; "
            "write what is large to a file and return the file's name"
        )
    write_text(os.path.join(context.directory, ".outputs.json"), text)
    if outputs.metric is not None:
        write_text(os.path.join(context.directory, ".metric"), str(outputs.metric))
    return files


def _failure(error: BaseException, job: Job) -> dict[str, Any]:
    """The fields of a Result that tell what was raised; the trace starts in the user's code."""
    if isinstance(error, ReturnValueError):
        return {"error": str(error), "cause": "return-value"}
    if isinstance(error, CommandFailed):
        return {"error": str(error), "cause": "exit"}
    if isinstance(error, SystemExit):
        return {"error": f"the training function called sys.exit({error.code!r})"[:500], "cause": "exit"}
    cause = "out-of-memory" if isinstance(error, MemoryError) else "exception"
    frame = error.__traceback__
    trace = "".join(traceback.format_exception(type(error), error, frame.tb_next if frame else None))
    if len(trace) > 2 * HALF_TRACE:
        trace = f"{trace[:HALF_TRACE]}\n…\n{trace[-HALF_TRACE:]}"
    if job.strategy and len(job.members) > 1 and "PerReplica" in trace and _keras() >= 3:
        return {"error": KERAS_3, "cause": "exception"}
    message = _text(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return {"error": text[:500], "cause": cause, "traceback": trace}


def _keras() -> int:
    """The major version of Keras that has been imported; 0: none."""
    version = str(getattr(sys.modules.get("keras"), "__version__", "0"))
    return int(version.partition(".")[0])


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of the user's that cannot even be shown
        return ""


def failed(spec: Spec, cause: str, error: str, started: float, **details: Any) -> Result:
    """The result of a trial that could not tell its own."""
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
