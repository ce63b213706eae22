"""Searches without a space: values on demand, reproducible and replayable."""

from __future__ import annotations

from typing import Any

import pytest

from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments
from hopslite.search._define_by_run import ALGORITHMS, DefineByRunSearch, make
from hopslite.space.distributions import Distribution, categorical, floating, whole

Values = dict[str, float]
DISTRIBUTIONS: dict[str, Distribution] = {
    "lr": floating(1e-5, 1e-1, log=True),
    "kind": categorical(["svm", "forest", None]),
    "step": floating(0.0, 0.3, step=0.1),
}
DEPTH = whole(2, 32)
TRIALS = 14


def built(algorithm: Any, seed: int = 1, **changes: Any) -> DefineByRunSearch:
    options: dict[str, Any] = {"gp": {"n_startup_trials": 3}, "tpe": {"n_startup_trials": 4}}.get(algorithm, {})
    call: dict[str, Any] = {"num_trials": TRIALS, "options": options, **changes}
    return make(algorithm, direction=Direction.MIN, seed=seed, **call)


def loss(values: Values) -> float:
    return values["lr"] + values["kind"] + values.get("depth", 0) / 100


def searched(search: DefineByRunSearch, first: int = 0, seen: list[Values] | None = None) -> list[Values]:
    """The values of all trials from `first` on; those of `seen` are replayed."""
    trials: list[Values] = []
    for number in range(first, TRIALS):
        trial_id = f"{number:04d}"
        replayed = seen[number] if seen and number < len(seen) else None
        began = search.ask(trial_id) if replayed is None else search.adopt(trial_id, {})
        assert began is not None and began.params == {}

        def value(name: str, distribution: Distribution, trial_id: str = trial_id, past: Any = replayed) -> float:
            if past is None:
                return search.suggest(trial_id, name, distribution)
            search.adopt_value(trial_id, name, distribution, past[name], ended=True)
            return float(past[name])

        values = {name: value(name, distribution) for name, distribution in DISTRIBUTIONS.items()}
        if values["kind"] == 1:
            values["depth"] = value("depth", DEPTH)
        trials.append(values)
        search.tell(Result(trial_id, State.FINISHED, loss(values)))
    assert search.done and search.ask("late") is None
    return trials


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestEach:
    @pytest.mark.slow("algorithms")
    def test_same_seed_same_values(self, algorithm: str) -> None:
        first = searched(built(algorithm))
        assert first == searched(built(algorithm))
        assert first != searched(built(algorithm, seed=2))

    def test_values_lie_in_their_distributions(self, algorithm: str) -> None:
        for values in searched(built(algorithm)):
            for name, value in values.items():
                assert {**DISTRIBUTIONS, "depth": DEPTH}[name].contains(value)

    def test_a_replay_goes_on_as_the_run_would_have(self, algorithm: str) -> None:
        whole_run = searched(built(algorithm))
        assert searched(built(algorithm), seen=whole_run[:9]) == whole_run

    def test_failed_and_retried_trials(self, algorithm: str) -> None:
        search = built(algorithm)
        search.ask("0000")
        search.suggest("0000", "lr", DISTRIBUTIONS["lr"])
        search.tell(Result("0000", State.FAILED))
        again = search.suggest("0000", "step", DISTRIBUTIONS["step"])  # after --retry-failed
        assert DISTRIBUTIONS["step"].contains(again)
        searched(search, 1)

    def test_a_single_value_is_no_problem(self, algorithm: str) -> None:
        search = built(algorithm)
        search.ask("0000")
        assert search.suggest("0000", "n", whole(3, 3)) == 3
        assert search.suggest("0000", "c", categorical(["only"])) == 0


@pytest.mark.slow("algorithms")
@pytest.mark.parametrize("algorithm", ["tpe", "cmaes", "gp"])
def test_results_guide_the_sampler(algorithm: str) -> None:
    def late_losses(name: str) -> float:
        search, losses = built(name, num_trials=30), []
        for number in range(30):
            trial_id = f"{number:04d}"
            search.ask(trial_id)
            x, y = (search.suggest(trial_id, name, floating(-9, 9)) for name in "xy")
            losses.append((x - 2) ** 2 + y**2)
            search.tell(Result(trial_id, State.FINISHED, losses[-1]))
        return sum(losses[15:])

    assert late_losses(algorithm) < late_losses("random")


