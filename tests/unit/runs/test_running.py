"""Progress of a run that goes on, from its journal."""

from __future__ import annotations

from pathlib import Path

from hopslite.core.types import State
from hopslite.runs.history import RunHistory
from hopslite.runs.running import RunningTrial, progress_of
from hopslite.storage.project import Project
from tests.helpers.servers import T0, Script


def script_of(folder: Path) -> Script:
    return Script(Project(str(folder)).new_run("digits")[2], total=8)


def test_two_of_eight(tmp_path: Path) -> None:
    script = script_of(tmp_path)
    script.begin()
    for number in range(2):
        script.trial(f"{number:04d}")
        script.end(f"{number:04d}", metric=0.25 + number)
    script.trial("0002", reports=2)
    script.add("asked", "0003", params={})
    began = T0 + 0.25
    script.writer.close(10)

    progress = progress_of(RunHistory(script.run, script.data), now=began + 60)
    assert (progress.ended, progress.total, progress.elapsed, progress.remaining) == (2, 8, 60, 180)
    assert progress.best is not None
    assert (progress.best.id, progress.best.metric) == ("0001", 1.25)
    [running] = progress.running
    assert (running.id, running.step) == ("0002", 1)
    assert running.value is not None
    assert 0 < running.elapsed < 60


def test_after_a_resume_the_pace_is_that_of_this_driver(tmp_path: Path) -> None:
    script = script_of(tmp_path)
    script.begin()
    for number in range(4):
        script.trial(f"{number:04d}")
        script.end(f"{number:04d}")
    script.trial("0004")  # its driver is killed
    first = script.time - (T0 + 0.25)
    script.time = T0 + 10_000
    script.add("resumed", fresh=False, session=2)
    resumed = script.time
    script.writer.close(10)

    progress = progress_of(RunHistory(script.run, script.data), now=resumed + 30)
    assert (progress.ended, progress.elapsed, progress.remaining) == (4, first + 30, None)
    assert progress.running == (), "what a dead driver ran does not run"

    script = Script(script.run, total=8)
    script.time = resumed
    script.add("started", "0004", slot=0, host="h", attempt=1)
    script.end("0004", State.FINISHED)
    script.writer.close(10)
    progress = progress_of(RunHistory(script.run, script.data), now=resumed + 30)
    assert (progress.ended, progress.elapsed, progress.remaining) == (5, first + 30, 90)


def test_nothing_yet(tmp_path: Path) -> None:
    script = script_of(tmp_path)
    script.begin()
    script.trial("0000", reports=0)
    script.writer.close(10)
    progress = progress_of(RunHistory(script.run, {**script.data, "total": None}), now=script.time + 5)
    assert (progress.ended, progress.total, progress.remaining, progress.best) == (0, None, None, None)
    assert [(trial.step, trial.value) for trial in progress.running] == [(None, None)]
    assert isinstance(progress.running[0], RunningTrial)
    assert progress.to_json()["running"][0]["id"] == "0000"
