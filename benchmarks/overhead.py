"""What a trial costs beyond its own work: no-op trials on two slots, beside other systems on the same session.

    python benchmarks/overhead.py [--trials N] [--repeats R] [--no-peers]

The cost of a trial is the slope between a short and a long run, so that what a run costs once (a Spark job, the run's
record) does not count; that fixed part is in the table, too. hopslite records everything: journal, trial directories,
MLflow in SQLite and TensorBoard's HParams by a process of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from _common import median, project, seconds, session, table
from peers import hyperopt_trials, mlflow_study, spark_jobs

from hopslite import experiment

SLOTS = 2


def no_op(x: float) -> float:
    return x


def ours(spark: object, isolation: str, recording: bool) -> Callable[[int], float]:
    def run(trials: int) -> float:
        with project() as folder:
            return seconds(
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

    return run


def peer(module: object, spark: object) -> Callable[[int], float]:
    return lambda trials: module.run(no_op, {"x": (0.0, 1.0)}, trials, SLOTS, spark)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--peer-trials", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    with session(SLOTS) as spark:
        systems: list[tuple[str, Callable[[int], float], int]] = [
            ("hopslite", ours(spark, "process", True), options.trials),
            ("hopslite, isolation='none'", ours(spark, "none", True), options.trials),
            ("hopslite, isolation='none', MLflow off", ours(spark, "none", False), options.trials),
        ]
        if not options.no_peers:
            peers = {
                "one Spark job per trial": spark_jobs,
                "MlflowSparkStudy": mlflow_study,
                "hyperopt SparkTrials": hyperopt_trials,
            }
            systems += [(name, peer(module, spark), options.peer_trials) for name, module in peers.items()]
        rows = [_row(name, run, trials, options.repeats) for name, run, trials in systems]
    best_peer = min((row[1] for row in rows if not row[0].startswith("hopslite") and row[1] is not None), default=None)
    shown = []
    for name, cost, fixed in rows:
        ratio = f"{best_peer / cost:.0f}" if best_peer and cost and name.startswith("hopslite") else ""
        shown.append([name, "failed" if cost is None else f"{1000 * cost:.1f}", "" if fixed is None else fixed, ratio])
    head = ["system", "ms a trial", "fixed part of a run, s", "times cheaper than the best peer"]
    table("Overhead of no-op trials, 2 slots", head, shown)


def _row(name: str, run: Callable[[int], float], trials: int, repeats: int) -> tuple[str, float | None, float | None]:
    short = max(4, trials // 20)
    try:
        run(short)  # warm
        pairs = [(run(short), run(trials)) for _ in range(repeats)]
    except Exception as error:  # noqa: BLE001 - a peer that does not work with this Spark is a row, not the end
        print(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        return name, None, None
    cost = median([(long - brief) / (trials - short) for brief, long in pairs])
    return name, cost, max(0.0, median([brief for brief, _ in pairs]) - short * cost)


if __name__ == "__main__":
    main()
