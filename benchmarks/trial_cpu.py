"""Processor time and page faults of a no-op trial in a process of its own: one slot without Spark, driven by a list.

    python benchmarks/trial_cpu.py [--trials N] [--repeats R]

Processor time varies less than elapsed time on a busy machine, so two versions of hopslite can be compared by running
this in turn in two checkouts. It counts the slot, its fork server and the trials; the start of the fork server is left
out as the slope between a short and a long run.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from _common import listed, median, table

sys.path.append(str(Path(__file__).parents[1]))

from hopslite.core.types import Spec
from hopslite.executor import slot
from hopslite.executor.job_spec import Job
from hopslite.serialization.values import serialize
from tests.helpers.orders import Orders

FEW = 30


class Usage(NamedTuple):
    seconds: float
    faults: int

    @classmethod
    def now(cls) -> Usage:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(sum(usage.ru_utime + usage.ru_stime for usage in both), sum(usage.ru_minflt for usage in both))


class Driver(Orders):
    """Sends its trials one after the other."""

    def __init__(self, directory: Path, trials: int) -> None:
        super().__init__()
        self._directory, self._left = directory, trials

    def next(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.put({"type": "exit"})
            return
        name = f"{self._left:04d}"
        self.put({"type": "run", "spec": Spec(name, {"x": 1.0}, str(self._directory / name)).to_json()})

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "ended":
            self.next()


def no_op(x: float) -> None:
    return None


def used(trials: int) -> Usage:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "Experiments", "run_1")
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        driver = Driver(run / "trials", trials)
        driver.next()
        before = Usage.now()
        slot.serve(driver, Job("run_1", "a", folder, serialize(no_op, []), None, 0, needs_metric=False), None)
        after = Usage.now()
        driver.close()
    return Usage(after.seconds - before.seconds, after.faults - before.faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=230)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    used(FEW)  # warm
    milliseconds, faults = [], []
    for _ in range(options.repeats):
        short, long = used(FEW), used(options.trials)
        trials = options.trials - FEW
        milliseconds.append(1000 * (long.seconds - short.seconds) / trials)
        faults.append((long.faults - short.faults) / trials)
    rows = [[f"{median(milliseconds):.2f}", listed(milliseconds, 2), f"{median(faults):.0f}"]]
    head = ["ms of processor time a trial, median", "each round", "page faults a trial"]
    table("A no-op trial in a process of its own, one slot", head, rows)


if __name__ == "__main__":
    main()
