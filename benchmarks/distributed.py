"""What hopslite adds to a distributed training, beside the same processes started by hand with a ready-made TF_CONFIG.

    python benchmarks/distributed.py [--repeats R] [--steps N]

Two members of a MultiWorkerMirroredStrategy: as a run of hopslite on a warm cluster of two executors, and as two
processes of the same Python, in turn. Times are from the call, or from the first Popen, until the slowest member is
there: in the first line of the function; with TensorFlow imported; with one step made. MLflow and TensorBoard are off:
they are programs of the driver, which on this one machine would take the members' cores.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _common import median, project, table

from hopslite import experiment

ROLES = ("chief", "worker")
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OMP_NUM_THREADS": "1",  # what Spark sets for tasks of one core
    "HOPSLITE_TENSORBOARD": "off",
}
SHARES = ("steps a second", "fastest", "processor")
Marks = dict[str, float]


def nothing(folder: str, steps: int) -> Callable[[], float]:
    def train():
        import time

        first_line = time.time()
        import json
        import os

        role = json.loads(os.getenv("TF_CONFIG"))["task"]["type"]
        with open(os.path.join(folder, role), "w") as file:
            json.dump({"first line": first_line}, file)
        return 0.0

    return train


def mirrored(folder: str, steps: int) -> Callable[[], float]:
    def train():
        import time

        first_line = time.time()
        import tensorflow as tf

        imported = time.time()
        import json
        import os
        import statistics

        from sklearn.datasets import load_digits

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        images, labels = load_digits(return_X_y=True)
        with strategy.scope():
            hidden = tf.Variable(tf.random.stateless_normal((64, 256), (0, 1)) * 0.1)
            output = tf.Variable(tf.random.stateless_normal((256, 10), (0, 2)) * 0.1)
        data = tf.data.Dataset.from_tensor_slices((images.astype("float32") / 16, labels)).repeat().batch(256)
        batches = iter(strategy.experimental_distribute_dataset(data))

        def replica_step(x, y):
            with tf.GradientTape() as tape:
                logits = tf.nn.relu(x @ hidden) @ output
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            gradients = tape.gradient(loss, [hidden, output])
            gradients = tf.distribute.get_replica_context().all_reduce("mean", gradients)
            hidden.assign_sub(0.1 * gradients[0])
            output.assign_sub(0.1 * gradients[1])
            return loss

        @tf.function
        def step(batch):
            return strategy.reduce("mean", strategy.run(replica_step, args=batch), axis=None)

        loss = float(step(next(batches)))
        first_step = time.time()
        for _ in range(steps // 5):  # until it goes at its usual speed
            loss = step(next(batches))
        float(loss)
        times = []
        used = time.process_time()
        for _ in range(steps // 50):
            began = time.perf_counter()
            for _ in range(50):
                loss = step(next(batches))
            loss = float(loss)
            times.append(time.perf_counter() - began)
        used = time.process_time() - used
        role = json.loads(os.getenv("TF_CONFIG"))["task"]["type"]
        marks = {"first line": first_line, "imported": imported, "first step": first_step}
        marks |= {"steps a second": 50 / statistics.median(times), "fastest": 50 / min(times)}
        marks["processor"] = 1000 * used / steps
        with open(os.path.join(folder, role), "w") as file:
            json.dump(marks, file)
        return loss

    return train


@contextlib.contextmanager
def warm_cluster() -> Iterator[Any]:
    """Two executors of one core, in JVMs of their own, whose Python workers have started."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(f"local-cluster[{len(ROLES)},1,1024]")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        spark.sparkContext.parallelize(range(8), 8).count()
        by_hopslite(nothing, 0, spark)
        yield spark
    finally:
        spark.stop()


def by_hopslite(make: Callable[[str, int], Callable[[], float]], steps: int, spark: Any) -> Marks:
    with project() as folder:
        began = time.time()
        experiment.mirrored(
            make(folder, steps),
            num_workers=len(ROLES),
            spark=spark,
            project=folder,
            tracking_uri="off",
            display=False,
        )
        return marks(folder, began)


def by_hand(make: Callable[[str, int], Callable[[], float]], steps: int, _: Any) -> Marks:
    program = f"from __future__ import annotations\n{inspect.getsource(make)}"
    with tempfile.TemporaryDirectory() as folder:
        cluster = {role: [f"127.0.0.1:{port}"] for role, port in zip(ROLES, free_ports(len(ROLES)), strict=True)}
        began = time.time()
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", f"{program}\n{make.__name__}({folder!r}, {steps})()"],
                env=os.environ | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": role, "index": 0}})},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for role in ROLES
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError(f"the processes started by hand ended with {codes}")
        return marks(folder, began)


def marks(folder: str, began: float) -> Marks:
    """Seconds from the start, and steps a second, of the slower member; processor time on average."""
    each = [json.loads(Path(folder, role).read_text()) for role in ROLES]
    found = {name: [member[name] for member in each] for name in each[0]}
    times = {name: max(values) - began for name, values in found.items() if name not in SHARES}
    rates = {name: min(values) for name, values in found.items() if name in SHARES}
    return times | rates | {"processor": sum(found["processor"]) / len(ROLES)} if rates else times


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


def in_turn(make: Callable[[str, int], Callable[[], float]], steps: int, spark: Any, repeats: int) -> list[list[Marks]]:
    """What each way measured; which one goes first changes, since neither a fast nor a slow minute is to favour one."""
    ways = [by_hopslite, by_hand]
    found: list[list[Marks]] = [[], []]
    for number in range(repeats):
        for way in (0, 1) if number % 2 else (1, 0):
            found[way].append(ways[way](make, steps, spark))
    return found


def row(title: str, found: list[list[Marks]], name: str) -> list[Any]:
    values = [[each[name] for each in way] for way in found]
    ours, hands = (median(way) for way in values)
    digits = 2 if name not in SHARES or name == "processor" else 0
    difference = f"{100 * (ours / hands - 1):+.1f} %" if name in SHARES else f"{ours - hands:+.2f} s"
    every = [", ".join(f"{value:.{digits}f}" for value in way) for way in values]
    return [title, f"{ours:.{digits}f}", f"{hands:.{digits}f}", difference, *every]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    with warm_cluster() as spark:
        plain = in_turn(nothing, 0, spark, options.repeats)
        trained = in_turn(mirrored, options.steps, spark, options.repeats)
    rows = [
        row("first line, a function without TensorFlow, s", plain, "first line"),
        row("first line, with TensorFlow, s", trained, "first line"),
        row("TensorFlow imported, s", trained, "imported"),
        row("first step made, s", trained, "first step"),
        row("steps a second, median of 50", trained, "steps a second"),
        row("steps a second, the fastest 50", trained, "fastest"),
        row("processor time of a step, ms", trained, "processor"),
    ]
    head = ["two members", "hopslite", "by hand", "difference", "each round: hopslite", "each round: by hand"]
    table("Distributed training beside processes started by hand, medians", head, rows)


if __name__ == "__main__":
    main()
