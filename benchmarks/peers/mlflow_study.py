"""MLflow's MlflowSparkStudy: Optuna in Spark tasks, with an MLflow experiment as its storage."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import mlflow
import optuna
from mlflow.optuna.storage import MlflowStorage
from mlflow.pyspark.optuna.study import MlflowSparkStudy

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from . import Objective, Space


def run(objective: Objective, space: Space, n_trials: int, slots: int, spark: SparkSession) -> float:
    """The seconds that `n_trials` random trials take, recorded in SQLite as hopslite's are.

    One task per slot, each with its share of the trials, so that a Python worker loads the study once; the default is a
    task per trial.
    """
    bounds = dict(space)

    def optuna_objective(trial: optuna.Trial) -> float:
        return objective({name: trial.suggest_float(name, low, high) for name, (low, high) in bounds.items()})

    with tracking_to_sqlite() as experiment_id:
        sampler = optuna.samplers.RandomSampler(seed=0)
        study = MlflowSparkStudy("peer", MlflowStorage(experiment_id=experiment_id), sampler=sampler)
        started = time.perf_counter()
        study.optimize(optuna_objective, n_trials=n_trials, n_jobs=slots)
        elapsed = time.perf_counter() - started
        if study.completed_trials_count != n_trials:
            raise RuntimeError(f"{study.completed_trials_count} of {n_trials} trials finished")
    return elapsed


@contextlib.contextmanager
def tracking_to_sqlite() -> Iterator[str]:
    """A new experiment in a database of its own; MLflow's settings are as before afterwards."""
    before = mlflow.get_tracking_uri()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        try:
            yield mlflow.create_experiment("peer", artifact_location=folder)
        finally:
            mlflow.set_tracking_uri(before)
