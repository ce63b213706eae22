"""A search whose storage fails for a while, and the count of what became of its trials: for benchmarks/faults.py."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hopslite import experiment
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers.fault_run import short

AFTER = 20  # trials that have finished before the storage fails


@dataclasses.dataclass(frozen=True)
class StorageOutcome:
    """The outcome of a run whose storage failed for some seconds.

    Attributes:
        failed: trials that are FAILED in the result.
        lost: trials that do not have exactly one end, FINISHED, in the result and in the journal.
        twice: finished trials whose training function was called again afterwards.
        began: calls of the training function while the storage failed, from two seconds after it had begun to.
        told_after: seconds until the user was told.
        went_on_after: seconds from the repair until the user was told that the run goes on.
        is_complete: `run.json` and `.summary.json` say the same as the result.
    """

    seconds: float
    failed: int
    lost: int
    twice: int
    began: int
    told_after: float
    went_on_after: float
    is_complete: bool


class _Display:
    """Breaks the storage once some trials have finished, mends it later, and notes when the user was told."""

    def __init__(self, break_: Callable[[], None], mend: Callable[[], None], seconds: float) -> None:
        self._break, self._mend, self._seconds = break_, mend, seconds
        self.broken = self.mended = self.announced = self.went_on = float("nan")
        self._is_begun = False

    def start(self, status: Any) -> None: ...
    def close(self, status: Any, run: Any) -> None: ...

    def update(self, status: Any) -> None:
        if not self._is_begun and status.counts.get("FINISHED", 0) >= AFTER:
            self._is_begun = True
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        self.broken = time.time()
        self._break()
        time.sleep(self._seconds)
        self._mend()
        self.mended = time.time()

    def line(self, text: str) -> None:
        if "cannot be recorded" in text:
            self.announced = time.time()
        elif "can be recorded again" in text:
            self.went_on = time.time()


def carry_out(
    project: str, marks: Path, trials: int, seconds: float, break_: Callable[[], None], mend: Callable[[], None]
) -> StorageOutcome:
    """A grid search on the active session during which the storage fails for some seconds."""
    marks.mkdir(parents=True)
    (marks / "enough").touch()
    display = _Display(break_, mend, seconds)
    began = time.monotonic()
    grid = {"n": list(range(trials))}
    run = experiment.grid_search(
        short(marks, -1), grid, name="storage", project=project, display=display, max_retries=0, max_failures=0
    )
    return _counted(run, marks, time.monotonic() - began, display)


def _counted(run: experiment.Run, marks: Path, seconds: float, display: _Display) -> StorageOutcome:
    kept = RunDir(run.logdir)
    events = list(JournalReader(kept).new())
    ends = Counter(event.trial for event in events if event.kind == "ended" and event.data["state"] == "FINISHED")
    finished = {trial.id for trial in run.trials if trial.state == "FINISHED"}
    calls = [line.split() for line in (marks / "began").read_text().splitlines()]
    moments = {event.trial: event.time for event in events if event.kind == "ended"}
    late = [number for number, when in calls if float(when) > moments.get(f"{int(number):04d}", float("inf"))]
    record = kept.read_json("run.json")
    summary = json.loads(kept.read_bytes(".summary.json"))["combinations"]
    return StorageOutcome(
        seconds=seconds,
        failed=run.counts.get("FAILED", 0),
        lost=sum(1 for trial in run.trials if trial.id not in finished or ends[trial.id] != 1),
        twice=len(late),
        began=sum(display.broken + 2 < float(when) < display.mended for _, when in calls),
        told_after=display.announced - display.broken,
        went_on_after=display.went_on - display.mended,
        is_complete=record["counts"] == dict(run.counts) and len(summary) == len(finished),
    )


def fill(path: str) -> None:
    """Write a file until its disk is full."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 16, 1 << 10, 1):
        try:
            while True:
                os.write(out, b"x" * size)
        except OSError:
            continue
    os.close(out)
