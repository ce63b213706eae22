"""Optuna in threads of one process, with SQLite as its storage; without Spark."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

import optuna

if TYPE_CHECKING:
    from . import Objective, Space


def run(objective: Objective, space: Space, n_trials: int, slots: int, spark: Any) -> float:
    """The seconds that `n_trials` random trials take, as many threads as slots."""
    bounds = dict(space)

    def optuna_objective(trial: optuna.Trial) -> float:
        return objective({name: trial.suggest_float(name, low, high) for name, (low, high) in bounds.items()})

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        study = optuna.create_study(
            storage=f"sqlite:///{folder}/optuna.db", sampler=optuna.samplers.RandomSampler(seed=0)
        )
        study.optimize(optuna_objective, n_trials=n_trials, n_jobs=slots)
        return time.perf_counter() - started
