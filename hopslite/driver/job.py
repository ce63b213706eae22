"""The job of a run: the serialized program, and the configuration that every slot receives."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..core.settings import Settings
from ..display import Display
from ..errors import NotSerializable
from ..executor.job_spec import Job
from ..executor.preimport import predict_imports
from ..serialization.captured_variables import large_variables, refuse_spark_objects
from ..serialization.driver_settings import changed_environment
from ..serialization.program import broadcast_variables
from ..serialization.values import Values, serialize
from ..storage.fs.urls import access_variables
from .define_by_run import is_define_by_run, objective_facts
from .plan import Plan
from .recorder import Recorder

__all__ = ["make_job", "serialize_program"]


def serialize_program(plan: Plan, values: Values, display: Display) -> bytes:
    """Serialize the training function; objects that Spark keeps on the driver are refused."""
    try:
        payload = serialize(plan.train_fn, values.objects)
    except NotSerializable:
        refuse_spark_objects(plan.train_fn, values.objects)
        raise
    if b"pyspark" in payload:
        refuse_spark_objects(plan.train_fn, values.objects)
    warning = large_variables(plan.train_fn, values.objects, len(payload))
    if warning:
        display.line(warning)
    return payload


def _broadcasts(plan: Plan, values: list[Any]) -> tuple[Any, ...]:
    """The broadcast variables of Spark among the variables of the training function."""
    return broadcast_variables(plan.train_fn, values) if b"broadcast" in (plan.program or b"") else ()


def make_job(
    plan: Plan, settings: Settings, recorder: Recorder, in_process: bool, values: list[Any], shows_output: bool
) -> Job:
    """The job of a run.

    Args:
        in_process: trials run in the driver's process, and get the function itself.
        values: hyperparameter values that are serialized with the function.
        shows_output: the display shows the output of trials.
    """
    repeats = plan.search.total > 1 or plan.max_restarts > 0
    inputs = tuple(data.to_json() for data in plan.inputs)
    remote = not recorder.directory.is_local or any(not data.is_local for data in plan.inputs)
    return Job(
        run_id=recorder.run_id,
        name=plan.name,
        project=recorder.project_url,
        payload=b"" if in_process else plan.program or b"",
        loaded=(plan.train_fn, values) if in_process else None,
        environment=changed_environment(),
        arguments=tuple(sys.argv),
        optimization_key=plan.optimization_key,
        needs_metric=plan.is_search,
        needs_checkpoints=getattr(plan.search, "needs_checkpoints", False),
        seed=plan.seed,
        isolation=plan.options["isolation"],
        trial_timeout=plan.options["trial_timeout"],
        local_logdir=plan.local_logdir,
        verbose=plan.options["verbose"],
        tail=plan.options["verbose"] or shows_output,
        gpus=plan.resources.gpus_per_trial,
        directory=os.getcwd(),
        import_path=tuple(os.path.abspath(entry) for entry in sys.path),
        preimport=tuple(predict_imports(plan.train_fn)),
        repeats=repeats,
        broadcasts=() if in_process else _broadcasts(plan, values),
        direction=plan.direction,
        objectives=tuple(objective.name for objective in plan.objectives),
        report_as=plan.options["report_as"],
        stop_grace=plan.options["stop_grace"],
        term_seconds=plan.term_seconds,
        heartbeat_timeout=plan.options["heartbeat_timeout"],
        sync_interval=settings.sync_interval,
        storage_patience=settings.storage_patience,
        warm_seconds=settings.warm_seconds,
        inputs=inputs,
        access=access_variables() if remote or settings.tracking_uri else {},
        tracking_uri=settings.tracking_uri,
        objective=objective_facts(plan) if is_define_by_run(plan.search) else None,
    )
