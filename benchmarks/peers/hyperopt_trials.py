"""hyperopt's SparkTrials: a Spark job for each trial, and a driver that looks for news once a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import hyperopt
import numpy as np

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from . import Objective, Space


def run(objective: Objective, space: Space, n_trials: int, slots: int, spark: SparkSession) -> float:
    """The seconds that `n_trials` random trials take."""
    trials = hyperopt.SparkTrials(parallelism=slots, spark_session=spark)
    started = time.perf_counter()
    hyperopt.fmin(
        objective,
        {name: hyperopt.hp.uniform(name, low, high) for name, (low, high) in space.items()},
        algo=hyperopt.rand.suggest,
        max_evals=n_trials,
        max_queue_len=slots,  # suggestions are ready before a slot is free
        trials=trials,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
        verbose=False,
    )
    elapsed = time.perf_counter() - started
    if trials.count_successful_trials() != n_trials:
        raise RuntimeError(f"{trials.count_successful_trials()} of {n_trials} trials succeeded")
    return elapsed
