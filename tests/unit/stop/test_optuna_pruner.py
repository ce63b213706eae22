"""Optuna's pruners as stoppers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import optuna
import pytest

from hopslite import experiment
from hopslite.core.types import Direction, Result, State
from hopslite.stop import Stopper, make

PRUNERS = [
    optuna.pruners.MedianPruner(n_startup_trials=2),
    optuna.pruners.SuccessiveHalvingPruner(),
    optuna.pruners.HyperbandPruner(max_resource=9),
    optuna.pruners.ThresholdPruner(upper=100),
    optuna.pruners.NopPruner(),
]


def stopped(stopper: Stopper, trials: int = 9) -> dict[int, int]:
    """By trial, the step at which it was stopped; trial i reports i at each step, less is better."""
    stopper.begin(Direction.MIN)
    steps = {}
    for number in range(trials):
        trial_id = f"{number:04d}"
        stopper.started(trial_id)
        state = State.FINISHED
        for step in range(9):
            why = stopper.report(trial_id, step, float(number))
            if why is not None:
                assert "Pruner prunes it at step" in why
                steps[number], state = step, State.STOPPED
                break
        stopper.ended(Result(trial_id, state, float(number)))
    return steps


def by_optuna(pruner: Any, trials: int = 9) -> dict[int, int]:
    """The same in Optuna itself."""
    study = optuna.create_study(pruner=copy.deepcopy(pruner), study_name="hopslite")
    steps = {}

    def objective(trial: optuna.Trial) -> float:
        for step in range(9):
            trial.report(float(trial.number), step)
            if trial.should_prune():
                steps[trial.number] = step
                raise optuna.TrialPruned
        return float(trial.number)

    study.optimize(objective, n_trials=trials)
    return steps


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: type(pruner).__name__)
def test_prunes_as_optuna_does(pruner: Any) -> None:
    stopper = make(pruner)
    expected = by_optuna(pruner)
    assert stopped(stopper) == expected
    assert stopped(pickle.loads(pickle.dumps(make(pruner)))) == expected
    assert stopped(stopper) == expected  # in the next run


def test_attempts_and_values_that_are_no_numbers() -> None:
    stopper = make(optuna.pruners.MedianPruner(n_startup_trials=1))
    stopper.begin(Direction.MAX)
    for attempt in range(2):
        stopper.started("0000")
        assert stopper.report("0000", 0.5, float(attempt)) is None
    stopper.ended(Result("0000", State.FINISHED, 1.0))
    stopper.started("0001")
    assert stopper.report("0001", 0, float("nan")) is not None
    stopper.ended(Result("0001", State.FAILED))


def test_in_a_search(project: str) -> None:
    def objective(trial: Any) -> float:
        for step in range(5):
            trial.report(float(trial.number), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(trial.number)

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    run = experiment.search(objective, num_trials=6, direction="min", stopper=pruner, pool="inline", display=False)
    assert {int(trial.id) for trial in run.trials if trial.state == "STOPPED"} == by_optuna(pruner, 6).keys()
    assert "MedianPruner prunes it" in str(run.trials[-1].error)
