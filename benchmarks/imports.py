"""What imports cost: hopslite's own, and a framework's in the trials of one slot, the first and the later ones.

    python benchmarks/imports.py [--own]

hopslite's are measured in fresh interpreters, in turn, as processor time, which varies less than elapsed time on a busy
machine; with `--own` only they are. Each trial builds and fits a small Keras model. "Start" is from the moment the slot
was given the trial to the moment the function's imports are done. Beside it the import in a fresh interpreter.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

from _common import listed, median, project, seconds, session, table

from hopslite import experiment

REPEATS = 10
STATEMENTS = (
    "pass",
    "import hopslite",
    "from hopslite import experiment",
    "import hopslite.pool._spark_task",  # what a slot imports before its first trial
    "import numpy",
    "import pyspark.sql",
)


def train(number: int) -> dict[str, float]:
    entered = time.time()
    import keras
    import numpy as np

    imported = time.time()
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    generator = np.random.default_rng(number)
    inputs = generator.random((256, 8))
    model.fit(inputs, inputs.sum(axis=1), epochs=2, verbose=0)
    return {"metric": float(number), "entered": entered, "imported": imported}


def processor_seconds(statement: str) -> float:
    """Processor time of an interpreter that runs a statement; bytecode is cached, as after an installation."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def own_imports() -> None:
    found: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for repeat in range(REPEATS + 1):
        for statement, values in found.items():
            elapsed = processor_seconds(statement)
            if repeat:  # the first compiles
                values.append(elapsed)
    rows = [[f"`{statement}`", f"{median(values):.3f}", listed(values, 2)] for statement, values in found.items()]
    table("hopslite's imports, in a fresh interpreter", ["", "s of processor time, median", "each round"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--own", action="store_true", help="only hopslite's own imports")
    options = parser.parse_args()
    own_imports()
    if not options.own:
        frameworks()


def frameworks() -> None:
    fresh = median(
        [
            seconds(lambda: subprocess.run([sys.executable, "-c", "import keras"], check=True, stderr=-3))
            for _ in range(3)
        ]
    )
    rows = [["import in a fresh interpreter", fresh, "", ""]]
    with session("local[1]") as spark, project() as folder:
        for isolation in ("process", "none"):
            run = experiment.launch(
                train,
                {"number": list(range(8))},
                project=folder,
                spark=spark,
                isolation=isolation,
                tracking_uri="off",
                display=False,
            )
            ready = [0.0, *(trial.started_at + trial.duration for trial in run.trials[:-1])]
            starts = [trial.outputs["imported"] - begin for trial, begin in zip(run.trials, ready, strict=True)]
            first = run.trials[0].outputs["imported"] - run.started.timestamp()
            lengths = [trial.duration for trial in run.trials[1:]]
            rows.append([f"isolation={isolation!r}", first, median(starts[1:]), median(lengths)])
    head = [
        "",
        "first trial ready to train after, s",
        "later trials: from the end of the one before, s",
        "whole trial, s",
    ]
    table("Imports", head, rows)


if __name__ == "__main__":
    main()
