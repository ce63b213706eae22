"""What early stopping saves: a random search of a convolutional network on real images, with and without a stopper.

    python benchmarks/earlystop.py [--trials N] [--epochs N] [--seeds S ...]

scikit-learn's handwritten digits, 8 × 8 pixels, half of them for validation. The same random configurations with no
stopper, with "median" and "asha", and as many random configurations with the algorithm "hyperband", which gives each
trial a number of epochs and lets promoted ones go on from their checkpoint. Two slots, one thread for each trial; the
initial weights and the order of the images are the same in all. A trial's metric is its best validation accuracy.

Training time is the sum of the trials' times. "With a barrier" is what the same trials would have taken in batches of
two that wait for each other, as a Spark job for each batch has them: the sum of the longer time of each pair.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

from _common import listed, median, project, session, table

from hopslite import experiment, space
from hopslite.experiment import Run

SLOTS = 2
EPOCHS = 27
SPACE = {
    "learning_rate": space.loguniform(1e-5, 1e-1),
    "filters": space.integer(8, 48),
    "kernel": space.choice([3, 5]),
    "dropout": space.uniform(0.0, 0.7),
    "batch_size": space.choice([16, 32, 64]),
}


def train(
    learning_rate: float, filters: int, kernel: int, dropout: float, batch_size: int, epochs: int, budget: int = 0
) -> dict[str, Any]:
    """Train for `epochs`, or where `budget` is given up to that many, going on from the checkpoint if there is one."""
    import keras
    import tensorflow as tf
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from hopslite.callbacks import KerasEpochEnd

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 16.0
    x, x_test, y, y_test = train_test_split(images, labels, test_size=0.5, random_state=0)
    checkpoint = os.path.join(experiment.checkpoint_dir() or "", "model.keras")
    begin = 0
    if budget and os.path.exists(checkpoint):
        model = keras.models.load_model(checkpoint)
        begin = int(model.optimizer.iterations) // -(-len(x) // batch_size)
        keras.utils.set_random_seed(begin)
    else:
        keras.utils.set_random_seed(0)
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(filters, kernel, padding="same", activation="relu"),
                layers.Conv2D(filters, kernel, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(2 * filters, kernel, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dropout(dropout),
                layers.Dense(10, activation="softmax"),
            ]
        )
        optimizer = keras.optimizers.Adam(learning_rate)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x,
        y,
        batch_size,
        initial_epoch=begin,
        epochs=budget or epochs,
        validation_data=(x_test, y_test),
        verbose=0,
        callbacks=[KerasEpochEnd(metric="val_accuracy")],
    ).history
    if 0 < budget < epochs:
        model.save(checkpoint)
    return {"accuracy": max(history["val_accuracy"])}


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search took, in seconds, and what it found."""

    training: float
    epochs: int
    wall: float
    barrier: float
    best: float
    stopped: int
    trials: int


def searched(options: dict[str, Any], trials: int, epochs: int, seed: int, spark: object) -> Found:
    with project() as folder:
        run = experiment.search(
            train,
            {**SPACE, "epochs": space.choice([epochs])},
            num_trials=trials,
            optimization_key="accuracy",
            name="earlystop",
            seed=seed,
            report_as="best",
            project=folder,
            spark=spark,
            tracking_uri="off",
            display=False,
            **options,
        )
        return summed_up(run, reports_of(run))


def reports_of(run: Run) -> int:
    """How many epochs were reported, from the run's journal."""
    from hopslite.storage.journal import JournalReader
    from hopslite.storage.run_directory import RunDir

    return sum(event.kind == "report" for event in JournalReader(RunDir(run.logdir)).new())


def summed_up(run: Run, epochs: int) -> Found:
    times = [float(trial.duration or 0) for trial in run.trials]
    barrier = sum(max(times[start : start + SLOTS]) for start in range(0, len(times), SLOTS))
    begin = min(trial.started_at for trial in run.trials if trial.started_at)
    end = max(trial.started_at + (trial.duration or 0) for trial in run.trials if trial.started_at)
    stopped = run.counts.get("STOPPED", 0)
    return Found(sum(times), epochs, end - begin, barrier, float(run.best_metric or 0), stopped, len(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", "HOPSLITE_TENSORBOARD": "0"})
    searches: dict[str, dict[str, Any]] = {
        "no stopper": {},
        "median": {"stopper": "median"},
        "asha": {"stopper": "asha"},
        "hyperband": {"algorithm": "hyperband", "algorithm_options": {"max_budget": options.epochs}},
    }
    found: dict[str, list[Found]] = {title: [] for title in searches}
    with session(f"local[{SLOTS}]") as spark:
        searched({}, SLOTS, 1, 0, spark)  # the frameworks come from the disk's cache afterwards
        for seed in options.seeds:  # in turn, so that a noisy minute meets all of them
            for title, chosen in searches.items():
                found[title].append(searched(chosen, options.trials, options.epochs, seed, spark))
    report(found, options)


def report(found: dict[str, list[Found]], options: argparse.Namespace) -> None:
    rows = []
    for title, each in found.items():
        whole = found["no stopper"]
        less = [100 - 100 * one.training / other.training for one, other in zip(each, whole, strict=True)]
        fewer = [100 - 100 * one.epochs / other.epochs for one, other in zip(each, whole, strict=True)]
        worse = [100 * (other.best - one.best) for one, other in zip(each, whole, strict=True)]
        rows.append(
            [
                title,
                f"{median([one.trials for one in each]):.0f} ({median([one.stopped for one in each]):.0f})",
                f"{median([one.epochs for one in each]):.0f}",
                "" if each is whole else f"{listed(fewer, 0)} %",
                f"{median([one.training for one in each]):.0f}",
                "" if each is whole else f"{listed(less, 0)} %",
                f"{median([one.wall for one in each]):.0f}",
                f"{median([one.barrier for one in each]):.0f}",
                listed([100 * one.best for one in each], 2),
                "" if each is whole else listed(worse, 2),
            ]
        )
    head = ["search", "trials (stopped)", "epochs trained", "fewer", "training time, s", "less", "run, s"]
    head += ["with a barrier, s", "best validation accuracy, %", "points below"]
    seeds = f"seeds {', '.join(map(str, options.seeds))}"
    table(f"Early stopping, {options.trials} configurations of {options.epochs} epochs, 2 slots, {seeds}", head, rows)


if __name__ == "__main__":
    main()
