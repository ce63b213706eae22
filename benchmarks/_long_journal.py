"""A run of many recorded trials, written without running them: what a driver that was killed leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hopslite import experiment
from hopslite.core.types import Event, Result, State
from hopslite.errors import RunInterrupted
from hopslite.storage.journal import JournalReader, segment_name
from hopslite.storage.journal_writer import SEGMENT_BYTES
from hopslite.storage.run_directory import RunDir

LEFT = 2  # trials that a driver which resumes the run has to run


def train(x: float) -> float:
    if "RESUMES" not in os.environ:
        raise KeyboardInterrupt
    return x


def make(folder: str, count: int, reports: int) -> str:
    """Record a run of so many trials, with some reports each, in a project; returns its id."""
    values = [float(number) for number in range(count)]
    try:
        experiment.launch(train, {"x": values}, name="many", project=folder, pool="inline", display=False)
    except RunInterrupted as interrupted:
        run_id = str(interrupted.run_id)
    run = RunDir(str(Path(folder, "Experiments", run_id)))
    first = next(event for event in JournalReader(run).new() if event.kind == "run_started")
    for path in Path(run.path("journal")).iterdir():
        path.unlink()
    lines, size, segment = [first.to_line()], 0, 1
    for number in range(count - LEFT):
        lines += _trial(f"{number:04d}", values[number], reports, first.time + number / 100)
        size += sum(map(len, lines[-3 - reports :]))
        if size >= SEGMENT_BYTES:
            _write(run, segment, lines)
            lines, size, segment = [], 0, segment + 1
    _write(run, segment, lines)
    return run_id


def _trial(name: str, value: float, reports: int, began: float) -> list[str]:
    result = Result(name, State.FINISHED, value, {"metric": value}, started=began, duration=1.0, host="worker")
    return [
        Event("asked", began, name, {"params": {"x": value}, "generation": None}).to_line(),
        Event("started", began, name, {"slot": 0, "host": "worker", "attempt": 0, "gpus": []}).to_line(),
        *(
            Event("report", began, name, {"step": step, "value": value, "metrics": None, "attempt": 0}).to_line()
            for step in range(reports)
        ),
        Event("ended", began + 1, name, result.to_json()).to_line(),
    ]


def _write(run: RunDir, segment: int, lines: list[str]) -> None:
    Path(run.path("journal", segment_name(segment))).write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":  # resumes a run, in a process that can be measured
    os.environ["RESUMES"] = "1"
    result = experiment.resume(sys.argv[2], project=sys.argv[1], display=False)
    assert result.counts == {"FINISHED": len(result.trials)}, result.counts
