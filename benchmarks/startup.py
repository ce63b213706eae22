"""What a run costs before, between and after its trials: six trials that do nothing, in a warm session.

    python benchmarks/startup.py [--rows runs,flat,keras,slots,peers] [--masters M ...] [--sessions N] [--bare]

Each session is a process of its own with a warm Spark, so that there is a first run in each. Everything is recorded as
users have it: MLflow in SQLite, TensorBoard and plots; with `--bare` only the run's directory. Processor time is that
of all processes of the session, those that have ended and that have left their parent included.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import peers
import psutil
from _common import listed, median, project, seconds, session, table

TRIALS = 6
SLOTS = 2
MANY_SLOTS = 32
MASTERS = ("local[2]", "local-cluster[2,1,1024]")
ROWS = ("runs", "flat", "keras", "slots", "peers")
PR_SET_CHILD_SUBREAPER = 36
SETTLED_SECONDS, SETTLED_SHARE = 2.0, 0.1  # of a core; an idle JVM needs some
PEERS = ("spark_jobs", "optuna_threads", "ray_tune", "ray_tune_fresh")


def no_op(x: float) -> dict[str, float]:
    import time

    return {"metric": float(x), "began": time.time()}


def fit_model(x: float) -> dict[str, float]:
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    inputs = np.random.default_rng(0).random((256, 8))
    began = time.time()
    model.fit(inputs, inputs.sum(axis=1), epochs=1, verbose=0)
    return {"metric": float(x), "began": began}


def wait_for_others(x: float, folder: str) -> dict[str, float]:
    """A trial that holds its slot until all slots have one."""
    began, give_up_at = time.time(), time.monotonic() + 60
    open(os.path.join(folder, f"slot-{x}"), "w").close()
    while len(os.listdir(folder)) < MANY_SLOTS and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return {"metric": float(x), "began": began}


# --- one session, in a process of its own


def one_run(function: Callable[..., Any], spark: Any, folder: str, trials: int = TRIALS) -> dict[str, float]:
    """Seconds from the call to the first and to the last trial's first line, and to the end of the call."""
    from hopslite import experiment

    called = time.time()
    run = experiment.grid_search(function, {"x": list(range(trials))}, project=folder, spark=spark, display=False)
    ended = time.time()
    began = [trial.outputs["began"] for trial in run.trials]
    return {"first": min(began) - called, "last": max(began) - called, "whole": ended - called}


def spark_job(spark: Any) -> float:
    return seconds(lambda: spark.sparkContext.parallelize(range(TRIALS), TRIALS).map(lambda x: x).collect())


def processor_seconds() -> float:
    """Processor time of this session's processes; its parent has taken over, and reaped, those that left theirs."""
    parent = psutil.Process().parent()
    assert parent is not None
    ended = parent.cpu_times()
    total = ended.children_user + ended.children_system
    for process in parent.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return float(total)


def settle() -> None:
    """Wait until the session's processes have done what the runs have left to do."""
    before = processor_seconds()
    while True:
        time.sleep(SETTLED_SECONDS)
        now = processor_seconds()
        if now - before < SETTLED_SHARE * SETTLED_SECONDS:
            return
        before = now


def runs_in(spark: Any, folder: str, count: int) -> dict[str, Any]:
    """A first run and `count` next ones, and as many Spark jobs, in turn."""
    for _ in range(5):
        spark_job(spark)
    first = one_run(no_op, spark, folder)
    next_runs, jobs = [], []
    for _ in range(count):
        next_runs.append(one_run(no_op, spark, folder))
        jobs.append(spark_job(spark))
    settle()
    before = processor_seconds()
    for _ in range(count):
        one_run(no_op, spark, folder)
    settle()
    between = processor_seconds()
    for _ in range(count):
        spark_job(spark)
    job_cpu = (processor_seconds() - between) / count
    return {"first": first, "next": next_runs, "jobs": jobs, "cpu": (between - before) / count, "job_cpu": job_cpu}


def flat_in(spark: Any, folder: str, count: int) -> dict[str, Any]:
    return {"runs": [one_run(no_op, spark, folder) for _ in range(20)]}


def keras_in(spark: Any, folder: str, count: int) -> dict[str, Any]:
    return {"runs": [one_run(fit_model, spark, folder) for _ in range(1 + count)]}


def slots_in(spark: Any, folder: str, count: int) -> dict[str, Any]:
    runs = []
    for number in range(1 + count):
        meeting = os.path.join(folder, f"slots-{number}")
        os.makedirs(meeting)
        runs.append(one_run(functools.partial(wait_for_others, folder=meeting), spark, folder, MANY_SLOTS))
    return {"runs": runs}


SESSIONS: dict[str, Callable[[Any, str, int], dict[str, Any]]] = {
    "runs": runs_in,
    "flat": flat_in,
    "keras": keras_in,
    "slots": slots_in,
}


def serve(row: str, master: str, count: int) -> None:
    logging.disable(logging.WARNING)
    with session(master) as spark, project() as folder:
        print(json.dumps(SESSIONS[row](spark, folder, count)))


# --- the sessions together


