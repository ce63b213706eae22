"""What a trial costs beyond its own work: no-op trials on two slots, beside other systems on the same session.

    python benchmarks/overhead.py [--trials N] [--repeats R] [--no-peers]

The cost of a trial is the slope between a short and a long run, so that what a run costs once (a Spark job, the run's
record) does not count; that fixed part is in the table, too. hopslite records everything: journal, trial directories,
MLflow in SQLite and TensorBoard's HParams by a process of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Callable

import peers
import psutil
from _common import listed, median, project, seconds, session, table

from hopslite import experiment

SLOTS = 2


def no_op(x: float) -> float:
    return x


def no_op_of_dict(params: dict[str, float]) -> float:
    return params["x"]


def ours(spark: object, isolation: str, recording: bool) -> Callable[[int], float]:
    def run(trials: int) -> float:
        with project() as folder:
            elapsed = seconds(
                lambda: experiment.launch(
                    no_op,
                    {"x": [float(i) for i in range(trials)]},
                    project=folder,
                    spark=spark,
                    isolation=isolation,
                    tracking_uri=f"sqlite:///{folder}/mlflow.db" if recording else "off",
                    display=False,
                )
            )
            _stop_trackers()
            return elapsed

    return run


def _stop_trackers() -> None:
    """What MLflow is told after the run's end must not disturb the next measurement."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "hopslite.track.__main__" in " ".join(process.cmdline()):
                process.kill()
                process.wait(60)


def peer(name: str, spark: object) -> Callable[[int], float]:
    def run(trials: int) -> float:
        found = peers.measure(name, no_op_of_dict, {"x": (0.0, 1.0)}, trials, SLOTS, spark)
        if isinstance(found, str):
            raise RuntimeError(found)
        return found

    return run


def slope(run: Callable[[int], float], trials: int) -> tuple[float, float]:
    """Seconds a trial, and the rest of a run; the start of MLflow takes some seconds, and falls into both runs."""
    few = trials // 4
    short, long = run(few), run(trials)
    cost = (long - short) / (trials - few)
    return cost, short - few * cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--peer-trials", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
    logging.disable(logging.WARNING)  # peers print a line for each trial
    found: dict[str, list[tuple[float, float]]] = {}
    with session(f"local[{SLOTS}]") as spark:
        systems: dict[str, tuple[Callable[[int], float], int]] = {
            "hopslite": (ours(spark, "process", True), options.trials),
            "hopslite, isolation='none'": (ours(spark, "none", True), options.trials),
        }
        if not options.no_peers:
            systems |= {title: (peer(name, spark), options.peer_trials) for name, title in peers.NAMES.items()}
        for title, (run, trials) in systems.items():
            try:
                run(max(4, trials // 20))  # warm
                found[title] = []
            except RuntimeError as error:
                print(f"{title}: {error}")
        for _ in range(options.repeats):  # in turn, so that a noisy minute meets all of them
            for title, results in found.items():
                results.append(slope(*systems[title]))
    costs = {title: 1000 * median([cost for cost, _ in results]) for title, results in found.items()}
    best_peer = min((cost for title, cost in costs.items() if not title.startswith("hopslite")), default=None)
    rows = []
    for title, results in found.items():
        every = listed((1000 * cost for cost, _ in results), 1)
        ratio = f"{best_peer / costs[title]:.0f}" if best_peer and title.startswith("hopslite") else ""
        rows.append([title, f"{costs[title]:.1f}", every, f"{median([rest for _, rest in results]):.1f}", ratio])
    head = ["system", "ms a trial, median", "each round", "rest of a run, s", "times below the best peer"]
    table("Overhead of no-op trials, 2 slots", head, rows)


if __name__ == "__main__":
    main()
