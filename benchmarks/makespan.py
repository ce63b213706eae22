"""How busy slots are kept with uneven trials: the run's length against what list scheduling could reach.

    python benchmarks/makespan.py [--trials N]

Trials sleep for log-normal times (median 0.3 s, sigma 1). The bound is list scheduling of the very same lengths in the
very same order; beside it what batches with a barrier, as a `foreachPartition` job per generation has, would need.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections.abc import Sequence

from _common import project, session, table

from hopslite import experiment


def lengths(count: int, seed: int = 0) -> list[float]:
    generator = random.Random(seed)
    return [0.3 * generator.lognormvariate(0, 1) for _ in range(count)]


def list_schedule(times: Sequence[float], slots: int) -> float:
    """The end of a schedule in which each trial goes to the slot that is free first."""
    free = [0.0] * slots
    for length in times:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def batches(times: Sequence[float], slots: int) -> float:
    return sum(max(times[start : start + slots]) for start in range(0, len(times), slots))


def sleep(number: int, length: float) -> float:
    time.sleep(length)
    return float(number)


def measured(times: Sequence[float], spark: object) -> float:
    """From the first trial's start to the last one's end, with the gaps that hopslite leaves in between."""
    with project() as folder:
        run = experiment.launch(
            sleep,
            {"number": list(range(len(times))), "length": list(times)},
            project=folder,
            spark=spark,
            tracking_uri="off",
            display=False,
        )
    begins = [trial.started_at for trial in run.trials]
    ends = [trial.started_at + trial.duration for trial in run.trials]
    return max(ends) - min(begins)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials-per-slot", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for slots in (2, 8, 32):
        times = lengths(slots * options.trials_per_slot)
        bound = list_schedule(times, slots)
        with session(slots) as spark:
            measured(times[:slots], spark)  # warm: Spark's workers are up
            found = sorted(measured(times, spark) for _ in range(options.repeats))
        middle = found[len(found) // 2]
        rows.append([slots, len(times), bound, middle, f"{middle / bound:.3f}", f"{batches(times, slots) / bound:.2f}"])
    head = ["slots", "trials", "list scheduling, s", "hopslite, s", "ratio", "batches with a barrier, ratio"]
    table("Makespan of uneven trials", head, rows)


if __name__ == "__main__":
    main()
