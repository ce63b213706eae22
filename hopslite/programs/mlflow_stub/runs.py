"""Experiments and runs of the MLflow stub, in memory, for the time of the trial."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .models import Models
from .schema import Asked, Refused, items, now, pairs, pairs_of, text, texts, unfiltered, whole

__all__ = ["LoggedMetric", "Runs"]

HISTORY = 10_000  # values of a metric that a client can ask for again; all of them are told
OURS = "mlflow."  # how the tags begin that MLflow's client gives by itself
PARENT = "mlflow.parentRunId"
STAGES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",)}


class LoggedMetric(NamedTuple):
    """Metric logged by a program; its step is None if the program gave none."""

    name: str
    value: float
    step: int | None
    nested: bool


class _Values:
    """Values of one metric. The last is that of the greatest step: autologging sends some late, and some twice."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)

    def add(self, value: dict[str, Any]) -> bool:
        """Add a value; returns True if it is the last now."""
        self.history.append(value)
        if self.last and (_age(value) < _age(self.last) or value == self.last):
            return False
        self.last = value
        return True


@dataclasses.dataclass
class _Run:
    info: dict[str, Any]
    tags: dict[str, str]
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    metrics: dict[str, _Values] = dataclasses.field(default_factory=dict)
    datasets: list[Any] = dataclasses.field(default_factory=list)
    models: dict[str, list[Any]] = dataclasses.field(default_factory=lambda: {"inputs": [], "outputs": []})

    def shown(self) -> dict[str, Any]:
        return {
            "info": self.info,
            "data": {
                "metrics": [{"key": key, **_json(values.last)} for key, values in self.metrics.items()],
                "params": pairs(self.params),
                "tags": pairs(self.tags),
            },
            "inputs": {"dataset_inputs": self.datasets, "model_inputs": self.models["inputs"]},
            "outputs": {"model_outputs": self.models["outputs"]},
        }


