"""What a framework's import costs the trials of one slot: the first, and the later ones.

    python benchmarks/imports.py

Each trial builds and fits a small Keras model. "Start" is from the moment the slot was given the trial to the moment
the function's imports are done. Beside it the import in a fresh interpreter.
"""

from __future__ import annotations

import subprocess
import sys
import time

from _common import median, project, seconds, session, table

from hopslite import experiment


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


def main() -> None:
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
