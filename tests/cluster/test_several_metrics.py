"""Reports with several metrics, and a search that optimises two, in processes on Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.stop import Threshold


def train(x: float) -> dict[str, float]:
    import numpy as np

    import hopslite

    for step in range(30):
        hopslite.report({"loss": np.float32(1 / (1 + step)), "accuracy": x * step}, step)
    return {"accuracy": 29 * x, "latency": x**2 if x != 3 else 100.0}


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_all_metrics_arrive_and_the_front_is_chosen(local_spark: Any, project: str, isolation: Any) -> None:
    run = experiment.search(
        train, {"x": [1, 4]}, "nsga2", direction=["max", "min"], optimization_key=["accuracy", "latency"],
        num_trials=4, seed=1, isolation=isolation, display=False,
    )  # fmt: skip
    assert {trial.params["x"] for trial in run.pareto_trials} == {1, 2, 4}
    frame = run.reports()
    assert frame.groupby(["trial", "metric"])["value"].count().to_dict() == {
        (trial.id, name): 30 for trial in run.trials for name in ("accuracy", "loss")
    }
    assert frame[frame.metric == "loss"]["value"].max() == 1
    record = json.loads(Path(run.logdir, "run.json").read_text())
    assert record["pareto_trials"] == [trial.id for trial in run.pareto_trials]


def until_stopped(x: float) -> float:
    import time

    import hopslite

    for step in range(30 if x > 0 else 100_000):
        hopslite.report({"loss": 1 / (1 + step), "accuracy": x * step}, step)
        time.sleep(0 if x > 0 else 0.01)
    return x


def test_a_stopper_gets_the_optimised_one_of_several(local_spark: Any, project: str) -> None:
    run = experiment.grid_search(
        until_stopped, {"x": [-1.0, 1.0]}, optimization_key="accuracy", stopper=Threshold(lower=-3.0), display=False
    )
    assert [str(trial.state) for trial in run.trials] == ["STOPPED", "FINISHED"]
    assert set(run.trials[0].outputs or {}) >= {"accuracy", "loss"}
