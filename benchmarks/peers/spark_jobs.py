"""The plain way: a thread for each slot, and a Spark job of one task for each trial, in a warm session."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from . import Objective, Space


def run(objective: Objective, space: Space, n_trials: int, slots: int, spark: SparkSession) -> float:
    """The seconds that `n_trials` random trials take."""
    random = np.random.default_rng(0)
    trials = [{k: float(random.uniform(low, high)) for k, (low, high) in space.items()} for _ in range(n_trials)]

    def trial(params: dict[str, float]) -> float:
        return float(spark.sparkContext.parallelize([params], 1).map(objective).collect()[0])

    started = time.perf_counter()
    with ThreadPoolExecutor(slots) as threads:
        results = list(threads.map(trial, trials))
    elapsed = time.perf_counter() - started
    if len(results) != n_trials:
        raise RuntimeError(f"{len(results)} of {n_trials} trials finished")
    return elapsed
