"""A search in which something breaks every few hundred milliseconds: what is lost, and what it costs.

    python benchmarks/faults.py [--trials N] [--faults N] [--seeds S ...]

Two executors with two slots each, which reach the driver through a proxy. Killed with SIGKILL are the processes from
which trials are forked (zygotes), Python workers of Spark (slots) and executors; slots are stopped for up to two
seconds with SIGSTOP; connections are cut, or the network is down for up to two seconds. At least one slot is always
spared. The same search without faults is before it and after it; a trial takes 0.15 s and reports three times.

A trial is lost when it does not have exactly one end, FINISHED, in the result and in the journal, and run twice when
anything of it begins after that end.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _common import median, project, session, table

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from fault_run import Outcome, carry_out

MASTER = "local-cluster[2,2,1024]"
KINDS = {
    "zygote": "zygotes killed",
    "slot": "slots killed",
    "executor": "executors killed",
    "pause": "slots stopped",
    "cut": "cuts",
    "outage": "outages",
}


def measure(trials: int, seed: int | None, faults: int) -> Outcome:
    with session(MASTER), project() as folder:
        return carry_out(Path(folder), trials, seed, faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    quiet: list[Outcome] = []
    found: dict[str, Outcome] = {}
    for seed in options.seeds:
        quiet.append(measure(options.trials, None, 0))
        found[f"seed {seed}"] = measure(options.trials, seed, options.faults)
    quiet.append(measure(options.trials, None, 0))
    without = median([outcome.seconds for outcome in quiet])
    rows = [
        [
            name,
            outcome.faults.total(),
            *(outcome.faults[kind] for kind in KINDS),
            outcome.attempts,
            len(outcome.lost),
            len(outcome.twice),
            f"{outcome.seconds:.0f}",
            f"{outcome.seconds / without:.1f}",
        ]
        for name, outcome in {**{f"none, {n + 1}": each for n, each in enumerate(quiet)}, **found}.items()
    ]
    head = ["faults", "in all", *KINDS.values(), "attempts", "trials lost", "finished, run again", "s", "times without"]
    table(f"{options.trials} trials, 2 executors of 2 slots", head, rows)


if __name__ == "__main__":
    main()
