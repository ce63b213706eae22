"""Trials that failed and are run again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import errors, experiment

HERE: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def fails(times: int) -> Any:
    """A training function that raises in its first attempts."""

    def train(x: float) -> float:
        folder = experiment.checkpoint_dir()
        assert folder is not None
        hopslite.report(x, step=0)
        Path(folder, str(len(os.listdir(folder)))).touch()
        if len(os.listdir(folder)) <= times:
            raise ConnectionError("busy")
        return x

    return train


@pytest.mark.parametrize(("times", "restarts", "state"), [(1, 1, "FINISHED"), (3, 3, "FINISHED"), (2, 1, "FAILED")])
def test_a_trial_that_raises_is_run_again_with_its_checkpoints(times: int, restarts: int, state: str) -> None:
    options = {"on_failure": "restart", "max_restarts": restarts, "max_failures": 2, **HERE}
    try:
        run = experiment.grid_search(fails(times), {"x": [1, 2]}, **options)
    except errors.TrialFailed as error:
        run = error.result
    assert run.counts == {state: 2}
    for trial in run.trials:
        assert len(list(Path(trial.logdir, "checkpoints").iterdir())) == 1 + min(times, restarts)
    if state == "FINISHED":
        assert len(run.reports()) == 2  # those of the last attempts


@pytest.mark.parametrize("options", [{}, {"max_restarts": 3}, {"on_failure": "restart", "max_restarts": 0}])
def test_without_restarts_it_is_not(options: dict[str, Any]) -> None:
    with pytest.raises(errors.TrialFailed):
        experiment.launch(fails(1), {"x": [1]}, **options, **HERE)


def test_a_value_that_is_no_metric_is_not_tried_again(tmp_path: Path) -> None:
    calls = []

    def returns_nan(x: float) -> float:
        calls.append(x)
        return float("nan") if x == 1 else x

    run = experiment.grid_search(returns_nan, {"x": [1, 2]}, on_failure="restart", **HERE)
    assert (calls, dict(run.counts)) == ([1, 2], {"FAILED": 1, "FINISHED": 1})


@pytest.mark.slow("clusters")
def test_on_spark_in_another_process() -> None:
    def crashes(x: float) -> float:
        import os

        from hopslite import experiment

        marker = f"{experiment.checkpoint_dir()}/began"
        if not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), 11)
        return x

    run = experiment.launch(crashes, {"x": [1, 2]}, on_failure="restart", display=False)
    assert run.counts == {"FINISHED": 2}
