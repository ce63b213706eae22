"""Which trial is the best where trials have different budgets, in a run and in all that read its record."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import hopslite
from hopslite import experiment, plots, space
from hopslite.cli import main
from hopslite.core.fidelity import best_of
from hopslite.core.types import Direction, State
from hopslite.figures.data import View
from hopslite.maggy._result import lagom_result
from hopslite.result import Run, Trial
from hopslite.storage.run_directory import RunDir


def trial(number: int, metric: float | None, budget: Any = 1, state: State = State.FINISHED) -> Trial:
    return Trial(f"{number:04d}", {"budget": budget}, state, metric)


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ([trial(0, 9.0), trial(1, 1.0, 3), trial(2, 2.0, 3)], "0002"),
        ([trial(0, 9.0), trial(1, None, 3), trial(2, math.nan, 3), trial(3, 8.0)], "0000"),
        ([trial(0, 1.0), trial(1, 9.0, 3, State.STOPPED)], "0000"),  # it has not had its budget
        ([trial(0, 1.0, 9, State.STOPPED), trial(1, 2.0, 3, State.STOPPED)], "0001"),
        ([trial(0, 1.0), trial(1, 9.0, 3, State.FAILED)], "0000"),
        ([trial(0, 5.0, "?"), trial(1, 1.0)], "0001"),
        ([trial(0, 1.0), trial(1, 1.0)], "0000"),
    ],
)
def test_the_largest_budget_counts_first(trials: list[Trial], best: str) -> None:
    winner = best_of(trials, Direction.MAX, "budget")
    assert winner is not None
    assert winner.id == best
    assert best_of(trials, None, "budget") is None


def lucky(x: float, budget: int) -> dict[str, float]:
    """Looks best when it is trained least, as some metrics do."""
    hopslite.report(x / budget)
    return {"metric": x / budget, "seconds": budget / 10}


@pytest.fixture(params=["hyperband", "asha"])
def run(request: pytest.FixtureRequest, project: str) -> Run:
    return experiment.search(
        lucky, {"x": space.uniform(0.0, 1.0)}, request.param, seed=1, name="lucky", pool="inline", display=False
    )


def test_a_lucky_value_of_a_small_budget_is_not_the_best(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    largest = [trial for trial in run.trials if trial.params["budget"] == 9]
    assert run.best_trial == max(largest, key=lambda trial: trial.metric)
    assert run.best_metric < max(trial.metric for trial in run.trials)
    assert experiment.load("lucky").best_trial.id == run.best_trial.id
    assert experiment.best("lucky").trial.id == run.best_trial.id
    assert experiment.best("lucky", "seconds", "min").trial.params["budget"] == 9
    assert main(["show", "lucky", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["best_trial"], shown["best_params"]["budget"]) == (run.best_trial.id, 9)
    view = View.of(run, {}, "test")
    assert view.so_far()[-1] == run.best_metric
    assert plots.best_so_far(run).axes
    maggys = lagom_result(run, "", "search")  # of which all trials are one list
    assert maggys["best_val"] == max(maggys["metric_list"])


def test_the_best_of_a_run_whose_driver_is_gone(run: Run) -> None:
    directory = RunDir(run.logdir)
    record = directory.read_json("run.json") | {"best_trial": None, "metric": None, "state": "RUNNING"}
    directory.write_json("run.json", record)
    last = sorted(directory.list("journal"))[-1]
    lines = directory.read_bytes(f"journal/{last}").splitlines(keepends=True)
    directory.write_bytes(f"journal/{last}", b"".join(line for line in lines if b'"run_ended"' not in line))
    assert experiment.load("lucky").best_trial.id == experiment.best("lucky").trial.id == run.best_trial.id


def test_a_target_is_that_of_the_best_trial(project: str) -> None:
    made = experiment.search(
        lambda x, budget: budget, {"x": space.uniform(0.0, 1.0)}, "asha", target_metric=3, pool="inline", display=False
    )
    assert made.best_metric == 3
