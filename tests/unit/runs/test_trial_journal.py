"""The journal of one trial, followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hopslite.core.types import Event
from hopslite.runs.following import Curve
from hopslite.runs.trial_journal import MOST_POINTS, TrialJournal
from hopslite.storage.run_directory import RunDir


class Journal:
    """A journal that grows."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDir(str(folder))
        self._file = folder / "journal" / "000001.jsonl"
        self._file.parent.mkdir()

    def add(self, kind: str, time: float, trial: str | None = "0000", **data: Any) -> None:
        with self._file.open("a") as file:
            file.write(Event(kind, time, trial, data).to_line() + "\n")


def test_curves_and_samples_are_of_the_last_attempt(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("run_started", 1.0, None, optimization_key="loss")
    journal.add("asked", 2.0, params={"lr": 0.1})
    journal.add("started", 3.0, attempt=0, host="a")
    journal.add("report", 4.0, step=0, value=5.0, attempt=0)
    journal.add("report", 4.0, "0001", step=0, value=7.0, attempt=0)
    followed = TrialJournal(journal.run, "0000")
    assert followed.refresh()
    assert {name: series.shown() for name, series in followed.curves.items()} == {"loss": [(0.0, 5.0)]}
    journal.add("retry", 5.0, attempt=0, cause="lost", error="gone")
    journal.add("started", 10.0, attempt=1, host="b")
    journal.add("report", 11.0, step=1, value=4.0, metrics={"loss": 4.0, "acc": 0.5}, attempt=1)
    journal.add("report", 11.0, step=9, value=1.0, attempt=0)
    journal.add("sample", 12.5, cpu_percent=50.0, memory_mb=100.0)
    assert followed.refresh()
    assert not followed.refresh()
    assert {name: series.shown() for name, series in followed.curves.items()} == {
        "loss": [(1.0, 4.0)],
        "acc": [(1.0, 0.5)],
    }
    assert {name: series.shown() for name, series in followed.samples.items()} == {
        "cpu_percent": [(2.5, 50.0)],
        "memory_mb": [(2.5, 100.0)],
    }
    assert [event.kind for event in followed.events] == ["asked", "started", "retry", "started"]


def test_series_are_thinned_and_keep_their_ends() -> None:
    series = Curve(MOST_POINTS)
    assert series.shown() == []
    for step in range(100_001):
        series.add(step, step)
    assert len(series.shown()) <= MOST_POINTS
    assert (series.shown()[0], series.shown()[-1]) == ((0, 0), (100_000, 100_000))


def test_names_that_a_program_makes_up_are_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("asked", 2.0, params={})
    for step in range(200):
        journal.add("report", 4.0, step=step, metrics={f"metric {step}": 1.0}, attempt=0)
    followed = TrialJournal(journal.run, "0000")
    followed.refresh()
    assert len(followed.curves) == 60


def test_samples_that_are_no_numbers_of_a_chart_are_left_out(tmp_path: Path) -> None:
    written = Journal(tmp_path)
    written.add("sample", 1.0, cpu_percent=10**400, memory_mb=float("inf"), other=1)
    journal = TrialJournal(written.run, "0000")
    journal.refresh()
    assert list(journal.samples) == ["other"]
