"""Ray Tune with actors that are used again for later trials; without Spark."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

if TYPE_CHECKING:
    from . import Objective, Space


def run(objective: Objective, space: Space, n_trials: int, slots: int, spark: Any, reuse_actors: bool = True) -> float:
    """The seconds that `n_trials` random trials take; Ray itself runs before, and keeps running."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    if not ray.is_initialized():
        ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    def trainable(config: dict[str, Any]) -> dict[str, float]:
        return {"metric": objective(config)}

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={name: tune.uniform(low, high) for name, (low, high) in space.items()},
            tune_config=tune.TuneConfig(num_samples=n_trials, max_concurrent_trials=slots, reuse_actors=reuse_actors),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        elapsed = time.perf_counter() - started
    if results.num_errors or len(results) != n_trials:
        raise RuntimeError(f"{len(results) - results.num_errors} of {n_trials} trials finished")
    return elapsed
