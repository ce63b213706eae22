"""A run that is followed: what is there after each addition to its journal is what a fresh reader finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hopslite import experiment
from hopslite.core.types import Event, State
from hopslite.runs.following import CURVE_POINTS, RECENT_POINTS, FollowedRun
from hopslite.storage.run_directory import RunDir
from tests.helpers.recorded_runs import append, recorded_run


def report(trial: str, step: float, value: float, attempt: int = 0) -> Event:
    return Event("report", 2000.0 + step, trial, {"step": step, "value": value, "attempt": attempt})


def test_it_has_what_the_run_has(project: str) -> None:
    def train(x: int, y: str) -> float:
        import hopslite

        for step in range(3):
            hopslite.report(x * step, step=step)
        if x == 3:
            raise ValueError("three")
        return x * 1.0

    run = experiment.grid_search(
        train, {"x": [1, 2, 3], "y": ["a", "b"]}, direction="max", pool="inline", display=False, max_failures=9
    )
    followed = FollowedRun(RunDir(run.logdir))
    assert followed.refresh()
    assert not followed.refresh()
    assert followed.state is State.FINISHED
    assert followed.best is not None
    assert followed.best.id == run.best_trial.id  # type: ignore[union-attr]
    assert {trial.id: (trial.params, trial.state, trial.metric) for trial in followed.trials.values()} == {
        trial.id: (trial.params, trial.state, trial.metric) for trial in run.trials
    }
    assert list(followed.parameters) == ["x", "y"]
    curve = followed.trials["0000"].curves["metric"]
    assert curve.shown() == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]
    assert len(followed.attempts) == 6


def test_it_grows_with_the_journal_and_forgets_what_has_no_bound(project: str) -> None:
    run = recorded_run(project, "growing", 2, state="RUNNING")
    followed = FollowedRun(run)
    followed.refresh()
    before = followed.revision
    append(
        run, [Event("asked", 2000.0, "0009", {"params": {"rate": 0.5}}), Event("started", 2000.0, "0009", {"slot": 1})]
    )
    assert followed.refresh()
    assert followed.revision > before
    assert followed.trials["0009"].state_in(State.RUNNING) is State.RUNNING
    append(run, [report("0009", step, step / 2) for step in range(RECENT_POINTS + 5)])
    followed.refresh()
    shown = followed.trials["0009"].curves["accuracy"].shown()
    assert len(shown) <= CURVE_POINTS + 1
    assert (shown[0][0], shown[-1][0]) == (0.0, RECENT_POINTS + 4.0)
    assert len(followed.recent) == RECENT_POINTS
    assert followed.first_recent > before


def test_an_attempt_that_follows_begins_anew(project: str) -> None:
    run = recorded_run(project, "again", 0, state="RUNNING")
    append(
        run,
        [
            Event("asked", 1.0, "0000", {"params": {"rate": 0.5}}),
            Event("started", 1.0, "0000", {"slot": 0, "attempt": 0}),
            report("0000", 0, 0.1),
            Event("retry", 2.0, "0000", {"attempt": 0, "cause": "lost", "error": "gone"}),
            Event("started", 3.0, "0000", {"slot": 1, "attempt": 1}),
            report("0000", 0, 0.9, attempt=0),  # late
            report("0000", 0, 0.2, attempt=1),
            Event("ended", 4.0, "0000", {"trial_id": "0000", "state": "FAILED", "error": "no"}),
            Event("resumed", 5.0, None, {"session": 2}),
            Event("again", 5.0, "0000", {}),
        ],
    )
    followed = FollowedRun(run)
    followed.refresh()
    trial = followed.trials["0000"]
    assert trial.curves["accuracy"].shown() == [(0.0, 0.2)]
    assert (trial.result, trial.attempt, followed.ended_trials) == (None, None, 0)
    assert [attempt.outcome for _, attempt in followed.attempts] == ["retried", "failed"]


def test_hostile_journals_are_passed_over(project: str) -> None:
    run = recorded_run(project, "hostile", 1, state="RUNNING")
    with open(run.path("journal", "000001.jsonl"), "ab") as file:
        file.write(b'{"kind": "asked", "time": 1, "trial": "../../x", "data": {"params": {}}}\n')
        file.write(b'{"kind": "report", "time": 1, "trial": "0000", "data": {"step": 1e999, "value": NaN}}\n')
        file.write(b'{"kind": "report", "time": 1, "trial": "0000", "data": {"step": 99, "value": Infinity}}\n')
        file.write(
            b'{"kind": "ended", "time": 1, "trial": "0000", "data": {"state": "DANCING"}}\n' + b"\xff\x00" * 50 + b"\n"
        )
    followed = FollowedRun(run)
    followed.refresh()
    assert list(followed.trials) == ["0000"]
    assert followed.trials["0000"].state is State.FINISHED
    assert all(step < 99 for step, _ in followed.trials["0000"].curves["accuracy"].shown())


def test_a_pipe_in_place_of_a_journal_is_not_waited_for(project: str) -> None:
    run = recorded_run(project, "pipe", 1)
    path = Path(run.path("journal", "000002.jsonl"))
    os.mkfifo(path)
    followed = FollowedRun(run)
    followed.refresh()
    assert len(followed.trials) == 1
    with pytest.raises(IsADirectoryError):
        followed.refresh()
