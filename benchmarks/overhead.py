"""What a trial costs beyond its own work: no-op trials on two slots, beside other systems on the same session.

    python benchmarks/overhead.py [--trials N] [--peer-trials N] [--repeats R] [--peers NAME,... | --no-peers]

The cost of a trial is the slope between a short and a long run, so that what a run costs once (a Spark job, the run's
record) does not count; that fixed part is in the table, too. hopslite records everything: journal, trial directories,
MLflow in SQLite and TensorBoard's HParams by a process of their own.

Each measurement is a line on stdout as soon as it is there, and a run that is interrupted ends with the table of those.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

import peers
import psutil
from _common import listed, median, project, seconds, session, table

from hopslite import experiment
from hopslite.companion import client

SLOTS = 2
SLOW = {"hyperopt_trials": 4, "ray_tune_fresh": 4}  # peers whose trials take a second: so many times fewer of them
Results = dict[str, list[tuple[float, float]]]  # by system: seconds a trial and the rest of a run, of each round
client.RESTARTS = 0  # what `_stop_trackers` ends is not to begin again


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
            if "hopslite.companion.process" in " ".join(process.cmdline()):
                process.kill()
                process.wait(60)


def peer(name: str, spark: object, limit: float) -> Callable[[int], float]:
    def run(trials: int) -> float:
        began = time.monotonic()
        found: float | str = ""
        with contextlib.suppress(TimeoutError), interrupted_after(limit):
            found = peers.measure(name, no_op_of_dict, {"x": (0.0, 1.0)}, trials, SLOTS, spark)
        if isinstance(found, str):  # an interrupt in a call of Java's comes out as an error of Py4J's
            is_late = time.monotonic() - began >= limit
            raise RuntimeError(f"not done after {limit:g} s, the limit of --peer-seconds" if is_late else found)
        return found

    return run


@contextlib.contextmanager
def interrupted_after(limit: float) -> Iterator[None]:
    """Raise TimeoutError in the block after some seconds: a peer that hangs must not cost the other rows."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {limit:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def slope(run: Callable[[int], float], trials: int) -> tuple[float, float]:
    """Seconds a trial, and the rest of a run; the start of MLflow takes some seconds, and falls into both runs."""
    few = max(SLOTS, trials // 4)
    short, long = run(few), run(trials)
    cost = (long - short) / (trials - few)
    return cost, short - few * cost


def measure(systems: dict[str, tuple[Callable[[int], float], int]], repeats: int, found: Results) -> None:
    """Measure all systems in turn, so that a noisy minute meets all of them; those that fail are left out then."""
    for number in range(repeats):
        for title, (run, trials) in list(systems.items()):
            try:
                if not number:
                    run(max(2 * SLOTS, trials // 20))  # warm
                cost, rest = slope(run, trials)
            except RuntimeError as error:
                print(f"{title}: {error}", flush=True)
                del systems[title]
                continue
            found.setdefault(title, []).append((cost, rest))
            print(f"{title}, round {number + 1}: {1000 * cost:.1f} ms a trial, rest of a run {rest:.1f} s", flush=True)


def summarize(found: Results) -> None:
    costs = {title: 1000 * median([cost for cost, _ in results]) for title, results in found.items()}
    best_peer = min((cost for title, cost in costs.items() if not title.startswith("hopslite")), default=None)
    rows = []
    for title, results in found.items():
        every = listed((1000 * cost for cost, _ in results), 1)
        ratio = f"{best_peer / costs[title]:.1f}" if best_peer and title.startswith("hopslite") else ""
        rows.append([title, f"{costs[title]:.1f}", every, f"{median([rest for _, rest in results]):.1f}", ratio])
    head = ["system", "ms a trial, median", "each round", "rest of a run, s", "times below the best peer"]
    table("Overhead of no-op trials, 2 slots", head, rows)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--peer-trials", type=int, default=40, help="a quarter of them where trials take a second")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", default=",".join(peers.NAMES), help="comma-separated, of " + ", ".join(peers.NAMES))
    parser.add_argument("--peer-seconds", type=float, default=60.0, help="limit for one run of a peer")
    parser.add_argument("--no-peers", action="store_const", dest="peers", const="")
    options = parser.parse_args()
    if unknown := {*filter(None, options.peers.split(","))} - {*peers.NAMES}:
        parser.error(f"--peers {', '.join(sorted(unknown))}; give some of {', '.join(peers.NAMES)}")
    return options


def main() -> None:
    options = parsed()
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
    logging.disable(logging.WARNING)  # peers print a line for each trial
    found: Results = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with session(f"local[{SLOTS}]") as spark:
        systems: dict[str, tuple[Callable[[int], float], int]] = {
            "hopslite": (ours(spark, "process", True), options.trials),
            "hopslite, isolation='none'": (ours(spark, "none", True), options.trials),
        }
        for name in filter(None, options.peers.split(",")):
            trials = max(2 * SLOTS, options.peer_trials // SLOW.get(name, 1))
            systems[peers.NAMES[name]] = (peer(name, spark, options.peer_seconds), trials)
        with contextlib.suppress(KeyboardInterrupt):
            measure(systems, options.repeats, found)
        summarize(found)


if __name__ == "__main__":
    main()
