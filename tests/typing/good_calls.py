"""Calls that type checkers accept, with the types that they see. This module is checked, and not run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import hopslite
from hopslite import experiment
from hopslite.core.types import Result
from hopslite.result import Run, SearchRun, TrainingRun
from hopslite.search import Suggestion
from hopslite.space import Space
from hopslite.stop import Median

Outputs = dict[str, Any]


def train(lr: float, depth: int = 1) -> dict[str, float]:
    hopslite.report(lr, step=depth)
    hopslite.report(lr)
    assert_type(hopslite.inputs["images"], str)
    assert_type(experiment.checkpoint_dir(), "str | None")
    return {"accuracy": lr}


class Walk:
    """An algorithm of a user's."""

    budget = "epochs"

    def __init__(self, space: Space, *, direction: experiment.Direction, seed: int, num_trials: int | None) -> None:
        self.total = num_trials or 10
        self.done = False

    def ask(self, trial_id: str) -> Suggestion | None:
        return Suggestion({"lr": 0.1})

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        return Suggestion(params)

    def tell(self, result: Result) -> None:
        self.done = result.metric is None

    def notes(self) -> list[str]:
        return []


class Never:
    """A stopper of a user's."""

    def begin(self, direction: experiment.Direction) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        return None

    def ended(self, result: Result) -> None: ...


def searches(space: Mapping[str, Any]) -> None:
    run = experiment.grid_search(train, {"lr": [0.1, 0.2]}, "min", name="digits", seed=1, timeout=60.0)
    best_logdir, best_params, best_outputs = run
    assert_type(best_logdir, "str | None")
    assert_type(best_params, "Outputs | None")
    assert_type(best_outputs, "Outputs | None")
    assert_type(run.best_params, "Outputs | None")
    assert_type(run.best_metric, "float | None")
    assert_type(run.wait_until_tracked(timeout=60.0), bool)
    assert_type(run.trials[0].params, Outputs)

    experiment.random_search(train, space, experiment.Direction.MIN, samples=20, stopper="median", report_as="best")
    experiment.differential_evolution(train, space, direction="MAX", initial="sobol", stopper=Median(min_trials=3))
    experiment.search(train, space, "tpe", num_trials=20, algorithm_options={"n_startup_trials": 5}, stopper=Never())
    experiment.search(train, space, algorithm=Walk, stopper=Median)
    several = experiment.search(
        train, space, "nsga2", direction=["max", "min"], optimization_key=["accuracy", "latency"], num_trials=20
    )
    assert_type(several.pareto_trials[0].metrics, "dict[str, float] | None")
    experiment.search(train, space, project=Path("runs"), inputs={"images": "s3://bucket/images.npz"})


def trainings() -> TrainingRun:
    logdir, outputs = experiment.launch(train, {"lr": [0.1]}, pool="inline", display=False, max_retries=0)
    assert_type(logdir, str)
    assert_type(outputs, "Outputs | None")
    chief_logdir, _ = experiment.mirrored(train, num_workers=2, on_failure="restart", evaluator_grace=5)
    assert_type(chief_logdir, str)
    return experiment.distributed(train, "torch", gpus_per_worker=1)


def any_run(run: Run) -> None:
    first, *_ = run
    assert_type(run.logdir, str)
    print(first, run.to_pandas().columns)


def other_verbs(search: SearchRun) -> None:
    any_run(search)
    any_run(experiment.load("digits/3", project="runs"))
    any_run(experiment.resume("digits", timeout=60, env={"A": "b"}))
    assert_type(experiment.best("digits", "accuracy", "max").params, Outputs)
    with experiment.start_run("pi", params={"terms": 100}, tags={"a": "b"}) as run:
        run.outputs["pi"] = 3.14