class Runs:
    """Endpoints of experiments and runs. Safe from many threads.

    Args:
        folder: where the client itself writes artifacts: those of a run in a folder of its id.
        hear: is given the metrics of each request.
    """

    def __init__(self, folder: str, hear: Callable[[list[LoggedMetric]], None]) -> None:
        self._folder, self._hear = Path(os.path.abspath(folder)), hear
        self._lock = threading.Lock()
        self._experiments: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, _Run] = {}
        self._models = Models(self._folder)
        self._experiment("0", "Default")
        self._endpoints: dict[tuple[str, str], Callable[[Asked], dict[str, Any]]] = {
            ("GET", "server-info"): lambda _: {"workspaces_enabled": True},  # the program's is as good as any
            ("GET", "experiments/get"): self._get_experiment,
            ("GET", "experiments/get-by-name"): self._get_experiment_by_name,
            ("POST", "experiments/create"): self._create_experiment,
            ("POST", "experiments/search"): self._search_experiments,
            ("POST", "experiments/set-experiment-tag"): self._tag_experiment,
            ("POST", "runs/create"): self._create,
            ("GET", "runs/get"): lambda asked: {"run": self._run(asked).shown()},
            ("POST", "runs/search"): self._search,
            ("POST", "runs/update"): self._update,
            ("POST", "runs/delete"): lambda asked: self._stage(asked, "deleted"),
            ("POST", "runs/restore"): lambda asked: self._stage(asked, "active"),
            ("POST", "runs/log-metric"): lambda asked: self._log(asked, metrics=[asked]),
            ("POST", "runs/log-parameter"): lambda asked: self._log(asked, params=[asked]),
            ("POST", "runs/set-tag"): lambda asked: self._log(asked, tags=[asked]),
            ("POST", "runs/log-batch"): lambda asked: self._log(
                asked, **{name: items(asked, name) for name in ("metrics", "params", "tags")}
            ),
            ("POST", "runs/delete-tag"): self._delete_tag,
            ("POST", "runs/log-inputs"): self._log_inputs,
            ("POST", "runs/outputs"): self._log_outputs,
            ("POST", "runs/log-model"): self._log_model,
            ("GET", "metrics/get-history"): self._history,
            **self._models.endpoints,
        }

    def answer(self, method: str, endpoint: str, asked: Asked) -> dict[str, Any]:
        """Answer a request.

        Raises:
            Refused: there is none.
        """
        endpoint, model_id = self._models.named(endpoint)
        handler = self._endpoints.get((method, endpoint))
        if handler is None:
            raise Refused("ENDPOINT_NOT_FOUND", f"{method} {endpoint} is not answered inside a trial of hopslite")
        with self._lock:
            return handler({**asked, **model_id})

    def record(self) -> dict[str, Any]:
        """Record of all runs; empty if there was none."""
        with self._lock:
            runs = [
                {
                    **{name: run.info[name] for name in ("run_id", "run_name", "status")},
                    "experiment": self._experiments[run.info["experiment_id"]]["name"],
                    "parent": run.tags.get(PARENT),
                    "params": run.params,
                    "tags": {key: value for key, value in run.tags.items() if not key.startswith(OURS)},
                    "metrics": {key: _json(values.last)["value"] for key, values in run.metrics.items()},
                }
                for run in self._runs.values()
            ]
            summary = {"runs": runs, **self._models.record()}
        return {name: value for name, value in summary.items() if value}

    def _experiment(self, number: str, name: str, location: str = "") -> dict[str, Any]:
        created = now()
        return self._experiments.setdefault(
            number,
            {
                "experiment_id": number,
                "name": name,
                "artifact_location": location or self._folder.as_uri(),
                "lifecycle_stage": "active",
                "creation_time": created,
                "last_update_time": created,
                "tags": [],
            },
        )

    def _get_experiment(self, asked: Asked) -> dict[str, Any]:
        number = text(asked, "experiment_id")  # a program may know one of its usual server
        return {"experiment": self._experiment(number, number)}

    def _get_experiment_by_name(self, asked: Asked) -> dict[str, Any]:
        name = text(asked, "experiment_name")
        for experiment in self._experiments.values():
            if experiment["name"] == name:
                return {"experiment": experiment}
        raise Refused("RESOURCE_DOES_NOT_EXIST", f"there is no experiment {name!r}")

    def _create_experiment(self, asked: Asked) -> dict[str, Any]:
        name, location = text(asked, "name"), asked.get("artifact_location")
        if any(existing["name"] == name for existing in self._experiments.values()):
            raise Refused("RESOURCE_ALREADY_EXISTS", f"there is an experiment {name!r}")
        number = str(max((int(existing) for existing in self._experiments if existing.isdecimal()), default=0) + 1)
        made = self._experiment(number, name, location if isinstance(location, str) else "")
        made["tags"] = pairs(pairs_of(asked, "tags"))
        return {"experiment_id": number}

    def _search_experiments(self, asked: Asked) -> dict[str, Any]:
        unfiltered(asked)
        return {"experiments": list(self._experiments.values())}

    def _tag_experiment(self, asked: Asked) -> dict[str, Any]:
        experiment = self._get_experiment(asked)["experiment"]
        tags = {tag["key"]: tag["value"] for tag in experiment["tags"]} | pairs_of({"tags": [asked]}, "tags")
        experiment["tags"] = pairs(tags)
        return {}

    def _create(self, asked: Asked) -> dict[str, Any]:
        experiment = self._get_experiment({"experiment_id": asked.get("experiment_id") or "0"})["experiment"]
        run_id, tags = uuid.uuid4().hex, pairs_of(asked, "tags")
        name = str(asked.get("run_name") or tags.get("mlflow.runName") or f"run-{len(self._runs) + 1}")
        own = experiment["artifact_location"] == self._folder.as_uri()
        info = {
            "run_id": run_id,
            "run_uuid": run_id,
            "run_name": name,
            "experiment_id": experiment["experiment_id"],
            "user_id": str(asked.get("user_id", "")),
            "status": "RUNNING",
            "start_time": whole(asked.get("start_time") or now()),
            "artifact_uri": f"{experiment['artifact_location'].rstrip('/')}/{run_id}{'' if own else '/artifacts'}",
            "lifecycle_stage": "active",
        }
        run = self._runs[run_id] = _Run(info, {**tags, "mlflow.runName": name})
        return {"run": run.shown()}

    def _run(self, asked: Asked) -> _Run:
        run_id = text(asked, "run_id" if "run_id" in asked else "run_uuid")
        if run_id not in self._runs:
            raise Refused("RESOURCE_DOES_NOT_EXIST", f"there is no run {run_id!r}")
        return self._runs[run_id]

    def _update(self, asked: Asked) -> dict[str, Any]:
        run = self._run(asked)
        if "end_time" in asked:
            run.info["end_time"] = whole(asked["end_time"])
        for name in ("status", "run_name"):
            if asked.get(name):
                run.info[name] = text(asked, name)
        run.tags["mlflow.runName"] = run.info["run_name"]
        return {"run_info": run.info}

    def _stage(self, asked: Asked, stage: str) -> dict[str, Any]:
        self._run(asked).info["lifecycle_stage"] = stage
        return {}

    def _search(self, asked: Asked) -> dict[str, Any]:
        unfiltered(asked)
        wanted = texts(asked, "experiment_ids") or list(self._experiments)
        stages = STAGES.get(str(asked.get("run_view_type", "ACTIVE_ONLY")), ("active", "deleted"))
        matching = [
            run.shown()
            for run in reversed(self._runs.values())
            if run.info["experiment_id"] in wanted and run.info["lifecycle_stage"] in stages
        ]
        return {"runs": matching[: whole(asked.get("max_results") or len(matching))]}

    def _log(
        self, asked: Asked, metrics: list[Asked] | None = None, params: list[Asked] | None = None,
        tags: list[Asked] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        run = self._run(asked)
        measured = [_metric(metric) for metric in metrics or ()]
        more, new_params = pairs_of({"tags": tags}, "tags"), pairs_of({"params": params}, "params")
        run.tags |= more
        run.params |= new_params
        self._hear(list(self._told(run, measured)))
        return {}

    def _told(self, run: _Run, measured: list[tuple[str, dict[str, Any]]]) -> Iterator[LoggedMetric]:
        for key, value in measured:
            values = run.metrics.setdefault(key, _Values())
            # The client says step 0 where the program says nothing: from the second on they are counted.
            counted = values.last.get("step") == value["step"] == 0
            if values.add(value):
                yield LoggedMetric(key, value["value"], None if counted else value["step"], PARENT in run.tags)

    def _delete_tag(self, asked: Asked) -> dict[str, Any]:
        if self._run(asked).tags.pop(text(asked, "key"), None) is None:
            raise Refused("RESOURCE_DOES_NOT_EXIST", f"there is no tag {asked['key']!r}")
        return {}

    def _log_inputs(self, asked: Asked) -> dict[str, Any]:
        run = self._run(asked)
        run.datasets += items(asked, "datasets")
        run.models["inputs"] += items(asked, "models")
        return {}

    def _log_outputs(self, asked: Asked) -> dict[str, Any]:
        self._run(asked).models["outputs"] += items(asked, "models")
        return {}

    def _log_model(self, asked: Asked) -> dict[str, Any]:
        self._run(asked)  # what clients before MLflow 3 tell of a model is in its files, too
        return {}

    def _history(self, asked: Asked) -> dict[str, Any]:
        run, key = self._run(asked), text(asked, "metric_key")
        points = run.metrics[key].history if key in run.metrics else ()
        return {"metrics": [{"key": key, **_json(point)} for point in points]}


def _metric(asked: Asked) -> tuple[str, dict[str, Any]]:
    key, value = text(asked, "key"), asked.get("value")
    try:
        if value is None or isinstance(value, bool):
            raise ValueError
        measured = float(value)  # NaN comes as a text
    except (TypeError, ValueError, OverflowError):
        raise Refused("INVALID_PARAMETER_VALUE", f"the value of {key[:80]!r} is {value!r:.80}; give a number") from None
    step, timestamp = whole(asked.get("step") or 0), whole(asked.get("timestamp") or now())
    return key, {"value": measured, "step": step, "timestamp": timestamp}


def _age(value: Mapping[str, Any]) -> tuple[int, int]:
    return value["step"], value["timestamp"]


def _json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Metric's value as protocol buffers represent it in JSON, which has no NaN."""
    number = value["value"]
    if math.isfinite(number):
        return dict(value)
    return {**value, "value": "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"}
