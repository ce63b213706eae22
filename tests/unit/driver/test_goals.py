"""Runs that end because the metric is good enough, or does not improve any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopslite import errors, experiment, space

HERE: dict[str, Any] = {"pool": "inline", "seed": 1}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def train(x: float) -> float:
    return x


def fails_from_three(x: float) -> float:
    if x >= 3:
        raise ValueError(x)
    return x


@pytest.mark.parametrize(
    ("values", "direction", "target", "ended"),
    [([1, 2, 3, 4, 5], "max", 3, 3), ([5, 4, 3, 2], "min", 3.5, 3), ([1, 2], "max", 9, 2), ([1.0, 2], "max", 1, 1)],
)
def test_a_target_ends_the_run_as_finished(
    values: list[float], direction: Any, target: float, ended: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment.grid_search(train, {"x": values}, direction, target_metric=target, **HERE)
    assert (run.state, len(run.trials), run.error) == ("FINISHED", ended, None)
    assert run.best_metric == (max if direction == "max" else min)(values[:ended])
    line = f"target_metric={target:g} is reached by trial {ended - 1:04d}"
    said = capsys.readouterr()
    assert (line in said.out + said.err) == (target != 9)


@pytest.mark.parametrize(
    ("values", "patience", "ended"),
    [([1, 2, 1, 1, 3], 2, 4), ([1, 1, 1], 2, 3), ([1, 2, 3], 1, 3), ([1, 0, 2, 0, 0], 2, 5), ([1, 0, 9], 1, 2)],
)
def test_trials_that_bring_nothing_end_the_run(values: list[int], patience: int, ended: int) -> None:
    run = experiment.grid_search(train, {"x": values}, no_improvement=patience, display=False, **HERE)
    assert (run.state, len(run.trials)) == ("FINISHED", ended)


def test_failed_trials_bring_nothing() -> None:
    run = experiment.grid_search(fails_from_three, {"x": [1, 2, 3, 4, 5, 2.5]}, no_improvement=3, display=False, **HERE)
    assert (run.state, dict(run.counts)) == ("FINISHED", {"FINISHED": 2, "FAILED": 3})


@pytest.mark.parametrize(
    ("goal", "other"), [({"target_metric": 3}, {"target_metric": 5}), ({"no_improvement": 1}, {"no_improvement": 9})]
)
def test_a_resumed_run_goes_on_only_with_another_goal(goal: dict[str, Any], other: dict[str, Any]) -> None:
    values = [1, 2, 3, 3, 4, 5, 6]
    run = experiment.grid_search(train, {"x": values}, display=False, **goal, **HERE)
    again = experiment.resume(run.run_id, pool="inline", display=False)
    assert [trial.id for trial in again.trials] == [trial.id for trial in run.trials]
    assert len(run.trials) in (3, 4)
    more = experiment.resume(run.run_id, pool="inline", display=False, **other)
    assert len(more.trials) == (6 if "target_metric" in goal else 7)


def test_another_space_has_its_own_trials_without_improvement() -> None:
    grid = {"x": [1, 1, 1, 1]}
    run = experiment.grid_search(train, grid, no_improvement=2, display=False, **HERE)
    assert len(run.trials) == 3
    more = experiment.grid_search(
        train, {"x": [7, 0, 0, 8]}, no_improvement=2, resume=run.run_id, force=True, display=False, **HERE
    )
    assert [trial.metric for trial in more.trials] == [1, 1, 1, 7, 0, 0]


@pytest.mark.slow("soak")
def test_running_trials_are_killed(tmp_path: Path) -> None:
    def long(x: float) -> float:
        import time

        if x == 1:
            return x
        time.sleep(300)
        return x

    run = experiment.grid_search(
        long, {"x": [2, 1, 3]}, target_metric=1, direction="min", parallelism=2, display=False, seed=1
    )
    assert (run.state, run.counts["FINISHED"], run.best_params) == ("FINISHED", 1, {"x": 1})
    assert run.trials[0].state == "KILLED"
    assert "target_metric=1 is reached by trial 0001" in str(run.trials[0].error)
    assert run.duration is not None and run.duration < 60


@pytest.mark.parametrize("verb", ["ablation", "launch"])
def test_verbs_that_do_not_optimise_have_no_goal(verb: str) -> None:
    with pytest.raises(errors.InvalidArguments, match="target_metric, which is for searches; leave it out"):
        getattr(experiment, verb)(train, {"x": [1]}, target_metric=3)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target_metric": float("nan")}, "target_metric=nan; give a finite number"),
        ({"target_metric": float("inf")}, "target_metric=inf; give a finite number"),
        ({"target_metric": "0.9"}, "target_metric='0.9'"),
        ({"target_metric": True}, "target_metric=True"),
        ({"no_improvement": 0}, "no_improvement=0; give a whole number of at least 1"),
        ({"no_improvement": 2.5}, "no_improvement=2.5"),
        ({"loss_threshold": 0.1}, "did you mean target_metric"),
        ({"early_stopping_rounds": 3}, "did you mean no_improvement"),
    ],
)
def test_goals_that_cannot_be_reached_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArguments) as caught:
        experiment.search(train, {"x": space.uniform(0, 1)}, pool="inline", display=False, **options)
    assert problem in str(caught.value)
