"""How cost and memory grow: many trials, and many slots.

    python benchmarks/scale.py [--trials 100 1000 10000] [--slots 1000] [--recorded 10000] [--reports 3]

Trials are no-ops in two slots without isolation, so that the driver's part shows; the cost of a trial is the time from
the end of the 200th, when both slots are surely at work, to the end of the last, shared among those between. Slots are
light clients of the real channel in a few processes, each sending a heartbeat and a report a second to a pool's server
with the study's way of taking them in.

The recorded run is the journal of a driver that was killed when two trials were left, written without running them;
`ls` and `show` are processes of their own, and `resume` runs the last two trials in the driver. What one driver can
serve is measured with `--slots 5000 --recorded 100000 --trials 100000`, which takes minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from typing import Any

import _long_journal
import psutil
from _common import median, project, session, table

from hopslite import experiment
from hopslite.channel.server import ReconnectingClient, Server

SECONDS = 20.0
REPEATS = 5
WARM_UP = 200


def no_op(x: float) -> float:
    return x


def trials(counts: list[int]) -> None:
    found: dict[int, list[tuple[float, float, float, int]]] = {}
    process = psutil.Process()
    with session("local[2]") as spark, project() as folder:

        def run(count: int) -> Any:
            values = [float(i) for i in range(count)]
            return experiment.launch(
                no_op, {"x": values}, spark=spark, project=folder, isolation="none", tracking_uri="off", display=False
            )

        run(100)
        for count in counts * REPEATS:  # in turn, so that a noisy minute meets all of them
            before = process.memory_info().rss
            cpu = process.cpu_times()
            result = run(WARM_UP + count)
            used = process.cpu_times()
            growth = (process.memory_info().rss - before) / 1024 / (WARM_UP + count)
            ends = sorted(trial.started_at + trial.duration for trial in result.trials)
            cost = 1000 * (ends[-1] - ends[WARM_UP - 1]) / count
            driver = 1000 * (used.user + used.system - cpu.user - cpu.system) / (WARM_UP + count)
            found.setdefault(count, []).append((cost, driver, growth, threading.active_count()))
            del result
    rows = [[count, *(median([run[column] for run in runs]) for column in range(4))] for count, runs in found.items()]
    head = ["trials", "ms a trial", "driver CPU, ms a trial", "driver memory, KB a trial", "threads after the run"]
    table(f"Many trials, 2 slots, isolation='none', medians of {REPEATS} runs", head, rows)


def clients(address: tuple[str, int], key: bytes, count: int, seconds: float) -> None:
    """Slots that only talk."""
    links = [ReconnectingClient(address, key) for _ in range(count)]
    for link in links:
        link.send({"type": "ready"})
    end = time.time() + seconds
    step = 1.0 / count
    began = time.time()
    sent = 0
    while time.time() < end:
        link = links[sent % count]
        link.send({"type": "beat"})
        link.send({"type": "report", "sent": time.time()})
        sent += 1
        time.sleep(max(0.0, began + sent * step - time.time()))


def slots(count: int, processes: int = 4) -> None:
    lags: list[float] = []
    ready = threading.Semaphore(0)

    def on_message(peer: Any, message: dict[str, Any]) -> None:
        if message["type"] == "report":
            lags.append(time.time() - message["sent"])
        else:
            ready.release()

    server = Server("127.0.0.1", range(1), on_message, lambda peer: None)
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=clients, args=(server.address, server.key, count // processes, SECONDS))
        for _ in range(processes)
    ]
    began = time.time()
    for worker in workers:
        worker.start()
    for _ in range(count // processes * processes):
        ready.acquire(timeout=60)
    connected = time.time() - began
    lags.clear()
    own = psutil.Process()
    cpu, clock = own.cpu_times(), time.time()
    time.sleep(SECONDS / 2)
    used, elapsed = own.cpu_times(), time.time() - clock
    found = sorted(lags)
    for worker in workers:
        worker.join()
    server.close()
    cores = (used.user + used.system - cpu.user - cpu.system) / elapsed
    row = [count, connected, len(found) / elapsed, cores, 1000 * found[len(found) // 2], 1000 * found[-1]]
    head = [
        "slots",
        "all connected after, s",
        "reports a second",
        "driver, cores",
        "report, median ms late",
        "worst, ms",
    ]
    table(f"Many slots (light clients in {processes} processes)", head, [row])


def recorded(count: int, reports: int) -> None:
    """Sizes and times of a run with many recorded trials."""
    with project() as folder:
        run_id = _long_journal.make(folder, count, reports)
        journal = os.path.join(folder, "Experiments", run_id, "journal")
        size = sum(entry.stat().st_size for entry in os.scandir(journal)) / 1e6
        rows = [
            [name, *_command("-m", "hopslite.cli", *words, "--project", folder)]
            for name, words in {"ls": ["ls"], "show": ["show", run_id]}.items()
        ]
        resumed = _command(_long_journal.__file__, folder, run_id)
        rows.append(["resume, with two trials left", *resumed])
    table(
        f"A recorded run: {count} trials, {reports} reports each, journal of {size:.0f} MB",
        ["what", "seconds", "CPU, s", "memory, MB"],
        rows,
    )


def _command(*words: str) -> tuple[float, float, float]:
    """Seconds, processor seconds and largest memory in MB of a Python in a process of its own."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu, after.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--recorded", type=int, default=10_000, help="trials in a recorded run; 0: none")
    parser.add_argument("--reports", type=int, default=3, help="reports of each of them")
    options = parser.parse_args()
    os.environ["HOPSLITE_TENSORBOARD"] = "off"
    if options.slots:
        slots(options.slots)
    if options.recorded:
        recorded(options.recorded, options.reports)
    if options.trials:
        trials(options.trials)


if __name__ == "__main__":
    main()
