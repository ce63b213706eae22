"""Other ways to run a search, most of them on Spark, all called alike, so that a benchmark can set them side by side.

Each module has `run(objective, space, n_trials, slots, spark) -> seconds`:

- `objective` takes a dict of parameters and returns a number; smaller is better.
- `space` maps each name to its bounds, two floats.
- `slots` trials may run at once; `spark` is the active session, and has at least that many task slots.

Every peer gets what helps it: random sampling, settings meant to keep its slots busy, and a short untimed
run first, so that imports and the start of Python workers are not counted.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["NAMES", "measure"]

Objective = Callable[[dict[str, Any]], float]
Space = Mapping[str, tuple[float, float]]

NAMES = {
    "spark_jobs": "one Spark job per trial",
    "mlflow_study": "MlflowSparkStudy",
    "hyperopt_trials": "hyperopt SparkTrials",
    "optuna_threads": "Optuna, SQLite, threads",
    "ray_tune": "Ray Tune, reused actors",
    "ray_tune_fresh": "Ray Tune, fresh actors",
}


def measure(
    name: str, objective: Objective, space: Space, n_trials: int, slots: int, spark: SparkSession
) -> float | str:
    """The seconds that a peer needs, or one line that says why it cannot be measured here."""
    try:
        peer = importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        return f"not installed: {error}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            peer.run(objective, space, slots, slots, spark)
            return float(peer.run(objective, space, n_trials, slots, spark))
        except Exception as error:  # noqa: BLE001  whatever a peer does, the other rows of the table are wanted
            lines = str(error).strip().splitlines() or [""]
            return f"failed: {type(error).__name__}: {lines[0][:200]}"
