"""The run's record, `run.json`, at its beginning, and its summary as HopsML wrote it."""

from __future__ import annotations

import dataclasses
import getpass
import os
import sys
from typing import Any

from .. import __version__
from ..core.redaction import redact_value
from ..core.types import State, json_safe
from ..executor.inputs import inputs_record
from ..result import Run
from ..runs.function_fingerprint import describe
from ..storage.project import Project
from ..storage.records import FORMAT
from ..storage.run_directory import RunDir
from .plan import Plan

__all__ = ["combinations", "first_record"]


def first_record(
    plan: Plan,
    project: Project,
    directory: RunDir,
    run_id: str,
    version: int,
    lease: int,
    started: float,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The record of a run at its beginning.

    Args:
        lease: number of the driver's lease.
        facts: the pool's facts.
    """
    record: dict[str, Any] = {
        "format": FORMAT,
        "run_id": run_id,
        "name": plan.name,
        "version": version,
        "verb": plan.verb,
        "state": State.RUNNING,
        "description": plan.description,
        "tags": plan.options["tags"] or {},
        "direction": plan.direction,
        "optimization_key": plan.optimization_key,
        "objectives": [objective.to_json() for objective in plan.objectives] or None,
        "ranked_by": plan.ranked_by,
        "space": plan.space,
        "inputs": inputs_record(plan.inputs),
        "function": describe(plan.train_fn),
        "seed": plan.seed,
        "total": plan.search.total,
        "isolation": plan.options["isolation"],
        **dataclasses.asdict(plan.resources),
        "project": project.shown,
        "logdir": directory.shown,
        "user": _user(),
        "hopslite": __version__,
        "session": lease,
        "started": started,
        "finished": None,
        "duration": None,
        "best_trial": None,
        "metric": None,
        "pareto_trials": None,
        "program": os.path.basename(str(getattr(sys.modules.get("__main__"), "__file__", "") or "notebook")),
        "application_id": facts.get("application_id"),
        "connect_server": facts.get("connect_server"),
        "spark_ui": facts.get("ui"),
        "tensorboard_url": None,
    }
    record |= plan.prior
    user_fields = (*plan.prior, "description", "tags", "space", "program", "spark_ui")
    return {**record, **redact_value(json_safe({name: record[name] for name in user_fields}))}


def combinations(result: Run) -> list[dict[str, Any]]:
    """Parameters and outputs of all trials with a result, as in HopsML's summary."""
    front = {trial.id for trial in result.pareto_trials}
    return [
        redact_value({"parameters": json_safe(trial.params), "outputs": json_safe(trial.outputs)})
        | ({"pareto": trial.id in front} if result.objectives else {})
        for trial in result.trials
        if trial.state in (State.FINISHED, State.STOPPED)
    ]


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None
