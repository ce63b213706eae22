"""What a trial costs that asks for its parameters: no-op objectives of Optuna's, beside Optuna and MlflowSparkStudy.

    python benchmarks/define_by_run.py [--trials N] [--repeats R] [--no-peers]

The whole call is measured, in a warm session and after a short run of each system; `rest` and slope are not told apart
as in `overhead.py`, since users see the whole. A suggestion is what the objective waits for it.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
from collections.abc import Callable
from typing import Any

import peers
from _common import listed, median, project, seconds, session, table

from hopslite import experiment

SLOTS = 2
PARAMETERS = ("x", "y", "z")


def objective(trial: Any) -> float:
    """A no-op objective with three parameters, which times them."""
    import time

    started = time.perf_counter()
    values = [trial.suggest_float(name, 0.0, 1.0) for name in PARAMETERS]
    milliseconds = 1000 * (time.perf_counter() - started) / len(PARAMETERS)
    print(f"{milliseconds:.4f}")
    return float(sum(values))


def no_op(params: dict[str, float]) -> float:
    return sum(params.values())


def ours(spark: object, algorithm: str, isolation: str, waits: list[float]) -> Callable[[int], float]:
    def run(trials: int) -> float:
        with project() as folder:
            runs: list[experiment.Run] = []

            def search() -> None:
                runs.append(
                    experiment.search(
                        objective,
                        algorithm=algorithm,
                        direction="min",
                        num_trials=trials,
                        project=folder,
                        spark=spark,
                        isolation=isolation,
                        tracking_uri="off",
                        display=False,
                        seed=0,
                    )
                )

            elapsed = seconds(search)
            for trial in runs[0].trials:
                with open(f"{trial.logdir}/{trial.log}", encoding="utf-8") as log:
                    waits.append(float(log.read().split()[-1]))
            return elapsed

    return run


def peer(name: str, spark: object) -> Callable[[int], float]:
    def run(trials: int) -> float:
        elapsed = peers.measure(name, no_op, dict.fromkeys(PARAMETERS, (0.0, 1.0)), trials, SLOTS, spark)
        if isinstance(elapsed, str):
            raise RuntimeError(elapsed)
        return elapsed

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
    os.environ["HOPSLITE_TENSORBOARD"] = "off"
    logging.disable(logging.WARNING)  # peers print a line for each trial
    waits: dict[str, list[float]] = {}
    results: dict[str, list[float]] = {}
    with session(f"local[{SLOTS}]") as spark:
        systems: dict[str, Callable[[int], float]] = {}
        for algorithm, isolation in (("random", "process"), ("random", "none"), ("tpe", "process")):
            title = f"hopslite, {algorithm}, isolation={isolation!r}"
            systems[title] = ours(spark, algorithm, isolation, waits.setdefault(title, []))
        if not options.no_peers:
            systems |= {peers.NAMES[name]: peer(name, spark) for name in ("optuna_threads", "mlflow_study")}
        for title, run in systems.items():
            try:
                run(8)  # warm
                results[title] = []
            except RuntimeError as error:
                print(f"{title}: {error}")
        for _ in range(options.repeats):  # in turn, so that a noisy minute meets all of them
            for title, costs in results.items():
                costs.append(1000 * systems[title](options.trials) / options.trials)
    rows = []
    for title, costs in results.items():
        wait = f"{statistics.median(waits[title]):.2f}" if title in waits else ""
        rows.append([title, f"{median(costs):.1f}", listed(costs, 1), wait])
    head = ["system", "ms a trial, median", "each round", "ms a suggestion, median"]
    table(f"{options.trials} no-op objectives of {len(PARAMETERS)} parameters, {SLOTS} slots, whole calls", head, rows)


if __name__ == "__main__":
    main()
