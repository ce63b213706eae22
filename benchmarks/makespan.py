"""How busy slots are kept with uneven trials: the run's length against what list scheduling could reach.

    python benchmarks/makespan.py [--trials-per-slot N] [--repeats R] [--slots N ...]

Trials sleep for log-normal times (median 0.3 s, sigma 1). The bound is list scheduling of the very same lengths in the
very same order on slots that are there from the moment at which hopslite's slots were; a run's start, in which Spark
starts a Python process for each slot, is in a column of its own (on a cluster each slot has a core; here all share a
few). Another ratio includes that start: its bound has all slots from the run's beginning. Beside it what batches with a
barrier, as a job for each generation has, would need.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import time
from collections.abc import Sequence

from _common import listed, median, project, session, table

from hopslite import experiment


def lengths(count: int, seed: int = 0) -> list[float]:
    generator = random.Random(seed)
    return [0.3 * generator.lognormvariate(0, 1) for _ in range(count)]


def list_schedule(times: Sequence[float], ready: Sequence[float]) -> float:
    """The end of a schedule in which each trial goes to the slot that is free first."""
    free = sorted(ready)
    for length in times:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def batches(times: Sequence[float], slots: int) -> float:
    return sum(max(times[start : start + slots]) for start in range(0, len(times), slots))


def sleep(number: int, length: float) -> dict[str, float]:
    time.sleep(length)
    return {"number": float(number), "slot": float(os.getppid())}


def measured(times: Sequence[float], slots: int, spark: object) -> tuple[float, float, float]:
    """Seconds until all slots were there; the run's length; the bound."""
    with project() as folder:
        run = experiment.launch(
            sleep,
            {"number": list(range(len(times))), "length": list(times)},
            project=folder,
            spark=spark,
            tracking_uri="off",
            display=False,
        )
    begin = run.started.timestamp()
    first: dict[float, float] = {}
    for trial in run.trials:
        slot, at = trial.outputs["slot"], trial.started_at - begin
        first[slot] = min(at, first.get(slot, at))
    assert len(first) == slots, f"{len(first)} of {slots} slots came"
    end = max(trial.started_at + trial.duration for trial in run.trials) - begin
    return max(first.values()), end, list_schedule(times, list(first.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials-per-slot", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 8, 32])
    options = parser.parse_args()
    rows = []
    for slots in options.slots:
        times = lengths(slots * options.trials_per_slot)
        with session(f"local[{slots}]") as spark:
            found = []
            for _ in range(options.repeats):
                there, end, bound = measured(times, slots, spark)
                print(f"{slots} slots: all there {there:.2f} s, hopslite {end:.1f} s, bound {bound:.1f} s", flush=True)
                found.append((there, end, bound))
        ratios = sorted(end / bound for _, end, bound in found)
        at_once = list_schedule(times, [0.0] * slots)
        included = f"{median([end / at_once for _, end, _ in found]):.3f}"
        barrier = batches(times, slots) / at_once
        middle = [median([run[column] for run in found]) for column in range(3)]
        ratio = f"{median(ratios):.3f} ({listed(ratios, 3)})"
        rows.append([slots, len(times), *middle, ratio, included, f"{barrier:.2f}"])
    head = ["slots", "trials", "all slots there, s", "hopslite, s", "bound, s", "ratio (each run)"]
    head += ["ratio, start included", "barrier, ratio"]
    table("Makespan of uneven trials", head, rows)


if __name__ == "__main__":
    main()
