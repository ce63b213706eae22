"""Runs that are written as a driver would have recorded them, without running anything."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from typing import Any

from hopslite.core.types import Event
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir

SPACE = {
    "rate": {"type": "loguniform", "low": 1e-4, "high": 1e-1},
    "units": {"type": "integer", "low": 8, "high": 128},
    "momentum": {"type": "uniform", "low": 0.0, "high": 1.0},
    "kind": {"type": "choice", "values": ["relu", "tanh", "gelu"]},
}


def recorded_run(project: str, name: str, trials: int, reports: int = 10, **record: Any) -> RunDir:
    """A search with this many trials; `record` changes what is in its `run.json`."""
    run_id, version, run = Project(project).new_run(name)
    began = time.time() - trials * 0.5
    facts: dict[str, Any] = {
        "run_id": run_id,
        "name": name,
        "version": version,
        "verb": "random_search",
        "state": "FINISHED",
        "direction": "MAX",
        "optimization_key": "accuracy",
        "space": SPACE,
        "total": trials,
        "started": began,
        "tags": {},
        "duration": trials * 0.5,
        "user": "somebody",
        **record,
    }
    events = [
        Event("run_started", began, None, {**facts, "state": "RUNNING", "duration": None}),
        *_trials(began, trials, reports),
    ]
    if facts["state"] != "RUNNING":
        events.append(
            Event("run_ended", began + trials * 0.5, None, {"state": facts["state"], "duration": trials * 0.5})
        )
    run.write_json("run.json", facts)
    append(run, events, number=1)
    return run


def append(run: RunDir, events: list[Event], number: int = 1) -> None:
    """Add events to a segment of the journal."""
    name = f"journal/{number:06d}.jsonl"
    lines = "".join(f"{event.to_line()}\n" for event in events).encode()
    run.makedirs("journal")
    if run.is_local:
        with open(run.path(name), "ab") as file:
            file.write(lines)
    else:
        before = run.read_many([name])[0] or b""
        run.write_bytes(name, before + lines)


def _trials(began: float, trials: int, reports: int) -> Iterator[Event]:
    generator = random.Random(7)
    for number in range(trials):
        trial, start = f"{number:04d}", began + (number // 2) * 1.0
        params = {
            "rate": 10 ** generator.uniform(-4, -1),
            "units": generator.randint(8, 128),
            "momentum": generator.random(),
            "kind": generator.choice(["relu", "tanh", "gelu"]),
        }
        quality = 0.9 - 0.1 * abs(math.log10(params["rate"]) + 2.5) + params["units"] / 2000 + generator.gauss(0, 0.01)
        yield Event("asked", start, trial, {"params": params})
        yield Event("started", start, trial, {"slot": number % 2, "host": "localhost", "attempt": 0})
        is_stopped = number % 7 == 3
        for step in range(reports // 2 if is_stopped else reports):
            value = quality * (1 - math.exp(-(step + 1) / 4))
            metrics = {"accuracy": value, "loss": 1 - value / 2}
            yield Event(
                "report", start + step * 0.05, trial, {"step": step, "value": value, "metrics": metrics, "attempt": 0}
            )
        result = {
            "trial_id": trial,
            "state": "STOPPED" if is_stopped else "FINISHED",
            "metric": quality,
            "started": start,
            "duration": 0.9,
        }
        yield Event("ended", start + 0.9, trial, result)
