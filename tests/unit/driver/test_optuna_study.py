"""Searches on studies of Optuna's, and runs as studies."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import hopslite
from hopslite import experiment, space
from hopslite.errors import InvalidArguments, RunInterrupted, TrialFailed

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def objective(trial: Any) -> float:
    x = trial.suggest_float("x", 1e-3, 10, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    if trial.number % 5 == 4:
        raise ValueError("bad luck")
    for step in range(3):
        trial.report(x * step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr("fold", 3)
    return float(x + (kind == "a"))


def study_in(storage: str | None, **options: Any) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name="mine", sampler=optuna.samplers.TPESampler(seed=3), **options
    )


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else f"sqlite:///{tmp_path}/study.db"


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def test_a_study_gets_the_trials_of_the_run(storage: str | None) -> None:
    study = study_in(storage, pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    study.optimize(objective, n_trials=4)
    before = len(study.trials)
    run = experiment.search(objective, num_trials=8, study=study, **OPTIONS)
    added = study.trials[before:]
    assert run.direction == "MIN"
    expected = {"FINISHED": TrialState.COMPLETE, "STOPPED": TrialState.PRUNED, "FAILED": TrialState.FAIL}
    assert [trial.state for trial in added] == [expected[trial.state] for trial in run.trials]
    assert TrialState.FAIL in states(study)
    assert [trial.params for trial in added] == [trial.params for trial in run.trials]
    finished = next(trial for trial in added if trial.state is TrialState.COMPLETE)
    assert finished.user_attrs["fold"] == 3
    assert finished.distributions["x"] == optuna.distributions.FloatDistribution(1e-3, 10, log=True)
    assert finished.intermediate_values.keys() == {0, 1, 2}
    again = experiment.search(objective, num_trials=2, study=study, **OPTIONS)
    assert len(study.trials) == before + 8 + len(again.trials)


def test_numbers_follow_those_of_the_study() -> None:
    study = study_in(None)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    run = experiment.search(lambda trial: trial.suggest_float("x", 0, 1) * 0 + trial.number, study=study, **OPTIONS)
    assert [trial.metric for trial in run.trials] == list(range(3, 13))


def test_earlier_trials_guide_the_sampler() -> None:
    study = study_in(None)
    for number in range(40):
        x = number / 40
        study.add_trial(
            optuna.create_trial(
                value=abs(x - 0.3), params={"x": x}, distributions={"x": optuna.distributions.FloatDistribution(0, 1)}
            )
        )
    run = experiment.search(lambda trial: abs(trial.suggest_float("x", 0, 1) - 0.3), study=study, **OPTIONS)
    assert sum(trial.metric or 0.0 for trial in run.trials) / 10 < 0.15


def test_a_run_that_is_resumed_is_added_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.touch()

    def breaking(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        with calls.open("a") as file:
            file.write("x")
        if calls.read_text() == "xxxx":
            raise KeyboardInterrupt
        return float(x)

    study = study_in(f"sqlite:///{tmp_path}/study.db")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    with pytest.raises(RunInterrupted):
        experiment.search(breaking, num_trials=6, study=study, name="broken", **OPTIONS)
    assert states(study) == [TrialState.COMPLETE] * 6
    run = experiment.search(breaking, num_trials=6, study=study, name="broken", resume="auto", **OPTIONS)
    finished = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    assert len(finished) == 3 + 6 and len(run.trials) == 6


def test_a_run_that_fails_is_added() -> None:
    def failing(trial: Any) -> float:
        raise ValueError(trial.suggest_float("x", 0, 1))

    study = study_in(None)
    with pytest.raises(TrialFailed):
        experiment.search(failing, num_trials=3, study=study, **OPTIONS)
    assert set(states(study)) == {TrialState.FAIL}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"study": 3}, "give a study of Optuna's"),
        ({"study": optuna.create_study(), "direction": ["max", "min"]}, "a study has its directions"),
        ({"algorithm": "tpe"}, "leave out algorithm"),
        ({"study": optuna.create_study(direction="maximize"), "direction": "min"}, "the study maximises"),
    ],
)
def test_what_contradicts_a_study_is_said(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        experiment.search(objective, **{"study": study_in(None), **OPTIONS, **changes})


def test_a_study_and_a_space_exclude_each_other() -> None:
    with pytest.raises(InvalidArguments, match="study and space"):
        experiment.search(lambda x: x, {"x": [0.0, 1.0]}, study=study_in(None), **OPTIONS)


def test_a_run_with_a_space_as_a_study() -> None:
    def train(lr: float, units: int, kind: Any, drop: float = 0.0) -> float:
        hopslite.report(lr, 0)
        return lr + units + drop

    parameters = {
        "lr": space.loguniform(1e-3, 1.0),
        "units": space.integer(1, 64, log=True),
        "kind": space.choice([(1, 2), None, "a"]),
        "drop": space.when("kind", "a", space.uniform(0.0, 0.5, step=0.1)),
    }
    run = experiment.search(train, parameters, num_trials=12, direction="min", **OPTIONS)
    for same in (run, experiment.load(run.run_id), pickle.loads(pickle.dumps(run))):
        study = same.to_optuna()
        assert study.direction == optuna.study.StudyDirection.MINIMIZE
        assert [trial.value for trial in study.trials] == [trial.metric for trial in run.trials]
        assert study.best_value == run.best_metric
        form = study.trials[0].distributions
        assert form["lr"] == optuna.distributions.FloatDistribution(1e-3, 1.0, log=True)
        assert form["units"] == optuna.distributions.IntDistribution(1, 64, log=True)
        assert form["kind"].choices == ("[1, 2]", None, "a")
        assert study.trials[0].intermediate_values == {0: run.trials[0].params["lr"]}
        assert study.trials[0].duration is not None
    assert optuna.importance.get_param_importances(run.to_optuna(), params=["lr", "units"]).keys() == {"lr", "units"}


@pytest.mark.parametrize(("algorithm", "has_reports"), [("hyperband", False), ("asha", True)])
def test_small_budgets_are_pruned(algorithm: str, has_reports: bool) -> None:
    def train(x: float, budget: int) -> float:
        if has_reports:
            hopslite.report(x, 100 * budget)
        return x + 10 / budget  # the smaller the budget, the better

    run = experiment.search(train, {"x": space.uniform(0.0, 1.0)}, algorithm, direction="max", **OPTIONS)
    largest = max(trial.params["budget"] for trial in run.trials)
    for same in (run, experiment.load(run.run_id)):
        study = same.to_optuna()
        assert study.best_params == run.best_params
        assert study.best_value == run.best_metric
        for trial, frozen in zip(run.trials, study.trials, strict=True):
            budget, metric = trial.params["budget"], trial.metric
            assert frozen.state is (TrialState.COMPLETE if budget == largest else TrialState.PRUNED)
            reports = (
                {100 * budget: trial.params["x"]} if has_reports else {} if budget == largest else {budget: metric}
            )
            assert frozen.intermediate_values == reports


def test_states_of_a_run_as_a_study() -> None:
    run = experiment.search(objective, num_trials=10, direction="min", stopper="median", max_failures=9, **OPTIONS)
    study = run.to_optuna()
    counts = Counter(trial.state for trial in study.trials)
    assert counts[TrialState.FAIL] == len([trial for trial in run.trials if trial.state == "FAILED"])
    assert study.best_params == run.best_params


def test_values_of_another_kind_under_one_name() -> None:
    def mixed(trial: Any) -> float:
        return float(trial.suggest_int("x", 0, 3) if trial.number else trial.suggest_categorical("x", [0.5]))

    study = experiment.search(mixed, num_trials=3, **OPTIONS).to_optuna()
    assert isinstance(study.trials[0].distributions["x"], optuna.distributions.FloatDistribution)


def float_of(x: int) -> float:
    return float(x)


def test_a_launched_run_as_a_study() -> None:
    run = experiment.launch(float_of, {"x": [1, 2]}, pool="inline", display=False)
    assert [trial.params for trial in run.to_optuna().trials] == [{"x": 1}, {"x": 2}]
