"""What a report costs the training loop, how many the driver takes in, how soon a stopped trial's slot has the next.

    python benchmarks/report.py [--reports N] [--seconds S] [--trials N]

1. The time that one call of `hopslite.report` takes inside a trial, back to back and every 10 ms, with a stopper.
2. Eight slots with 125 reports a second each. The value that is reported is the time at that moment, so that a stopper,
   which is called when the driver has put the report into its journal, sees how late it is.
3. One slot, whose trials report every 5 ms and are all stopped at their 10th report: from the journal, the time from
   the decision to the trial's end and to the next trial's start.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import psutil
from _common import median, project, session, table

from hopslite import experiment
from hopslite.core.types import Direction, Event, Result
from hopslite.experiment import Run
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir

SLOTS = 8
PER_SECOND = 1000
STOP_AT = 10


class Watch:
    """A stopper that never stops anything, and notes how late it hears of each report."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, float]] = []  # when it was reported, how many seconds later it was here

    def begin(self, direction: Direction) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        self.heard.append((value, time.time() - value))
        return None

    def ended(self, result: Result) -> None: ...


class StopAll(Watch):
    def report(self, trial_id: str, step: float, value: float) -> str | None:
        return f"step {step:g}" if step == STOP_AT else None


def timed_reports(number: int, pause: float) -> dict[str, float]:
    import hopslite

    costs = []
    for step in range(number):
        if pause:
            time.sleep(pause)
        began = time.perf_counter()
        hopslite.report(time.time(), step)
        costs.append(1000 * (time.perf_counter() - began))
    costs.sort()
    return {"median": costs[number // 2], "p99": costs[number * 99 // 100], "worst": costs[-1]}


def steady_reports(slot: int, seconds: float, per_second: float) -> float:
    import hopslite

    began = time.time()
    for step in range(int(seconds * per_second)):
        time.sleep(max(0.0, began + step / per_second - time.time()))
        hopslite.report(time.time(), step)
    return time.time() - began


def endless_reports(number: int) -> float:
    import hopslite

    step = 0
    while True:
        time.sleep(0.005)
        hopslite.report(time.time(), step)
        step += 1


def run(train: Any, grid: dict[str, list[Any]], folder: str, spark: object, **options: Any) -> Run:
    return experiment.grid_search(
        train,
        grid,
        optimization_key=options.pop("key", "metric"),
        project=folder,
        spark=spark,
        tracking_uri="off",
        display=False,
        **options,
    )


def events(finished: Run) -> list[Event]:
    return list(JournalReader(RunDir(finished.logdir)).new())


def cost(reports: int) -> None:
    rows = []
    with session("local[1]") as spark, project() as folder:
        for isolation in ("process", "none"):
            for title, number, pause in (("back to back", reports, 0.0), ("every 10 ms", reports // 10, 0.01)):
                grid = {"number": [number] * 3, "pause": [pause]}  # the first is the warm-up
                done = run(
                    timed_reports, grid, folder, spark, key="median", isolation=isolation, stopper=Watch()
                ).trials[1:]
                found = [median([trial.outputs[key] for trial in done]) for key in ("median", "p99", "worst")]
                rows.append([f"isolation={isolation!r}", title, number, *found])
    head = ["slot", "reports", "how many", "median, ms", "99th percentile, ms", "worst, ms"]
    table("What a report costs the training loop", head, rows)


def throughput(seconds: float) -> None:
    watch = Watch()
    driver = psutil.Process()
    with session(f"local[{SLOTS}]") as spark, project() as folder:
        cpu, clock = driver.cpu_times(), time.time()
        grid = {"slot": list(range(SLOTS)), "seconds": [seconds], "per_second": [PER_SECOND / SLOTS]}
        done = run(steady_reports, grid, folder, spark, stopper=watch, parallelism=SLOTS)
        used, elapsed = driver.cpu_times(), time.time() - clock
        written = [event for event in events(done) if event.kind == "report"]
    expected = SLOTS * int(seconds * PER_SECOND / SLOTS)
    assert len(written) == len(watch.heard) == expected, f"{len(written)} of {expected} reports are in the journal"
    starts = [trial.started_at for trial in done.trials if trial.started_at]
    begin, end = max(starts), min(trial.started_at + trial.duration for trial in done.trials)
    together = sorted((at, lag) for at, lag in watch.heard if begin <= at <= end)  # all slots at once
    sent = [(event.data["value"], event.time) for event in written]
    arrived = sorted(1000 * (at - value) for value, at in sent if begin <= value <= end)
    lags = sorted(1000 * lag for _, lag in together)
    rows = [
        ["reports a second, all slots at once", len(together) / (end - begin)],
        ["at the driver, median, ms late", statistics.median(arrived)],
        ["at the driver, 99th percentile", arrived[len(arrived) * 99 // 100]],
        ["in the journal, median, ms late", statistics.median(lags)],
        ["in the journal, 99th percentile", lags[len(lags) * 99 // 100]],
        ["in the journal, worst", lags[-1]],
        ["in the journal, median of the first second", _median_between(together, begin, begin + 1)],
        ["in the journal, median of the last second", _median_between(together, end - 1, end)],
        ["in the journal, the very last", 1000 * together[-1][1]],
        ["driver, cores", (used.user + used.system - cpu.user - cpu.system) / elapsed],
    ]
    table(f"{PER_SECOND} reports a second over {SLOTS} slots, {seconds:g} s", ["", ""], rows)


def _median_between(heard: list[tuple[float, float]], begin: float, end: float) -> float:
    return 1000 * statistics.median([lag for at, lag in heard if begin <= at <= end])


def stops(trials: int) -> None:
    rows = []
    with session("local[1]") as spark, project() as folder:
        for isolation in ("process", "none"):
            done = run(
                endless_reports,
                {"number": list(range(trials))},
                folder,
                spark,
                stopper=StopAll(),
                isolation=isolation,
                report_as="best",
            )
            assert done.counts == {"STOPPED": trials}, done.counts
            ended, begun, decided = [], [], 0.0
            for event in events(done):
                if event.kind == "stop":
                    decided = event.time
                elif event.kind == "ended":
                    ended.append(1000 * (event.time - decided))
                elif event.kind == "started" and decided:
                    begun.append(1000 * (event.time - decided))
            begun.sort()
            ended.sort()
            late = len(begun) * 99 // 100
            rows.append([f"isolation={isolation!r}", median(ended), median(begun), begun[late], begun[-1]])
    head = ["slot", "the trial has ended, median, ms", "the next has started, median, ms", "99th percentile", "worst"]
    table(f"From the decision to stop a trial, {trials} trials that report every 5 ms, 1 slot", head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--trials", type=int, default=100)
    options = parser.parse_args()
    os.environ["HOPSLITE_TENSORBOARD"] = "0"
    cost(options.reports)
    throughput(options.seconds)
    stops(options.trials)


if __name__ == "__main__":
    main()
