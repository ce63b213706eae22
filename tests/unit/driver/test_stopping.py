"""`hopslite stop`: what becomes of a run and its trials, of requests that come twice, late, or as garbage."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import cli, experiment
from hopslite.core.types import RUN_STOPPED, State
from hopslite.errors import RunInterrupted, RunNotFound, StoreError
from hopslite.result import Run
from hopslite.storage.driver_lease import newest_session
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.storage.stop_requests import new_requests, request_stop

HERE: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1}
LONG_S = 30.0  # of a trial that nobody stops


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, project: str) -> str:
    return project if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def slow(x: float, seconds: float = LONG_S) -> float:
    """Reports until it is stopped."""
    began, step = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        hopslite.report(x, step)
        step += 1
        time.sleep(0.02)
    return x


def until(condition: Callable[[], Any]) -> Any:
    for _ in range(1200):
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come to it")


def when_started(place: str, trial: str, action: Callable[[RunDir], None]) -> threading.Thread:
    """Call the action in a thread, once the trial of the only run has made a report."""

    def reported() -> RunDir | None:
        project = Project(place)
        for run_id in project.runs():
            with contextlib.suppress(StoreError, RunNotFound):  # its record is written after its directory is made
                loaded = experiment.load(run_id, project=place)
                if any(item.id == trial and item.state is State.RUNNING for item in loaded.trials):
                    return project.run(run_id)
        return None

    thread = threading.Thread(target=lambda: action(until(reported)))
    thread.start()
    return thread


def stop(trial: str | None) -> Callable[[RunDir], None]:
    return lambda run: request_stop(run, newest_session(run), trial)


def grid(place: str, first: float = LONG_S) -> Run:
    return experiment.grid_search(slow, {"x": [1, 2], "seconds": [first]}, project=place, **HERE)


def test_a_trial_that_is_stopped_keeps_its_reports_and_the_search_goes_on(place: str) -> None:
    thread = when_started(place, "0000", stop("0000"))
    second = when_started(place, "0001", stop("0001"))
    began = time.monotonic()
    run = grid(place)
    thread.join()
    second.join()
    assert time.monotonic() - began < LONG_S
    assert run.state is State.FINISHED
    assert [(trial.state, trial.metric) for trial in run.trials] == [(State.STOPPED, 1.0), (State.STOPPED, 2.0)]
    assert run.trials[0].error is not None
    assert run.trials[0].error.startswith("stopped by ")
    assert experiment.load(run.run_id, project=place).trials[0].error == run.trials[0].error


def test_a_run_that_is_stopped_ends_with_what_it_has_and_can_be_resumed(place: str) -> None:
    thread = when_started(place, "0000", stop(None))
    run = grid(place)
    thread.join()
    assert run.state is State.STOPPED
    assert run.error is not None
    assert run.error.startswith("stopped by ")
    assert [(trial.state, trial.cause, trial.metric) for trial in run.trials] == [(State.STOPPED, RUN_STOPPED, 1.0)]
    assert run.best_metric == 1.0
    again = experiment.load(run.run_id, project=place)
    assert (again.state, again.error) == (run.state, run.error)

    # the old request is not for the driver that resumes the run; the trial that was cut off is run again
    resumed = experiment.resume(run.run_id, train_fn=lambda x, seconds: x * 10, project=place, force=True, **OPTIONS)
    assert resumed.state is State.FINISHED
    assert [(trial.state, trial.metric) for trial in resumed.trials] == [(State.FINISHED, 10), (State.FINISHED, 20)]
    loaded = experiment.load(run.run_id, project=place)
    assert [trial.state for trial in loaded.trials] == [State.FINISHED] * 2


OPTIONS: dict[str, Any] = {"pool": "inline", "display": False}


def silent(x: float) -> float:
    time.sleep(1.5)
    return x


def test_without_any_metric_there_is_nothing_to_return(project: str) -> None:
    thread = when_started(project, "0000", stop(None))

    def interrupted(x: float) -> float:
        time.sleep(1.5)
        raise ValueError("no metric")

    with pytest.raises(RunInterrupted, match=r"stopped by .* resume"):
        experiment.grid_search(interrupted, {"x": [1, 2, 3]}, project=project, **HERE)
    thread.join()
    (run_id,) = Project(project).runs()
    assert experiment.load(run_id, project=project).state is State.STOPPED


def test_a_run_that_ends_by_itself_meanwhile_has_finished(project: str) -> None:
    thread = when_started(project, "0000", stop(None))
    run = experiment.launch(silent, {"x": [1]}, project=project, **HERE)
    thread.join()
    assert run.state is State.FINISHED
    assert run.error is None


def test_requests_of_others_and_garbage_are_passed_over(project: str) -> None:
    run = RunDir(f"{project}/run")
    run.makedirs("requests")
    request_stop(run, 2, "0003")
    request_stop(run, 2, "0003")
    request_stop(run, 1, None)
    for name in ("stop-0002-run.json.tmp", "stop-0002-.json", "stop-2-run.json", "x", "stop-0002-run.json"):
        Path(run.path("requests", name)).write_bytes(b"\xff{")
    Path(run.path("requests", "stop-0002-0007.json")).mkdir()
    requests = new_requests(run, 2, ())
    assert {request.trial for request in requests.values()} == {None, "0003", "0007"}
    assert requests["stop-0002-run.json"].by == "a user"
    assert new_requests(run, 2, requests) == {}
    assert len(new_requests(run, 1, ())) == 1
    assert new_requests(run.sub("nothing"), 1, ()) == {}


def test_two_stops_at_once_and_one_of_a_run_that_has_ended(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []

    def twice(run: RunDir) -> None:
        run_id = run.url.rpartition("/")[2]
        commands = [threading.Thread(target=lambda: codes.append(cli.main(["stop", run_id]))) for _ in range(2)]
        for thread in commands:
            thread.start()
        for thread in commands:
            thread.join()

    thread = when_started(project, "0000", twice)
    run = grid(project)
    thread.join()
    assert codes == [0, 0]
    assert run.state is State.STOPPED
    out, _ = capfd.readouterr()
    assert out.count(f"run {run.run_id} is STOPPED") == 2

    assert cli.main(["stop", run.run_id]) == 0
    assert "is STOPPED: nothing is left to stop" in capfd.readouterr().err
    assert cli.main(["stop", run.run_id, "0"]) == 0
    assert f"trial 0000 of run {run.run_id} is STOPPED" in capfd.readouterr().err
    assert cli.main(["stop", run.run_id, "9"]) == 3
    assert "has no trial '9'" in capfd.readouterr().err
    assert cli.main(["stop", "nothing"]) == 3


def test_code_of_a_program_is_not_stopped_from_outside(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    with experiment.start_run("mine", project=project, display=False) as run:
        assert cli.main(["stop", run.run_id]) == 1
    assert "only that program can end" in capfd.readouterr().err
    assert run.result is not None
    assert run.result.state is State.FINISHED