def test_choices_that_python_takes_for_equal_are_told_apart() -> None:
    distribution = categorical([1, True, 1.0, float("nan"), None])
    assert [distribution.sent(distribution.record(index)) for index in range(5)] == [0, 1, 2, 3, 4]


def test_a_sampler_object() -> None:
    import optuna

    sampler = optuna.samplers.TPESampler(seed=3, n_startup_trials=2)
    first = searched(built(sampler))
    assert first == searched(built(sampler))  # it is copied


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_that_ends_the_search() -> None:
    import optuna

    search = built(optuna.samplers.BruteForceSampler(seed=0), num_trials=50)
    seen = []
    while search.ask(f"{len(seen):04d}"):
        trial_id = f"{len(seen):04d}"
        seen.append(search.suggest(trial_id, "n", whole(1, 3)))
        search.tell(Result(trial_id, State.FINISHED, 1.0))
    assert sorted(set(seen)) == [1, 2, 3] and len(seen) < 50


@pytest.mark.parametrize("algorithm", ["tpe", "cmaes"])
def test_another_kind_under_one_name_is_refused_where_the_algorithm_cannot_take_it(algorithm: str) -> None:
    search = built(algorithm)
    search.ask("0000")
    search.suggest("0000", "x", floating(0, 1))
    search.ask("0001")
    with pytest.raises(InvalidArguments, match="Cannot set different distribution kind"):
        search.suggest("0001", "x", categorical(["a"]))


@pytest.mark.parametrize(
    ("algorithm", "changes", "problem"),
    [
        ("grid", {}, "'grid' cannot search without a space"),
        ("asha", {}, "'asha' cannot search without a space"),
        ("hyperband", {}, "'hyperband' cannot search without a space"),
        ("ranom", {}, "Did you mean 'random'"),
        (3, {}, "algorithm=3 cannot search"),
        ("random", {"num_trials": 0}, "num_trials must be"),
        ("random", {"options": {"n": 1}}, "no option 'n'"),
        ("tpe", {"options": {"n_startup": 1}}, "Did you mean 'n_startup_trials'"),
        ("tpe", {"options": [1]}, "give a dict"),
    ],
)
def test_what_cannot_work_is_said(algorithm: Any, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        built(algorithm, **changes)


@pytest.mark.parametrize(
    ("make_one", "problem"),
    [
        (lambda: floating(1, 0), "low must not be greater"),
        (lambda: floating("a", 1), "finite numbers"),
        (lambda: floating(0, float("inf")), "finite numbers"),
        (lambda: floating(0, 1, log=True), "above 0"),
        (lambda: floating(1, 2, step=0.1, log=True), "exclude each other"),
        (lambda: floating(0, 1, step=-1), "step must be"),
        (lambda: floating(0, 1, log="yes"), "log must be"),
        (lambda: whole(0.5, 2), "bounds must be integers"),
        (lambda: whole(1, 5, step=0), "step must be"),
        (lambda: whole(0, 5, log=True), "at least 1"),
        (lambda: categorical([]), "at least one"),
        (lambda: categorical("abc"), "write a list"),
        (lambda: Distribution.from_json({"type": "normal"}), "is no distribution"),
        (lambda: Distribution.from_json(None), "is no distribution"),
        (lambda: Distribution.from_json({"type": "int"}), "finite numbers"),
    ],
)
def test_distributions_without_values(make_one: Any, problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        make_one()


@pytest.mark.parametrize("distribution", [*DISTRIBUTIONS.values(), DEPTH, whole(1, 8, log=True), whole(0, 9, 3)])
def test_distributions_in_json(distribution: Distribution) -> None:
    assert Distribution.from_json(distribution.to_json()) == distribution
    for unit in (0.0, 0.5, 0.999):
        value = distribution.draw(unit)
        assert distribution.contains(value)
        assert distribution.sent(distribution.record(value)) == value
