"""A study has the trials of a run while the run goes."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hopslite import experiment
from hopslite.core.types import State
from hopslite.driver import study_writer
from hopslite.driver.study_writer import StudyWriter
from hopslite.result import Trial
from tests.helpers.observe import eventually

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1}


@pytest.fixture(params=["memory", "sqlite"])
def study(request: pytest.FixtureRequest, tmp_path: Path, project: str) -> optuna.Study:
    storage = None if request.param == "memory" else f"sqlite:///{tmp_path}/study.db"
    return optuna.create_study(storage=storage)


def objective(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 0)
    return float(x)


def trial(trial_id: str, state: State, **details: Any) -> Trial:
    forms = {"x": {"type": "float", "low": 0.0, "high": 1.0, "step": None, "log": False}}
    return Trial(trial_id, {"x": 0.5}, state, distributions=forms, **details)


def test_each_result_is_there_before_the_next_trial_has_ended(study: optuna.Study) -> None:
    seen: list[int] = []

    def counting(trial: Any) -> float:
        eventually(lambda: len(study.get_trials(states=[TrialState.COMPLETE])) == trial.number, "the results before")
        seen.append(len(study.trials))
        return objective(trial)

    run = experiment.search(counting, study=study, num_trials=4, **OPTIONS)
    assert [str(each.state) for each in run.trials] == ["FINISHED"] * 4
    assert len(seen) == 4
    assert [each.value for each in study.trials] == [each.metric for each in run.trials]
    assert [each.intermediate_values for each in study.trials] == [{0: each.metric} for each in run.trials]


@pytest.mark.parametrize(
    ("state", "metric", "expected"),
    [
        (State.FINISHED, 0.5, TrialState.COMPLETE),
        (State.STOPPED, 0.5, TrialState.PRUNED),
        (State.FAILED, None, TrialState.FAIL),
        (State.KILLED, None, TrialState.FAIL),
    ],
)
def test_a_trial_that_takes_long_is_running_meanwhile(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, state: State, metric: float | None, expected: TrialState
) -> None:
    monkeypatch.setattr(study_writer, "RUNNING_AFTER", 0.02)
    run = experiment.launch(lambda: 1, **OPTIONS)
    study.enqueue_trial({"x": 0.5})
    study.enqueue_trial({"x": 0.7})
    writer = StudyWriter(study, lambda: [{"x": 0.5}])
    writer.on_run_start(run)
    for number in ("0000", "0001"):
        writer.on_trial_start(trial(number, State.RUNNING))
    expected_states = ["RUNNING", "WAITING", "RUNNING"]
    eventually(lambda: [each.state.name for each in study.trials] == expected_states, "running trials")
    writer.on_report(trial("0000", State.RUNNING), 3, {"metric": 0.25, "loss": 7.0})
    writer.on_trial_end(trial("0000", state, metric=metric, user_attrs={"a": "b"}))
    writer.close()
    ended = study.trials[0]
    assert (ended.state, ended.params, ended.value) == (expected, {"x": 0.5}, metric)
    assert ended.intermediate_values == {3: 0.25}
    assert ended.user_attrs == {"a": "b", "hopslite": f"{run.run_id}/0000"}


def test_a_trial_that_was_killed_soon_is_not_there(study: optuna.Study) -> None:
    writer = StudyWriter(study, list)
    writer.on_run_start(experiment.launch(lambda: 1, **OPTIONS))
    writer.on_trial_start(trial("0000", State.RUNNING))
    writer.on_trial_end(trial("0000", State.KILLED))
    writer.close()
    assert study.trials == []


def test_a_study_that_cannot_be_written_is_a_warning_and_has_all_after_the_run(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(study_writer, "add_trial", refuse)
    with caplog.at_level(logging.WARNING):
        experiment.search(objective, study=study, num_trials=3, **OPTIONS)
    assert "the study cannot be written now: OSError: the database is away" in caplog.text
    assert len(study.trials) == 3


def test_a_trial_that_another_driver_has_left_running_ends(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_writer, "RUNNING_AFTER", 0.02)
    run = experiment.launch(lambda: 1, **OPTIONS)
    killed = StudyWriter(study, list)
    killed.on_run_start(run)
    killed.on_trial_start(trial("0000", State.RUNNING))
    eventually(lambda: [each.state.name for each in study.trials] == ["RUNNING"], "a running trial")
    writer = StudyWriter(study, list)
    writer.on_run_start(run)
    writer.on_trial_start(trial("0000", State.RUNNING))
    writer.on_trial_end(trial("0000", State.FINISHED, metric=0.5))
    writer.close()
    assert [(each.state, each.value) for each in study.trials] == [(TrialState.COMPLETE, 0.5)]
    killed.close()


def test_reports_of_a_failed_attempt_are_not_the_next_ones(study: optuna.Study) -> None:
    writer = StudyWriter(study, list)
    writer.on_run_start(experiment.launch(lambda: 1, **OPTIONS))
    for steps in (4, 2):
        writer.on_trial_start(trial("0000", State.RUNNING))
        for step in range(steps):
            writer.on_report(trial("0000", State.RUNNING), step, {"metric": float(steps)})
    writer.on_trial_end(trial("0000", State.FINISHED, metric=0.5))
    writer.close()
    assert study.trials[0].intermediate_values == {0: 2.0, 1: 2.0}


def test_a_long_trial_is_running_while_others_end(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_writer, "RUNNING_AFTER", 2.0)
    writer = StudyWriter(study, list)
    writer.on_run_start(experiment.launch(lambda: 1, **OPTIONS))
    writer.on_trial_start(trial("0000", State.RUNNING))
    numbers = itertools.count(1)

    def is_running() -> bool:  # another trial has ended 0.02 s after the one before
        writer.on_trial_end(trial(f"{next(numbers):04d}", State.FINISHED, metric=0.5))
        return any(each.state.name == "RUNNING" for each in study.get_trials(deepcopy=False))

    eventually(is_running, "the long one", seconds=20.0)
    writer.close()
