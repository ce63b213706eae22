"""What looking at runs costs: the live display while a run goes on, and the command line on many runs.

    python benchmarks/display.py [--seconds S] [--runs N] [--repeats R]

1. Two executors whose trials report together 100 times a second: the processor time of the driver's process with the
   notebook's live cell, with the terminal's bar, and with no display, in turn; and the difference, as a share of the
   time that the run takes. What a front end does with the cell is not in it.
2. `hopslite ls` and `hopslite show` on a project of 1 000 runs, as a user calls them, a new process each; beside them
   Python alone, which starts and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _common import listed, median, project, seconds, session, table

from hopslite import experiment
from hopslite.display.notebook import Notebook
from hopslite.display.terminal import Terminal

MASTER = "local-cluster[2,1,1024]"
PER_SECOND = 100
OPTIONS = {"tracking_uri": "off"}


class Screen(io.StringIO):
    """A terminal that nobody looks at; counts what is written."""

    drawn = 0

    def write(self, text: str) -> int:
        Screen.drawn += 1
        return super().write(text)

    def isatty(self) -> bool:
        return True


class Cell(Notebook):
    """The notebook's cell, as a front end gets it; counts how often."""

    drawn = 0

    def _show(self, bundle: dict[str, str]) -> None:
        Cell.drawn += 1
        super()._show(bundle)


def reports(n: int, length: float, pause: float) -> float:
    import time

    import hopslite

    began, step = time.monotonic(), 0
    while time.monotonic() - began < length:
        print("step", step)
        hopslite.report(step % 7, step)
        step += 1
        time.sleep(pause)
    return n


def displays() -> dict[str, Any]:
    return {"none": False, "notebook": Cell(), "terminal": Terminal(Screen(), Screen())}


def share(spark: Any, name: str, length: float) -> tuple[float, float]:
    """Processor seconds of the driver's process, and seconds, of a run with a display."""
    os.environ["HOPSLITE_TENSORBOARD"] = "off"
    grid = {"n": [1, 2, 3, 4], "length": [length / 2], "pause": [2 / PER_SECOND]}
    with project() as folder, contextlib.redirect_stdout(io.StringIO()):
        cpu, clock = time.process_time(), time.perf_counter()
        experiment.grid_search(reports, grid, project=folder, spark=spark, display=displays()[name], **OPTIONS)
        return time.process_time() - cpu, time.perf_counter() - clock


def live(length: float, repeats: int) -> list[list[Any]]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in displays()}
    with session(MASTER) as spark:
        share(spark, "none", 2.0)  # warm
        for _ in range(repeats):
            for name, results in found.items():
                results.append(share(spark, name, length))
    assert Cell.drawn > repeats * length
    assert Screen.drawn > repeats * length
    rows = []
    alone = [cpu for cpu, _ in found["none"]]
    for name, results in found.items():
        shares = [100 * (cpu - without) / clock for (cpu, clock), without in zip(results, alone, strict=True)]
        cells = [f"{median(shares):.2f} %", listed(shares, 2)] if name != "none" else ["", ""]
        rows.append([name, median([cpu for cpu, _ in results]), median([clock for _, clock in results]), *cells])
    return rows


def many_runs(folder: str, number: int) -> None:
    """A project of so many runs: one real one, and copies under other ids and versions."""
    run = experiment.grid_search(
        lambda n: n, {"n": [1, 2, 3]}, name="digits", project=folder, pool="inline", display=False, **OPTIONS
    )
    record = json.loads(Path(run.logdir, "run.json").read_text())
    for version in range(2, number + 1):
        run_id = f"20260101-{version // 3600:02d}{version // 60 % 60:02d}{version % 60:02d}-000-{version:06x}"
        copy = Path(folder, "Experiments", run_id)
        shutil.copytree(run.logdir, copy)
        facts = {"run_id": run_id, "version": version, "started": record["started"] - version}
        (copy / "run.json").write_text(json.dumps({**record, **facts}))
        Path(folder, "Experiments", ".versions", "digits", str(version)).write_text(run_id)


def commands(number: int, repeats: int) -> list[list[Any]]:
    with project() as folder:
        many_runs(folder, number)
        environment = {**os.environ, "HOPSLITE_PROJECT": folder}
        hopslite = [sys.executable, "-m", "hopslite.cli"]
        calls = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "hopslite --version": [*hopslite, "--version"],
            "hopslite ls": [*hopslite, "ls"],
            "hopslite ls --json": [*hopslite, "ls", "--json"],
            "hopslite show digits/500": [*hopslite, "show", f"digits/{number // 2}"],
        }
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(repeats):
            for name, command in calls.items():
                run = lambda command=command: subprocess.run(command, env=environment, capture_output=True, check=True)  # noqa: E731
                found[name].append(seconds(run))
    return [[name, median(times), listed(times, 2)] for name, times in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    head = ["display", "driver's processor, s", "run, s", "the display's share of the time", "each round, %"]
    table(f"Live display, {PER_SECOND} reports a second", head, live(options.seconds, options.repeats))
    rows = commands(options.runs, options.repeats)
    table(f"The command line, {options.runs} runs", ["call", "s", "each round"], rows)


if __name__ == "__main__":
    main()
