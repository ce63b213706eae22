"""What hopslite adds to a distributed training, beside the same processes started by hand with a ready-made TF_CONFIG.

    python benchmarks/distributed.py [--repeats R] [--turns N]

Two members of a MultiWorkerMirroredStrategy: as a run of hopslite on a warm cluster of two executors, and as two
processes of the same Python. Times are from the call, or from the first Popen, until the slower member is there: in the
first line of the function; with TensorFlow imported; with one step made. They are measured in turn. Steps a second are
measured with both there at once, which take turns of 50 steps, so that a busy moment of the machine meets both. MLflow
and TensorBoard are off: they are programs of the driver, which on this one machine would take the members' cores.
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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _common import listed, median, project, session, table

from hopslite import experiment

ROLES = ("chief", "worker")
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OMP_NUM_THREADS": "1",  # what Spark sets for tasks of one core
    "HOPSLITE_TENSORBOARD": "off",
}
RATES = ("steps a second", "processor")
WAYS = ("hopslite", "by hand")
Marks = dict[str, float]
Make = Callable[[str, int, str], Callable[[], float]]


def nothing(folder: str, turns: int, way: str) -> Callable[[], float]:
    def train():
        import time

        first_line = time.time()
        import json
        import os

        role = json.loads(os.getenv("TF_CONFIG"))["task"]["type"]
        with open(os.path.join(folder, f"{way} {role}"), "w") as file:
            json.dump({"first line": first_line}, file)
        return 0.0

    return train


def mirrored(folder: str, turns: int, way: str) -> Callable[[], float]:  # noqa: PLR0915 - sent as text, so in one piece
    def train():  # noqa: PLR0915
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
        role = json.loads(os.getenv("TF_CONFIG"))["task"]["type"]

        def await_turn(number):
            """The other two members have made theirs; hopslite's begin."""
            other, theirs = ("by hand", number - 1) if way == "hopslite" else ("hopslite", number)
            files = [os.path.join(folder, f"{other} {each} {theirs}") for each in ("chief", "worker")]
            deadline = time.monotonic() + 120
            while theirs >= 0 and not all(map(os.path.exists, files)):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no {files}")
                time.sleep(0.002)

        rates, used = [], []
        for number in range(turns):
            await_turn(number)
            for _ in range(5):
                loss = step(next(batches))
            float(loss)
            began, before = time.perf_counter(), time.process_time()
            for _ in range(50):
                loss = step(next(batches))
            loss = float(loss)
            rates.append(50 / (time.perf_counter() - began))
            used.append(1000 * (time.process_time() - before) / 50)
            open(os.path.join(folder, f"{way} {role} {number}"), "w").close()
        marks = {"first line": first_line, "imported": imported, "first step": first_step}
        if turns:
            skipped = turns // 4  # until it goes at its usual speed
            marks["steps a second"] = statistics.median(rates[skipped:])
            marks["processor"] = statistics.median(used[skipped:])
        with open(os.path.join(folder, f"{way} {role}"), "w") as file:
            json.dump(marks, file)
        return loss

    return train


def by_hopslite(make: Make, folder: str, turns: int) -> Marks:
    began = time.time()
    experiment.mirrored(
        make(folder, turns, WAYS[0]), num_workers=len(ROLES), project=folder, tracking_uri="off", display=False
    )
    return marks(folder, WAYS[0], began)


def by_hand(make: Make, folder: str, turns: int) -> Marks:
    program = f"from __future__ import annotations\n{inspect.getsource(make)}"
    cluster = {role: [f"127.0.0.1:{port}"] for role, port in zip(ROLES, free_ports(len(ROLES)), strict=True)}
    began = time.time()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"{program}\n{make.__name__}({folder!r}, {turns}, {WAYS[1]!r})()"],
            env=os.environ | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": role, "index": 0}})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for role in ROLES
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"the processes started by hand ended with {codes}")
    return marks(folder, WAYS[1], began)


def marks(folder: str, way: str, began: float) -> Marks:
    """Seconds from the start, of the slower member; what was measured in turns, on average."""
    each = [json.loads(Path(folder, f"{way} {role}").read_text()) for role in ROLES]
    found = {name: [member[name] for member in each] for name in each[0]}
    return {name: sum(values) / len(values) if name in RATES else max(values) - began for name, values in found.items()}


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


def one_after_the_other(make: Make, repeats: int) -> list[list[Marks]]:
    """What each way measured; which one goes first changes."""
    ways = [by_hopslite, by_hand]
    found: list[list[Marks]] = [[], []]
    for number in range(repeats):
        for way in (0, 1) if number % 2 else (1, 0):
            with project() as folder:
                found[way].append(ways[way](make, folder, 0))
    return found


def at_once(make: Make, turns: int, repeats: int) -> list[list[Marks]]:
    found: list[list[Marks]] = [[], []]
    for _ in range(repeats):
        with project() as folder, ThreadPoolExecutor(1) as threads:
            hand = threads.submit(by_hand, make, folder, turns)
            found[0].append(by_hopslite(make, folder, turns))
            found[1].append(hand.result())
    return found


def row(title: str, found: list[list[Marks]], name: str) -> list[Any]:
    values = [[each[name] for each in way] for way in found]
    ours, hands = (median(way) for way in values)
    digits = 1 if name == "steps a second" else 2
    ratios = [mine / other for mine, other in zip(*values, strict=True)]
    difference = f"{100 * (median(ratios) - 1):+.1f} %" if name in RATES else f"{ours - hands:+.2f} s"
    return [title, f"{ours:.{digits}f}", f"{hands:.{digits}f}", difference, *(listed(way, digits) for way in values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turns", type=int, default=40)
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    with session(f"local-cluster[{len(ROLES)},1,1024]"):
        with project() as folder:
            by_hopslite(nothing, folder, 0)  # now both executors are warm
        plain = one_after_the_other(nothing, options.repeats)
        started = one_after_the_other(mirrored, options.repeats)
        trained = at_once(mirrored, options.turns, options.repeats)
    rows = [
        row("first line, a function without TensorFlow, s", plain, "first line"),
        row("first line, with TensorFlow, s", started, "first line"),
        row("TensorFlow imported, s", started, "imported"),
        row("first step made, s", started, "first step"),
        row("steps a second", trained, "steps a second"),
        row("processor time of a step, ms", trained, "processor"),
    ]
    head = ["two members", "hopslite", "by hand", "difference", "each round: hopslite", "each round: by hand"]
    table("Distributed training beside processes started by hand, medians", head, rows)


if __name__ == "__main__":
    main()
