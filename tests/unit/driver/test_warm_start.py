"""Searches that know something before they begin: combinations to try first, and earlier trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hopslite import errors, experiment, space

HERE: dict[str, Any] = {"pool": "inline", "seed": 3, "display": False}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


SPACE = {
    "x": space.loguniform(1e-4, 1.0),
    "n": space.integer(1, 9),
    "kind": space.choice(["a", "b", (1, 2)]),
    "extra": space.when("kind", "b", space.uniform(0.0, 1.0)),
}
FINITE = {"n": space.integer(1, 4), "kind": space.choice(["a", "b", "c"])}
CONTINUOUS = ["random", "tpe", "gp", "cmaes", "qmc", "differential_evolution"]
ALGORITHMS = [*CONTINUOUS, "grid", "asha", "hyperband"]


def train(x: float = 0.5, n: int = 1, kind: Any = "a", extra: float = 0.0, budget: int = 1) -> float:
    return x * n + extra + (kind == "b") + budget / 1000


def search(algorithm: Any, dimensions: Any = SPACE, **options: Any) -> experiment.Run:
    chosen = {"num_trials": None if algorithm == "grid" else 8, **HERE, **options}
    return experiment.search(train, dimensions, algorithm, **chosen)


def bare(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "budget"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestInitialParams:
    def test_are_tried_first_exactly_and_completed(self, algorithm: str) -> None:
        dimensions = {**SPACE, "x": space.choice([0.1, 0.2]), "extra": space.when("kind", "b", [0.3, 0.4])}
        whole = [{"x": 0.1, "n": 3, "kind": (1, 2)}, {"x": 0.2, "kind": "b", "n": 9, "extra": 0.3}]
        if algorithm == "grid":
            dimensions = {"x": [0.1, 0.2], "n": [3, 9], "kind": ["a", "b", (1, 2)], "extra": dimensions["extra"]}
            dimensions["extra"] = space.when("kind", "b", space.choice([0.3, 0.4]))
        else:
            dimensions |= {"x": SPACE["x"], "extra": SPACE["extra"]}
        run = search(algorithm, dimensions, initial_params=[*whole, {"n": 3}, {}])
        tried = [bare(trial.params) for trial in run.trials if trial.params.get("budget", 1) == 1]
        assert tried[:2] == whole
        assert tried[2]["n"] == 3 and {"x", "kind"} <= tried[2].keys()
        keys = [json.dumps(params, sort_keys=True) for params in tried]
        assert len(set(keys)) == len(keys)
        if algorithm in CONTINUOUS:
            assert len(run.trials) == 8
        if algorithm == "grid":
            assert len(run.trials) == 2 * 2 * (1 + 2 + 1)

    def test_are_replayed(self, algorithm: str, tmp_path: Path) -> None:
        marker = tmp_path / "broken"

        def breaks(n: int, kind: str, budget: int = 1) -> float:
            if n == 4 and kind == "c" and not marker.exists():
                marker.touch()
                raise KeyboardInterrupt
            return n

        first = [{"n": 2, "kind": "b"}, {"n": 4, "kind": "c"}, {"n": 1, "kind": "a"}]
        options = {"name": algorithm, "initial_params": first, "num_trials": None if algorithm == "grid" else 6}
        with pytest.raises(errors.RunInterrupted):
            experiment.search(breaks, FINITE, algorithm, **options, **HERE)
        run = experiment.search(breaks, FINITE, algorithm, resume="auto", **options, **HERE)
        assert [bare(trial.params) for trial in run.trials[:3]] == first
        assert run.counts == {"FINISHED": len(run.trials)}
        record = json.loads(Path(run.logdir, "run.json").read_text())
        assert record["initial_params"] == first


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestWarmStart:
    @pytest.fixture(autouse=True)
    def _learns(self, algorithm: str) -> None:
        if algorithm == "cmaes":
            pytest.skip("learns only from its own suggestions")

    def test_known_combinations_are_not_run_again(self, algorithm: str) -> None:
        before = search("random", FINITE, num_trials=7, name="before")
        known = [trial.params for trial in before.trials]
        run = search(algorithm, FINITE, warm_start="before", num_trials=None if algorithm == "grid" else 12)
        tried = [bare(trial.params) for trial in run.trials if trial.params.get("budget", 1) == 1]
        assert not [params for params in tried if params in known]
        if algorithm not in ("asha", "hyperband"):
            assert len(run.trials) == 12 - 7
        record = json.loads(Path(run.logdir, "run.json").read_text())
        assert record["warm_start"] == {"runs": [before.run_id], "rows": 0}

    def test_a_run_of_the_same_name_is_not_taken_for_its_own_when_it_is_resumed(
        self, algorithm: str, tmp_path: Path
    ) -> None:
        marker, name = tmp_path / "broken", f"again {algorithm}"

        def breaks(n: int, kind: str, budget: int = 1) -> float:
            if marker.exists() and marker.read_text() == "":
                marker.write_text("done")
                raise KeyboardInterrupt
            return n

        options = {"name": name, "num_trials": 4, **HERE}
        before = experiment.search(breaks, FINITE, "random", **options)
        marker.touch()
        options |= {"warm_start": name, "num_trials": None if algorithm == "grid" else 4}
        with pytest.raises(errors.RunInterrupted):
            experiment.search(breaks, FINITE, algorithm, **options)
        run = experiment.search(breaks, FINITE, algorithm, resume="auto", **options)
        assert run.version == before.version + 1
        known = [trial.params for trial in before.trials]
        assert not [trial for trial in run.trials if bare(trial.params) in known]
        assert run.counts == {"FINISHED": len(run.trials)}


@pytest.mark.slow("soak")
@pytest.mark.parametrize("algorithm", ["tpe", "gp", "differential_evolution"])
def test_an_algorithm_learns_from_earlier_trials(algorithm: str) -> None:
    def distance(x: float, y: float) -> float:
        return float((x - 0.8) ** 2 + (y - 0.2) ** 2)

    plane = {"x": space.uniform(0.0, 1.0), "y": space.uniform(0.0, 1.0)}
    rows = [{"x": i / 9, "y": j / 9, "metric": distance(i / 9, j / 9)} for i in range(10) for j in range(10)]
    options: dict[str, Any] = {"algorithm": algorithm, "direction": "min", "num_trials": 6, **HERE}
    cold = experiment.search(distance, plane, **options)
    warm = experiment.search(distance, plane, warm_start=rows, **options)
    assert (warm.best_metric or 1) < 0.01 < (cold.best_metric or 1)
    frame = experiment.search(distance, plane, warm_start=pd.DataFrame(rows), **options)
    assert [trial.params for trial in frame.trials] == [trial.params for trial in warm.trials]


def test_the_forms_of_earlier_trials(capsys: pytest.CaptureFixture[str]) -> None:
    first = search("random", num_trials=5, name="forms")
    second = search("random", num_trials=5, name="forms", seed=9)
    frame = first.to_pandas()  # with NaN where `extra` does not exist, and other columns
    forms = [first, "forms/1", first.run_id, [first, "forms/2"], second.logdir, frame, frame.to_dict("records")]
    for form, count in zip(forms, [5, 5, 5, 10, 5, 5, 5], strict=True):
        options = {**HERE, "display": True, "num_trials": 1}
        experiment.search(train, SPACE, "tpe", warm_start=form, **options)
        assert f"the algorithm knows {count} trials of " in "".join(capsys.readouterr())


def test_trials_without_a_place_in_the_space_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"n": 1, "kind": "a", "metric": 1.0},
        {"n": 9, "kind": "a", "metric": 1.0},
        {"n": 1, "metric": 1.0},
        {"n": 2, "kind": "b", "metric": None},
        {"n": 3.0, "kind": "c", "loss": 2},
    ]
    options = {**HERE, "display": True, "num_trials": 20, "optimization_key": "loss"}
    run = experiment.search(train, FINITE, "random", warm_start=rows, **options)
    said = "".join(capsys.readouterr())
    assert "knows 2 trials of the given list; 3 others have no metric, or other parameters than the space" in said
    assert "the space has only 10 new combinations" in said
    assert len(run.trials) == 10


def test_a_warm_start_from_budgets_takes_the_longest_training() -> None:
    before = search("hyperband", FINITE, name="budgets", num_trials=6)
    run = search("tpe", FINITE, warm_start=before, num_trials=2)
    longest = [trial for trial in before.trials if trial.params["budget"] == 9]
    assert len(run.trials) == 2
    assert not [trial for trial in run.trials if trial.params in [bare(other.params) for other in longest]]
    again = search("asha", FINITE, warm_start=before, num_trials=3)
    known = [bare(trial.params) for trial in before.trials]
    assert not [trial for trial in again.trials if bare(trial.params) in known]


def own(space: Any, **options: Any) -> Any:
    class Own:
        total, done = 1, False
        ask = adopt = tell = notes = lambda *_: None

    return Own()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"initial_params": {"n": 1}}, "initial_params={'n': 1}; give a list of dicts"),
        ({"initial_params": [3]}, "initial_params[0]=3; give a dict"),
        ({"initial_params": [{"n": 1}, {"m": 1}]}, "initial_params[1]: 'm' is not in the space"),
        ({"initial_params": [{"n": 5}]}, "initial_params[0]: 'n': 5 is not a number from 1 to 4"),
        ({"initial_params": [{"kind": "d"}]}, "initial_params[0]: 'kind': 'd' is not one of the values"),
        ({"initial_params": [{}] * 4, "num_trials": 3}, "initial_params has 4 combinations for 3 trials"),
        ({"initial_params": [{}], "algorithm": own}, "a method prepare()"),
        ({"warm_start": [{"n": 1, "kind": "a", "metric": 3}], "algorithm": "cmaes"}, "CMA-ES learns only from its own"),
        ({"warm_start": 3}, "warm_start=3; give a run's name or id"),
        ({"warm_start": []}, "warm_start=[]; give a run's name or id"),
        ({"warm_start": "no such run"}, "warm_start: "),
        ({"warm_start": [{"n": 1, "metric": 3}]}, "warm_start has no trial with a metric whose parameters"),
        (
            {"warm_start": [{"n": n, "kind": k, "metric": 1} for n in (1, 2, 3, 4) for k in "abc"]},
            "a result for every combination",
        ),
    ],
)
def test_what_cannot_be_known_is_refused_before_anything_runs(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArguments) as caught:
        experiment.search(train, FINITE, **{**HERE, **options})
    assert problem in str(caught.value)


def test_conditions_hold_for_initial_params() -> None:
    with pytest.raises(errors.InvalidArguments) as caught:
        search("random", initial_params=[{"kind": "a", "extra": 0.5}, {"extra": 0.5}])
    assert "initial_params[0]: 'extra' does not exist with kind='a'" in str(caught.value)
    assert "initial_params[1]: 'extra' depends on 'kind'; give this, too" in str(caught.value)


def test_a_run_of_the_other_direction_is_refused() -> None:
    before = search("random", direction="min", name="other direction")
    with pytest.raises(errors.InvalidArguments, match=r"the direction of other direction v[0-9]+ was MIN, not MAX"):
        search("random", warm_start=before)
