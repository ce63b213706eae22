"""What a define-by-run search knows before it begins: values of the first trials, earlier trials, a study's queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from hopslite import experiment
from hopslite.errors import InvalidArguments, RunInterrupted
from tests.helpers.observe import Lines

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1, "direction": "min", "num_trials": 4}
ALGORITHMS = ["random", "tpe", "cmaes", "qmc"]
POINTS: list[dict[str, Any]] = [{"x": 0.25, "kind": "b"}, {"kind": "a", "depth": 7}]


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def objective(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    depth = trial.suggest_int("depth", 2, 32, step=5) if kind == "a" else 0
    return float(abs(x - 0.5) + depth)


def search(fn: Callable[..., Any] = objective, **changes: Any) -> experiment.Run:
    return experiment.search(fn, **{**OPTIONS, **changes})


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, optuna.samplers.TPESampler(seed=1)])
def test_the_first_trials_have_the_values_that_are_given(algorithm: Any) -> None:
    run = search(algorithm=algorithm, initial_params=POINTS)
    assert run.trials[0].params == {"x": 0.25, "kind": "b"}
    assert (run.trials[1].params["kind"], run.trials[1].params["depth"]) == ("a", 7)
    assert len(run.trials) == 4
    assert run.trials[2].params["x"] != 0.25


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_values_that_a_trial_does_not_take_are_said(algorithm: str) -> None:
    points = [{"x": 1.5, "kind": "b"}, {"kind": "c"}, {"kind": "a", "depth": 8}, {"kind": "b", "dpeth": 2}]
    lines = Lines()
    run = search(algorithm=algorithm, initial_params=points, display=lines)
    assert 0 <= run.trials[0].params["x"] <= 1
    said = "\n".join(lines.lines)
    for words in (
        "initial_params[0]: x=1.5 is not in float(0.0, 1.0), so trial 0000 has another value",
        "initial_params[1]: kind='c' is not in categorical(['a', 'b'])",
        "initial_params[2]: depth=8 is not in int(2, 32, step=5)",
        "initial_params[3]: trial 0003 has not suggested dpeth",
    ):
        assert words in said


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_run_goes_on_with_the_values_that_are_left(algorithm: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    points = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}]

    def breaking(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        calls.open("a").write("x")
        if len(calls.read_text()) == 2:
            raise KeyboardInterrupt
        return float(x)

    with pytest.raises(RunInterrupted) as interrupted:
        search(breaking, algorithm=algorithm, initial_params=points)
    assert interrupted.value.run_id is not None
    run = experiment.resume(interrupted.value.run_id, pool="inline", display=False)
    assert [trial.params["x"] for trial in run.trials[:3]] == [0.1, 0.2, 0.3]
    whole = search(lambda trial: trial.suggest_float("x", 0, 1), algorithm=algorithm, initial_params=points)
    assert [trial.params for trial in run.trials] == [trial.params for trial in whole.trials]


def earlier() -> list[dict[str, Any]]:
    return [{"x": x / 20, "kind": "b", "unknown": None, "metric": abs(x / 20 - 0.5)} for x in range(20)]


@pytest.mark.parametrize("known", [earlier(), pd.DataFrame(earlier())], ids=["dicts", "data frame"])
def test_tpe_learns_from_earlier_trials(known: Any) -> None:
    """With twenty trials it is beyond its random start, and stays near the best; whole numbers are floats, too."""
    run = search(algorithm="tpe", warm_start=known, num_trials=8)
    near = [trial for trial in run.trials if abs(trial.params["x"] - 0.5) < 0.3]
    assert len(near) >= 6
    assert run.trials[0].id == "0000"


def test_a_sampler_sees_the_parameters_of_earlier_trials_as_they_are_suggested() -> None:
    seen: list[list[dict[str, Any]]] = []

    class Looking(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            seen.append([dict(each.params) for each in study.trials if each.state is TrialState.COMPLETE])
            return super().sample_independent(study, trial, name, distribution)

    known = [{"x": 1, "kind": "a", "depth": 2.0, "metric": 1.0}, {"x": 7.0, "kind": "c", "metric": 2.0}]
    search(objective, algorithm=Looking(), warm_start=known, initial_params=[{"kind": "a"}], num_trials=1)
    assert seen[0] == [{"x": 1.0}, {}]  # 7.0 is out of bounds
    assert seen[-1] == [{"x": 1.0, "kind": "a", "depth": 2}, {}]


def test_earlier_runs() -> None:
    first = search(name="first")
    lines = Lines()
    run = search(algorithm="tpe", warm_start="first", display=lines)
    assert "warm start: the algorithm knows 4 trials of first v1" in "\n".join(lines.lines)
    assert search(warm_start=[first, run], num_trials=1).trials


def test_what_a_study_has_enqueued_is_tried_first_and_waits_no_longer() -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    for point in POINTS:
        study.enqueue_trial(point)
    run = experiment.search(
        objective, study=study, initial_params=[{"x": 0.75}], num_trials=4, pool="inline", display=False
    )
    assert run.trials[0].params == POINTS[0]
    assert run.trials[1].params["depth"] == 7
    assert run.trials[2].params["x"] == 0.75
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert study.trials[0].params == POINTS[0]
    assert study.trials[0].value == run.trials[0].metric


def test_more_in_a_queue_than_trials_go_on_waiting() -> None:
    study = optuna.create_study()
    for x in (0.1, 0.2, 0.3):
        study.enqueue_trial({"x": x})
    for expected in ([0.1, 0.2], [0.3]):
        run = experiment.search(objective, study=study, num_trials=2, pool="inline", display=False)
        assert [trial.params["x"] for trial in run.trials][: len(expected)] == expected
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_run_that_is_resumed_by_its_id_goes_on_adding_to_its_study(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
    study.enqueue_trial({"x": 0.1})
    study.enqueue_trial({"x": 0.2})
    flag = tmp_path / "flag"

    def breaking(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number >= 3 and not flag.exists():
            flag.touch()
            raise KeyboardInterrupt
        return float(x)

    with pytest.raises(RunInterrupted) as interrupted:
        experiment.search(breaking, study=study, num_trials=4, pool="inline", display=False)
    assert interrupted.value.run_id is not None
    before = [trial.state for trial in study.trials]
    run = experiment.resume(interrupted.value.run_id, study=study, pool="inline", display=False)
    assert before.count(TrialState.WAITING) == 1
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert sorted(trial.params["x"] for trial in study.trials) == sorted(trial.params["x"] for trial in run.trials)


def test_resume_takes_no_other_object_as_a_study() -> None:
    run = search()
    with pytest.raises(InvalidArguments, match="give a study of Optuna's"):
        experiment.resume(run.run_id, study=3, pool="inline", display=False)  # type: ignore[arg-type]
