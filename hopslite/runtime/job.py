"""What a slot needs to know of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Job"]


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """The part of a run that every slot gets once, inside its Spark task.

    `payload` is the training function with its unusual values (see `values.serialize`); without `needs_metric`
    any return value will do (`launch`); `gpus` None leaves the visible devices as Spark and the environment have them.
    `report_as` ("last" or "best") says which report is a stopped trial's metric, and `stop_grace` how many seconds it
    has to make its next one. Only where a slot may run several trials (`repeats`) does it pay to import frameworks
    ahead of them. Where the project is on another machine, what trials write is copied there every `sync_interval`
    seconds. `inputs` are what trials are given (see `runtime.inputs`); `access` has the environment by which remote
    storage and MLflow are reached, credentials included, and `tracking_uri` is what the run's call says of MLflow. A
    distributed trial has a `strategy` and, in JSON form, its `members`. With `tail` slots send what trials print while
    they run.
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
    gpus: int | None = None
    directory: str = ""
    import_path: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    repeats: bool = True
    sample_seconds: float = 5.0
    needs_metric: bool = True
    direction: str | None = None
    report_as: str = "last"
    stop_grace: float = 10.0
    heartbeat_timeout: float | None = None
    sync_interval: float = 10.0
    inputs: tuple[dict[str, Any], ...] = ()
    access: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    tracking_uri: str | None = dataclasses.field(default=None, repr=False)
    strategy: str | None = None
    members: tuple[dict[str, Any], ...] = ()
