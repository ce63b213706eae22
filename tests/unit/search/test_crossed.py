"""Grids within a space: every value with every sample of the other parameters."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
import pytest

from hopslite import errors, experiment, space

HERE: dict[str, Any] = {"pool": "inline", "seed": 2, "display": False}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


SPACE = {
    "x": space.uniform(0.0, 1.0),
    "fold": space.grid([0, 1, 2]),
    "kind": space.choice(["a", "b"], weights=[3, 1]),
    "noise": space.grid(["low", "high"]),
}


def train(x: float, fold: int, kind: str, noise: str) -> float:
    return x + fold


@pytest.mark.parametrize(
    "algorithm", ["random", "tpe", "gp", "cmaes", "qmc", "differential_evolution", optuna.samplers.TPESampler(seed=1)]
)
def test_every_value_is_tried_with_every_sample(algorithm: Any) -> None:
    run = experiment.search(train, SPACE, algorithm, num_trials=5, **HERE)
    tried = defaultdict(list)
    for trial in run.trials:
        assert list(trial.params) == list(SPACE)
        tried[trial.params["x"], trial.params["kind"]].append((trial.params["fold"], trial.params["noise"]))
    assert len(tried) == 5
    assert all(pairs == [(f, n) for f in (0, 1, 2) for n in ("low", "high")] for pairs in tried.values())


def test_the_algorithm_learns_the_mean_of_what_ended() -> None:
    heard: list[float | None] = []

    class Hears:
        total, asked = 3, 0

        def __init__(self, space: Any, **_: Any) -> None:
            assert list(space) == ["x"]

        @property
        def done(self) -> bool:
            return self.asked >= self.total

        def ask(self, trial_id: str) -> Any:
            from hopslite.search import Suggestion

            if self.done:
                return None
            self.asked += 1
            return Suggestion({"x": float(self.asked)})

        adopt = ask

        def tell(self, result: Any) -> None:
            heard.append(result.metric)

        def notes(self) -> list[str]:
            return []

    def fails(x: float, fold: int) -> float:
        if x == 2 or (x == 3 and fold == 0):
            raise ValueError(x)
        return x + fold

    grid = {"x": space.uniform(0.0, 9.0), "fold": space.grid([0, 1, 2])}
    run = experiment.search(fails, grid, Hears, max_failures=9, **HERE)
    assert heard == [2.0, None, 4.5]
    assert len(run.trials) == 9


@pytest.mark.parametrize("algorithm", ["random", "tpe", "differential_evolution"])
def test_a_crossed_search_is_resumed(algorithm: str, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def breaks(x: float, fold: int, kind: str, noise: str) -> float:
        with open(ran, "a", encoding="utf-8") as file:
            file.write("x")
        if len(ran.read_text()) == 9:  # within the second sample
            raise KeyboardInterrupt
        return x + fold

    options = {"num_trials": 4, "name": f"crossed {algorithm}", **HERE}
    with pytest.raises(errors.RunInterrupted):
        experiment.search(breaks, SPACE, algorithm, **options)
    run = experiment.search(breaks, SPACE, algorithm, resume="auto", **options)
    assert run.counts == {"FINISHED": 24}
    assert len(ran.read_text()) == 25
    assert len({trial.params["x"] for trial in run.trials}) == 4


def test_a_grid_and_initial_params(capsys: pytest.CaptureFixture[str]) -> None:
    options = {**HERE, "display": True}
    run = experiment.random_search(train, SPACE, samples=2, initial_params=[{"x": 0.25}], **options)
    assert [trial.params["x"] for trial in run.trials[:6]] == [0.25] * 6
    said = "".join(capsys.readouterr())
    assert "each of 2 samples is tried with 3 of fold × 2 of noise: 12 trials" in said


def test_in_a_grid_search_it_is_a_list() -> None:
    run = experiment.grid_search(lambda x, y: x, {"x": [1, 2], "y": space.grid([3, 4])}, **HERE)
    assert len(run.trials) == 4


@pytest.mark.parametrize(
    ("dimensions", "options", "problem"),
    [
        ({"x": space.grid([1])}, {}, "all parameters are grids ('x'); use grid_search"),
        (SPACE, {"algorithm": "hyperband"}, "algorithms with budgets do not take a space.grid"),
        (
            {"x": [0.0, 1.0], "g": space.grid(["a", "b"]), "y": space.when("g", "a", [0, 1])},
            {},
            "'y': its condition is on 'g'; neither may be a space.grid",
        ),
        (
            {"x": ["a", "b"], "g": space.when("x", "a", space.grid([1, 2]))},
            {},
            "'g': its condition is on 'x'; neither may be a space.grid",
        ),
        (SPACE, {"initial_params": [{"x": 0.5, "fold": 1}]}, "leave out fold, noise"),
        (SPACE, {"initial_params": [{"x": i / 9} for i in range(4)]}, "4 combinations for 3 samples; give fewer"),
        (
            SPACE,
            {"warm_start": [{"x": 0.5, "fold": 1, "kind": "a", "noise": "low", "metric": 1}]},
            "warm_start cannot be combined with a space.grid",
        ),
    ],
)
def test_what_cannot_be_crossed_is_refused(dimensions: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArguments) as caught:
        experiment.search(lambda **params: 1.0, dimensions, **{"num_trials": 3, **HERE, **options})
    assert problem in str(caught.value)
