"""What a trial costs over Spark Connect, with messages directly and through the project, beside a classic session.

    python benchmarks/connect.py [--trials N] [--peer-trials N] [--repeats R]

No-op trials on two slots. The cost of a trial is the slope between a short and a long run, as in `overhead.py`. The
Connect server and the classic session are Sparks of their own with `local[2]`, of which only the one that is measured
does anything. MlflowSparkStudy has a process of its own, since it takes the kind of session from the environment.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers
from _common import median, project, seconds, session, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hopslite import experiment
from tests.helpers.connect_server import ConnectServer

SHORT = 8
STUDY = "MlflowSparkStudy over Spark Connect"


def no_op(x: float) -> float:
    return x


def run_of(spark: Any, channel: str, isolation: str) -> Callable[[int], float]:
    """The function that measures a run of so many trials, in seconds."""

    def run(trials: int) -> float:
        os.environ["HOPSLITE_CHANNEL"] = channel
        with project() as folder:
            return seconds(
                lambda: experiment.launch(
                    no_op,
                    {"x": [float(number) for number in range(trials)]},
                    project=folder,
                    spark=spark,
                    isolation=isolation,
                    tracking_uri="off",
                    display=False,
                )
            )

    return run


def study_of(url: str) -> Callable[[int], float]:
    """The function that measures so many trials of MlflowSparkStudy over a server, in seconds."""

    def run(trials: int) -> float:
        command = [sys.executable, __file__, "--study", str(trials)]
        done = subprocess.run(
            command, env={**os.environ, "SPARK_REMOTE": url}, stdout=subprocess.PIPE, text=True, check=True
        )
        return float(done.stdout.split()[-1])

    return run


def no_op_of_dict(params: dict[str, Any]) -> float:
    return float(params["x"])


def study(trials: int) -> None:
    """Print the seconds that MlflowSparkStudy takes in this process, whose session is that of SPARK_REMOTE."""
    from pyspark.sql import SparkSession

    logging.disable(logging.WARNING)
    spark = SparkSession.builder.getOrCreate()
    print(peers.measure("mlflow_study", no_op_of_dict, {"x": (0.0, 1.0)}, trials, 2, spark))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--peer-trials", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--study", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.study:
        study(options.study)
        return
    os.environ["HOPSLITE_TENSORBOARD"] = "off"
    with session("local[2]") as classic, ConnectServer() as server:
        connect = server.session()
        systems = {
            "classic": run_of(classic, "auto", "process"),
            "Spark Connect, direct": run_of(connect, "direct", "process"),
            "Spark Connect, relay": run_of(connect, "relay", "process"),
            "classic, isolation='none'": run_of(classic, "auto", "none"),
            "Spark Connect, direct, isolation='none'": run_of(connect, "direct", "none"),
            "Spark Connect, relay, isolation='none'": run_of(connect, "relay", "none"),
        }
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
        for run in systems.values():
            run(2)  # processes start and code is compiled
        trials = dict.fromkeys(systems, options.trials)
        systems[STUDY], results[STUDY], trials[STUDY] = study_of(server.url), [], options.peer_trials
        for _ in range(options.repeats):  # taking turns
            for name, run in systems.items():
                short, long = run(SHORT), run(SHORT + trials[name])
                cost = (long - short) / trials[name]
                results[name].append((cost, short - SHORT * cost))
        rows = [
            [name, 1000 * median([cost for cost, _ in measured]), median([rest for _, rest in measured])]
            for name, measured in results.items()
        ]
    table("No-op trials on two slots", ["", "ms a trial", "s a run besides"], rows)


if __name__ == "__main__":
    main()
