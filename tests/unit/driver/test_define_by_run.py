"""Objectives that ask for their parameters: in runs, over early stops, errors, retries and resumption."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments, RunInterrupted, TrialFailed, TrialStopped
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1, "direction": "min"}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def objective(trial: Any) -> float:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    model = trial.suggest_categorical("model", ["svm", "forest"])
    depth = trial.suggest_int("depth", 2, 32) if model == "forest" else 0
    assert trial.suggest_float("lr", 1e-5, 1e-1, log=True) == lr
    assert trial.params == {"lr": lr, "model": model, **({"depth": depth} if depth else {})}
    return float(lr + depth)


def search(fn: Callable[..., Any], **changes: Any) -> experiment.Run:
    return experiment.search(fn, **{"num_trials": 6, **OPTIONS, **changes})


def test_parameters_are_those_that_the_trial_asked_for() -> None:
    run = search(objective)
    assert {frozenset(trial.params) for trial in run.trials} == {
        frozenset({"lr", "model"}),
        frozenset({"lr", "model", "depth"}),
    }
    loaded = experiment.load(run.run_id)
    assert [trial.params for trial in loaded.trials] == [trial.params for trial in run.trials]
    assert loaded.trials[0].distributions["lr"] == {
        "type": "float",
        "low": 1e-5,
        "high": 0.1,
        "step": None,
        "log": True,
    }
    hparams = Path(run.trials[0].logdir, ".hparams.json").read_text()
    assert json.loads(hparams) == run.trials[0].params


def test_facts_of_a_trial_and_its_study() -> None:
    def facts(trial: Any) -> float:
        trial.set_user_attr("fold", [1, {"a": None}])
        assert trial.user_attrs == {"fold": [1, {"a": None}]}
        assert trial.study.study_name == "named"
        assert trial.study.direction == optuna.study.StudyDirection.MINIMIZE
        assert not trial.should_prune()
        return float(trial.number)

    run = search(facts, name="named", num_trials=2)
    assert [trial.metric for trial in run.trials] == [0.0, 1.0]
    assert run.trials[1].user_attrs == {"fold": [1, {"a": None}]}
    assert experiment.load(run.run_id).trials[1].user_attrs == {"fold": [1, {"a": None}]}


def test_choices_are_the_objects_of_the_function() -> None:
    def train(trial: Any) -> float:
        size = trial.suggest_categorical("size", [(1, 2), (3, 4)])
        assert isinstance(size, tuple)
        return float(size[0])

    assert {trial.params["size"] for trial in search(train).trials} == {"[1, 2]", "[3, 4]"}


def test_without_parameters_each_trial_runs() -> None:
    run = search(lambda trial: 1.0)
    assert len(run.trials) == 6 and run.trials[0].params == {}


@pytest.mark.parametrize("error", [optuna.TrialPruned, TrialStopped])
def test_a_pruned_trial_is_stopped_with_its_reports(error: type[BaseException]) -> None:
    def pruned(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in range(5):
            trial.report(x + step, step)
            trial.report(99.0, step)  # ignored, as in Optuna
            if trial.should_prune():
                raise error("enough")
        return float(x)

    with pytest.warns(UserWarning, match="steps must grow"):
        run = search(pruned, stopper=optuna_like(2), num_trials=3)
    assert [trial.state for trial in run.trials] == ["STOPPED"] * 3
    assert [trial.metric for trial in run.trials] == [trial.params["x"] + 2 for trial in run.trials]
    assert [trial.error for trial in run.trials] == ["far enough"] * 3


def optuna_like(step: float) -> Any:
    class StopAt:
        """A stopper that ends every trial at one step."""

        def begin(self, direction: Any) -> None: ...
        def started(self, trial_id: str) -> None: ...
        def ended(self, result: Any) -> None: ...
        def report(self, trial_id: str, at: float, value: float) -> str | None:
            return "far enough" if at >= step else None

    return StopAt()


def test_pruning_without_a_stopper() -> None:
    def train(trial: Any) -> float:
        trial.report(3.0, 0)
        raise optuna.TrialPruned

    run = search(train, num_trials=1)
    assert (run.trials[0].state, run.trials[0].metric) == ("STOPPED", 3.0)


def test_threads_of_a_trial_that_ask_at_once() -> None:
    def train(trial: Any) -> float:
        values: list[tuple[str, float]] = []

        def ask(name: str) -> None:
            values.append((name, trial.suggest_float(name, 0, 1)))

        threads = [threading.Thread(target=ask, args=(f"x{number % 3}",)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(values) == 12 and len(set(values)) == 3
        return 0.0

    run = search(train, num_trials=3)
    assert run.trials[0].params.keys() == {"x0", "x1", "x2"}


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (lambda trial: trial.suggest_float("x", 1, 0), "low must not be greater than high"),
        (lambda trial: trial.suggest_int("x", 0.5, 1), "bounds must be integers"),
        (lambda trial: trial.suggest_categorical("x", []), "choices is empty"),
        (lambda trial: trial.suggest_categorical("x", 5), "choices"),
        (lambda trial: trial.suggest_float(3, 0, 1), "give a text"),
        (lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_float("x", 0, 2)), "use another name"),
        (lambda trial: (trial.suggest_int("x", 0, 1), trial.suggest_categorical("x", [0, 1])), "use another name"),
        (lambda trial: trial.report("a", 0), "a value is a real number"),
        (lambda trial: trial.report(1.0, "a"), "a step is a number"),
        (lambda trial: trial.set_user_attr(1, 0), "give a text"),
    ],
)
def test_requests_that_cannot_work_fail_the_trial(ask: Callable[[Any], Any], problem: str) -> None:
    with pytest.raises(TrialFailed, match=problem):
        search(lambda trial: ask(trial) and 1.0, num_trials=1)


def test_another_kind_than_in_earlier_trials() -> None:
    def train(trial: Any) -> float:
        return float(trial.suggest_int("x", 0, 3) if trial.number else trial.suggest_float("x", 0, 3))

    assert len(search(train, algorithm="random").trials) == 6
    run = search(train, algorithm="tpe", max_failures=9)
    assert run.counts == {"FINISHED": 1, "FAILED": 5}
    assert "Cannot set different distribution kind" in str(run.trials[1].error)


def with_data(trial: Any, data: list[float]) -> float:
    return float(trial.suggest_float("x", 0, 1) + sum(data))


@pytest.mark.parametrize(
    ("fn", "changes", "problem"),
    [
        (objective, {"space": {"lr": [0.0, 1.0]}}, "leave out the space, or the argument"),
        (lambda lr: lr, {}, "space is missing"),
        (with_data, {}, "functools.partial"),
        (objective, {"algorithm": "grid"}, "cannot search without a space"),
        (objective, {"algorithm": "tpee"}, "Did you mean 'tpe'"),
        (objective, {"num_trials": 0}, "num_trials must be"),
        (objective, {"initial_params": {"lr": 0.1}}, "give a list of dicts"),
        (objective, {"initial_params": [3]}, r"initial_params\[0\]=3"),
        (objective, {"initial_params": [{}] * 7}, "7 combinations for 6 trials"),
        (objective, {"warm_start": "nowhere"}, "warm_start"),
        (objective, {"warm_start": [{"lr": 0.1, "metric": None}]}, "no trial with a metric and parameters"),
        (objective, {"warm_start": [{"lr": 0.1, "metric": 1.0}], "algorithm": "cmaes"}, "only from its own"),
    ],
)
def test_calls_that_cannot_work(fn: Callable[..., Any], changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        search(fn, **changes)


def test_one_mistake_is_one_problem() -> None:
    with pytest.raises(InvalidArguments) as refused:
        search(objective, space={"lr": [0.0, 1.0]})
    assert len(refused.value.problems) == 1
    with pytest.raises(InvalidArguments, match=r"missing: trial.*are for experiment\.search without a space"):
        experiment.grid_search(objective, {"lr": [0.1]}, **OPTIONS)
    with pytest.raises(InvalidArguments, match="passes it how long to train as budget; add an argument") as refused:
        experiment.search(lambda lr: lr, {"lr": [0.0, 1.0]}, "pbt", **OPTIONS)
    assert len(refused.value.problems) == 1


def test_more_arguments_are_set_before() -> None:
    assert len(search(functools.partial(with_data, data=[1.0])).trials) == 6
    assert len(search(lambda trial: with_data(trial, [1.0])).trials) == 6


def test_a_hyperparameter_may_be_called_trial() -> None:
    run = experiment.search(lambda trial: trial, {"trial": [0.0, 1.0]}, num_trials=2, **OPTIONS)
    assert run.trials[0].params.keys() == {"trial"}


@pytest.mark.parametrize("algorithm", ["random", "tpe", "cmaes", "qmc"])
def test_a_resumed_run_has_the_values_of_one_that_did_not_break(algorithm: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def breaking(trial: Any) -> float:
        lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        calls.open("a").write("x")
        if calls.read_text() == "x" * 4:
            raise KeyboardInterrupt  # in the middle of trial 0003
        return float(lr + trial.suggest_int("depth", 2, 32))

    def unbroken(trial: Any) -> float:
        return float(trial.suggest_float("lr", 1e-5, 1e-1, log=True) + trial.suggest_int("depth", 2, 32))

    with pytest.raises(RunInterrupted) as stopped:
        search(breaking, algorithm=algorithm)
    resumed = experiment.resume(stopped.value.run_id, pool="inline", display=False)
    expected = search(unbroken, algorithm=algorithm)
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in expected.trials]
    names = [
        (event.trial, *event.data["params"])
        for event in JournalReader(RunDir(resumed.logdir)).new()
        if event.kind == "suggested"
    ]
    assert len(names) == len(set(names)) == 12  # the trial that broke off asked for `lr` once


def test_a_failed_trial_that_is_run_again_has_the_same_values(tmp_path: Path) -> None:
    flag = tmp_path / "repaired"

    def train(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 1 and not flag.exists():
            raise RuntimeError("not yet")
        return float(x + trial.suggest_int("later", 1, 9))

    run = search(train, algorithm="tpe", name="again", num_trials=3)
    x = run.trials[1].params["x"]
    flag.touch()
    again = experiment.resume(run.run_id, retry_failed=True, pool="inline", display=False)
    assert again.trials[1].state == "FINISHED"
    assert again.trials[1].params["x"] == x and "later" in again.trials[1].params


def test_a_secret_parameter_is_not_in_the_journal(tmp_path: Path) -> None:
    def train(trial: Any) -> float:
        return float(trial.suggest_categorical("password", ["tops3cret"]) == "tops3cret")

    run = search(train, num_trials=1)
    assert run.best_metric == 1.0
    for file in Path(run.logdir).rglob("*"):
        assert file.name == "plan.pkl" or not file.is_file() or b'"password": "tops3cret"' not in file.read_bytes()
