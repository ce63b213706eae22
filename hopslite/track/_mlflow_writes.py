"""The values that MLflow gets for a run and for its trials."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..core.objectives import described, objectives_in
from ..core.redaction import without_credentials
from ..core.types import Result, State
from ..storage.run_directory import RunDir
from ._base import final_values, numeric
from ._mlflow_client import Write
from ._mlflow_notes import NOTE

__all__ = ["DONE", "STATUS", "TrialWrite", "add_result", "end_time", "files_of", "run_write"]

STATUS = {
    State.FINISHED: "FINISHED",
    State.STOPPED: "KILLED",  # as MLflow's own storage for Optuna has pruned trials; the tag tells them apart
    State.FAILED: "FAILED",
    State.KILLED: "KILLED",
}
DONE = {State.FINISHED.value, State.STOPPED.value, State.FAILED.value}  # a killed one may be resumed
RECORDS = ("program.", "code.zip", "environment.")  # beginnings of names


@dataclasses.dataclass(slots=True)
class TrialWrite:
    """Trial's state in MLflow; `write` is still to be written, `again` is True if the trial was run once more."""

    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    started: float | None = None
    write: Write = dataclasses.field(default_factory=Write)
    result: Result | None = None
    ended: float = 0.0
    attempt: int = 0
    again: bool = False
    curves: dict[str, tuple[int, float | None]] = dataclasses.field(default_factory=dict)  # by metric: last step, value


def files_of(run: RunDir) -> list[str]:
    """Existing files of a run's program, environment and plots."""
    made_from = [name for name in run.list() if name.startswith(RECORDS)]
    return [*made_from, *(f"plots/{name}" for name in run.list("plots"))]


def run_write(run: RunDir, data: dict[str, Any], note: str) -> Write:
    tags = {str(name): value for name, value in (data.get("tags") or {}).items()}
    tags |= {f"hopslite.{name}": data.get(name) for name in ("run_id", "version", "verb")}
    tags |= {
        "hopslite.logdir": without_credentials(run.url),
        NOTE: note or None,
        "mlflow.user": data.get("user"),
        "mlflow.source.name": data.get("program"),
    }
    names = ("verb", "direction", "optimization_key", "seed", "parallelism")
    params = {name: data[name] for name in names if data.get(name) is not None}
    if objectives := objectives_in(data.get("objectives")):
        params["objectives"] = described(objectives)
    space = data.get("space")
    params |= {f"space/{name}": value for name, value in space.items()} if isinstance(space, dict) else {}
    return Write(params=params, tags={name: value for name, value in tags.items() if value is not None})


def add_result(trial: TrialWrite, result: Result, key: str | None) -> None:
    """Add the result to what is to be written: metrics as the ends of their curves, which MLflow shows."""
    write, values = trial.write, final_values(result, key)
    values |= {f"system/{name}": value for name, value in numeric(result.usage).items()}
    for name, value in values.items():
        step, last = trial.curves.get(name, (0, None))
        if value != last:
            write.metrics.append((name, value, trial.ended, step))
    tags = {"state": result.state.value, "error": result.error, "cause": result.cause, "host": result.host}
    write.tags |= {f"hopslite.{name}": value for name, value in tags.items()}
    write.tags = {name: value for name, value in write.tags.items() if value is not None}


def end_time(result: Result, fallback: float) -> float:
    return result.started + result.duration if result.started else fallback