@contextlib.contextmanager
def as_subreaper() -> Iterator[None]:
    """Become the parent of processes whose parent ends, on Linux, so that their processor time is not lost."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield


def measured(row: str, master: str, count: int, is_bare: bool) -> dict[str, Any]:
    """What a session of its own has measured."""
    environment = {**os.environ, "HOPSLITE_PLOTS": "on"}
    if is_bare:
        environment |= {"HOPSLITE_TRACKING_URI": "off", "HOPSLITE_TENSORBOARD": "off", "HOPSLITE_PLOTS": "off"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users' interpreters do not compile hopslite in each process
    command = [sys.executable, __file__, "--session", row, "--masters", master, "--runs", str(count)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answer = ""
    with process.stdout:
        for line in process.stdout:
            answer = line if line.startswith("{") else answer
    _reap(process)
    if not answer:
        raise RuntimeError(f"{row} on {master}: the session has ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(answer)
    return found


def _reap(process: subprocess.Popen[str]) -> None:
    """Wait for the session's process, and for those that it has left to this one."""
    process.wait()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def row_of(title: str, values: Sequence[float], aim: str, digits: int = 2) -> list[str]:
    return [title, f"{median(values):.{digits}f}", listed(values[:20], digits), aim]


def of_runs(sessions: Sequence[dict[str, Any]]) -> list[list[str]]:
    next_runs = [run for one in sessions for run in one["next"]]
    jobs = [seconds for one in sessions for seconds in one["jobs"]]
    whole = [run["whole"] for run in next_runs]
    times = median(whole) / median(jobs)
    return [
        row_of("first run: call to the first trial's first line", [one["first"]["first"] for one in sessions], "0.6"),
        row_of("next runs: call to the first trial's first line", [run["first"] for run in next_runs], "0.15"),
        row_of("next runs: the whole grid", whole, "0.4"),
        row_of("one Spark job of six tasks", jobs, ""),
        ["the whole grid in Spark jobs", f"{times:.1f}", "", "3"],
        row_of("processor time of a run and what follows it", [one["cpu"] for one in sessions], "0.5"),
        row_of("processor time of the Spark job", [one["job_cpu"] for one in sessions], ""),
    ]


def of_flat(sessions: Sequence[dict[str, Any]]) -> list[list[str]]:
    whole = [[run["whole"] for run in one["runs"]] for one in sessions]
    return [
        row_of("twenty runs in a row: the second", [runs[1] for runs in whole], ""),
        row_of("twenty runs in a row: the last", [runs[-1] for runs in whole], "the second's"),
        row_of("twenty runs in a row: each", whole[0], ""),
    ]


def of_keras(sessions: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        row_of("Keras, first run: call to `fit`", [one["runs"][0]["first"] for one in sessions], "TensorFlow's import"),
        row_of("Keras, next runs: call to `fit`", [run["first"] for one in sessions for run in one["runs"][1:]], "0.3"),
    ]


def of_slots(sessions: Sequence[dict[str, Any]]) -> list[list[str]]:
    title = f"{MANY_SLOTS} slots, until all have had a trial"
    return [
        row_of(f"{title}: first run", [one["runs"][0]["last"] for one in sessions], "3"),
        row_of(f"{title}: next runs", [run["last"] for one in sessions for run in one["runs"][1:]], "3"),
    ]


TABLES: dict[str, Callable[[Sequence[dict[str, Any]]], list[list[str]]]] = {
    "runs": of_runs,
    "flat": of_flat,
    "keras": of_keras,
    "slots": of_slots,
}


def peer_rows(repeats: int) -> list[list[str]]:
    """The time of the same six trials with other systems, warm."""
    logging.disable(logging.WARNING)
    rows = []
    with session(f"local[{SLOTS}]") as spark:
        for name in PEERS:
            title = f"{TRIALS} trials: {peers.NAMES[name]}"
            found = [
                peers.measure(name, lambda params: params["x"], {"x": (0.0, 1.0)}, TRIALS, SLOTS, spark)
                for _ in range(repeats)
            ]
            values = [value for value in found if not isinstance(value, str)]
            rows.append(row_of(title, values, "") if values else [title, str(found[0]), "", ""])
    return rows


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated, of " + ", ".join(ROWS))
    parser.add_argument("--masters", nargs="+", default=MASTERS)
    parser.add_argument("--sessions", type=int, default=10, help="processes, each with a first run")
    parser.add_argument("--runs", type=int, default=3, help="next runs in each of them")
    parser.add_argument("--bare", action="store_true", help="without MLflow, TensorBoard and plots")
    parser.add_argument("--session", choices=SESSIONS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.session:
        serve(options.session, options.masters[0], options.runs)
        return
    head = ["", "s, median", "each", "aim"]
    rows = options.rows.split(",")
    with as_subreaper():
        for row in (row for row in ROWS if row in rows and row in SESSIONS):
            masters = [f"local[{MANY_SLOTS}]"] if row == "slots" else options.masters
            count = 1 if row == "flat" else options.sessions
            found: dict[str, list[dict[str, Any]]] = {master: [] for master in masters}
            for _ in range(count):  # in turn, so that a noisy minute meets all of them
                for master, sessions in found.items():
                    sessions.append(measured(row, master, options.runs, options.bare))
            for master, sessions in found.items():
                table(
                    f"{row}, {master}{', nothing but the record' if options.bare else ''}", head, TABLES[row](sessions)
                )
    if "peers" in rows:
        table("Six trials that do nothing with other systems, 2 slots", head, peer_rows(options.sessions))


if __name__ == "__main__":
    main()
