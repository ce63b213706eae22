"""Job: the part of a run's configuration that every slot receives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

__all__ = ["Job", "NOT_SENT"]

NOT_SENT = ("broadcasts", "loaded", "payload")  # fields that reach trial processes in another way, or not at all


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """The part of a run that every slot receives once, inside its Spark task.

    `payload` is the serialized training function with its program and its values (see `program.serialize`); a pool that
    runs trials in the driver's process gets the function itself, as `loaded`. `environment` has the variables that the
    program has set, and `arguments` its command line. Without `needs_metric` any return value is accepted (`launch`);
    `gpus` None leaves the visible devices as set by Spark and the environment. `report_as` ("last" or "best") selects
    the report that becomes a stopped trial's metric, and `stop_grace` is the number of seconds until its next report.
    A trial that runs a program has `term_seconds` between SIGTERM and SIGKILL; others, with 0, are killed at once.
    `preimport` are the modules that the function's code imports; with `repeats`, when a slot may run several trials,
    they are imported before these. A slot keeps the process that has imported frameworks for the next run, if that
    begins within `warm_seconds`. If the project is on another machine, files of trials are copied there every
    `sync_interval` seconds; failed writes, there or on a local disk, are retried for `storage_patience` seconds.
    `inputs` are the trials' inputs (see `executor.inputs`); `access` is the environment for remote storage and MLflow,
    including credentials, and `tracking_uri` is the MLflow server of the run's call. A distributed trial has a
    `strategy` and, in JSON form, its `members`. With `tail` slots send the output of trials while they run.
    `objectives` are the names of the metrics of a run that optimises several, which has no `optimization_key`.
    With `needs_checkpoints` a trial that leaves none fails. `objective` has facts of the run for the trials of
    define-by-run searches; None for other runs. `spark_task` has facts of the slot's own Spark task (see
    `executor.spark_task`); None where there is none. `broadcasts` are the broadcast variables of Spark that the
    function refers to: Spark sends them with the task that has this job.
    """

    run_id: str
    name: str
    project: str
    payload: bytes
    optimization_key: str | None
    seed: int
    isolation: str = "process"
    trial_timeout: float | None = None
    local_logdir: bool = False
    verbose: bool = False
    tail: bool = False
    gpus: float | None = None
    directory: str = ""
    import_path: tuple[str, ...] = ()
    preimport: tuple[str, ...] = ()
    repeats: bool = True
    sample_seconds: float = 5.0
    needs_metric: bool = True
    needs_checkpoints: bool = False
    direction: str | None = None
    objectives: tuple[str, ...] = ()
    report_as: str = "last"
    stop_grace: float = 10.0
    term_seconds: float = 0.0
    heartbeat_timeout: float | None = None
    sync_interval: float = 10.0
    storage_patience: float = 60.0
    warm_seconds: float = 0.0
    inputs: tuple[dict[str, Any], ...] = ()
    access: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    tracking_uri: str | None = dataclasses.field(default=None, repr=False)
    objective: dict[str, Any] | None = None
    spark_task: dict[str, Any] | None = dataclasses.field(default=None, repr=False)
    strategy: str | None = None
    members: tuple[dict[str, Any], ...] = ()
    environment: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    arguments: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    loaded: tuple[Callable[..., Any], list[Any]] | None = dataclasses.field(default=None, repr=False)
    broadcasts: tuple[Any, ...] = dataclasses.field(default=(), repr=False)

    @property
    def spark_files(self) -> str:
        """The directory of the files that Spark has sent to this executor; empty outside of Spark."""
        return str((self.spark_task or {}).get("files", ""))

    @property
    def run_url(self) -> str:
        """URL of the run directory."""
        return f"{self.project}/Experiments/{self.run_id}"
