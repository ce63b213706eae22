"""Stopping and resuming runs from a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hopslite import experiment
from hopslite.core.types import State
from hopslite.dashboard.actions import resume, stop
from hopslite.errors import HopsliteError, ResumeError, TrialFailed
from hopslite.storage.driver_lease import claim
from hopslite.storage.project import Project
from hopslite.storage.stop_requests import new_requests
from tests.helpers.observe import eventually, text_of
from tests.helpers.recorded_runs import recorded_run


def test_a_stop_reaches_the_driver_of_a_run_that_goes_on(project: str) -> None:
    run = recorded_run(project, "going", 1, state="RUNNING")
    lease = claim(run)
    try:
        asyncio.run(stop(run))
        asyncio.run(stop(run, "0000"))
        assert {request.trial for request in new_requests(run, lease.number, ()).values()} == {None, "0000"}
    finally:
        lease.release()
    with pytest.raises(HopsliteError, match="KILLED: nothing is left to stop"):
        asyncio.run(stop(run))


def test_code_in_a_program_is_not_stopped(project: str) -> None:
    run = recorded_run(project, "code", 0, state="RUNNING", verb="start_run")
    lease = claim(run)
    try:
        with pytest.raises(HopsliteError, match="only that program can end"):
            asyncio.run(stop(run))
    finally:
        lease.release()


def test_a_failed_run_goes_on_in_a_process_of_its_own(project: str, tmp_path: Path) -> None:
    mended = str(tmp_path / "mended")

    def train(x: int) -> int:
        import os

        if x == 2 and not os.path.exists(mended):
            raise KeyboardInterrupt
        return x

    with pytest.raises((TrialFailed, KeyboardInterrupt)):
        experiment.grid_search(train, {"x": [1, 2, 3]}, direction="max", pool="inline", display=False, name="broken")
    run = Project(project).sub("Experiments", Project(project).runs()[0])
    Path(mended).touch()
    problem = asyncio.run(resume(Project(project), run))
    assert problem is None, text_of(run.path("driver.log"))
    loaded = eventually(
        lambda: (loaded := experiment.load("broken")).state is State.FINISHED and loaded, "it goes on", 120
    )
    assert loaded.best_params == {"x": 3}
    with pytest.raises(HopsliteError, match="nothing to resume"):
        asyncio.run(resume(Project(project), run))


def test_a_run_that_cannot_be_resumed_says_why(project: str) -> None:
    run = recorded_run(project, "old", 1, state="KILLED")
    with pytest.raises(ResumeError, match="cannot be resumed"):
        asyncio.run(resume(Project(project), run))
    Path(run.path("plan.pkl")).write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    run.write_json("run.json", {**run.read_json("run.json"), "hopslite": "99.0"})
    with pytest.raises(ResumeError, match="upgrade hopslite"):
        asyncio.run(resume(Project(project), run))
