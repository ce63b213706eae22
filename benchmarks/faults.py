"""A search in which something breaks every few hundred milliseconds: what is lost, and what it costs.

    python benchmarks/faults.py [--trials N] [--faults N] [--seeds S ...] [--only storage]

Two executors with two slots each, which reach the driver through a proxy. Killed with SIGKILL are the processes from
which trials are forked (fork servers), Python workers of Spark (slots) and executors; slots are stopped for up to two
seconds with SIGSTOP; connections are cut, or the network is down for up to two seconds. At least one slot is always
spared. Some trials report 10,000 times at once and then hang, or write a line into the socket to their slot; the
process that tells MLflow is killed. The same search without faults is before it and after it; a trial takes 0.15 s and
reports three times.

Storage is another table: the project's disk is full for some seconds and is then freed (as root only: it is a file
system of 16 MB, mounted for this), and the project's store, an S3, is away for a minute.

A trial is lost when it does not have exactly one end in the result and in the journal: FINISHED, or FAILED with its
cause where it hung or wrote into the socket. It is run twice when anything of it begins after that end. Not told are
trials that MLflow does not show with their end when the companion has delivered, and after `hopslite track`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from _common import median, project, session, table

sys.path.append(str(Path(__file__).parents[1]))

from tests.helpers import storage_faults
from tests.helpers.fault_run import DECK, RUDE, Outcome, carry_out
from tests.helpers.storage_faults import StorageOutcome

MASTER = "local-cluster[2,2,1024]"
KINDS = {
    "fork_server": "fork servers killed",
    "warm_server": "warm servers killed",
    "slot": "slots killed",
    "executor": "executors killed",
    "pause": "slots stopped",
    "cut": "cuts",
    "outage": "outages",
    "burst": "bursts with a hang",
    "garbage": "garbage",
    "tracker": "trackers killed",
}


def measure(trials: int, seed: int | None, faults: int) -> Outcome:
    with session(MASTER), project() as folder:
        return carry_out(Path(folder), trials, seed, faults, kinds=DECK | RUDE)


def full_disk(trials: int, seconds: float) -> StorageOutcome | None:
    """A project on a disk that is filled to the last byte, and freed; None where none can be mounted."""
    with project() as folder:
        disk = Path(folder, "disk")
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return None
        ballast = disk / "ballast"
        try:
            with session(MASTER):
                return storage_faults.carry_out(
                    str(disk / "project"),
                    Path(folder, "marks"),
                    trials,
                    seconds,
                    lambda: storage_faults.fill(str(ballast)),
                    ballast.unlink,
                )
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def outage(trials: int, seconds: float) -> StorageOutcome | None:
    """A project on an S3 that is stopped and started again; None where there is none."""
    from tests.helpers.stores import S3, Unavailable, running

    try:
        with project() as folder, running(lambda: S3(Path(folder))) as store:
            os.environ.update(store.environment)
            with session(MASTER):
                marks = Path(folder, "marks")
                return storage_faults.carry_out(store.fresh(), marks, trials, seconds, store.stop, store.start)
    except Unavailable:
        return None


def measure_storage(trials: int) -> None:
    rows = []
    for name, measured in {
        "full disk, 10 s": full_disk(trials, 10.0),
        "full disk, 60 s": full_disk(trials, 60.0),
        "store away, 60 s": outage(trials, 60.0),
    }.items():
        if measured is None:
            print(f"{name}: cannot be made here")
            continue
        row = [measured.failed, measured.lost, measured.twice, measured.began]
        row += [f"{measured.told_after:.1f}", f"{measured.went_on_after:.1f}", f"{measured.seconds:.0f}"]
        rows.append([name, *row, "yes" if measured.is_complete else "no"])
    head = ["fault", "failed", "lost", "finished, run again", "begun meanwhile", "told after s", "went on after s", "s"]
    table(f"{trials} trials, 2 executors of 2 slots", [*head, "record complete"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", choices=["storage"], help="leave the other faults out")
    options = parser.parse_args()
    if options.only != "storage":
        measure_processes(options)
    measure_storage(options.trials)


def measure_processes(options: argparse.Namespace) -> None:
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
            " / ".join(map(str, outcome.untold or ())),
            f"{outcome.seconds:.0f}",
            f"{outcome.seconds / without:.1f}",
        ]
        for name, outcome in {**{f"none, {n + 1}": each for n, each in enumerate(quiet)}, **found}.items()
    ]
    head = [
        "faults",
        "in all",
        *KINDS.values(),
        "attempts",
        "trials lost",
        "finished, run again",
        "not told",
        "s",
        "times without",
    ]
    table(f"{options.trials} trials, 2 executors of 2 slots", head, rows)


if __name__ == "__main__":
    main()
