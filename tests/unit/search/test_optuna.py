"""Optuna's samplers: what hopslite adds to them, and what it takes care not to change."""

from __future__ import annotations

import logging
import statistics
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hopslite.core.types import Direction, Result, State, json_safe
from hopslite.errors import InvalidArguments, MissingExtra
from hopslite.search import Search, Suggestion, make
from hopslite.search._optuna_samplers import NAMES, is_sampler
from hopslite.search.optuna import Optuna
from hopslite.space import Space, choice, integer, loguniform, uniform, when

SPACE = Space({"x": uniform(-1.0, 1.0), "n": integer(1, 8), "c": choice(["a", "b", "c"])})
CONDITIONAL = Space({"c": choice(["a", "b"]), "x": uniform(-1.0, 1.0), "m": when("c", "b", uniform(0.0, 1.0))})
EVERY = pytest.mark.parametrize("name", NAMES)


def made(sampler: Any, space: Space = SPACE, num_trials: int = 12, seed: int = 1, **options: Any) -> Any:
    return make(sampler, space, direction=Direction.MIN, seed=seed, num_trials=num_trials, options=options)


def cost(params: dict[str, Any]) -> float:
    return (params.get("x", 0.0) - 0.3) ** 2 + 0.1 * params.get("n", 0) + params.get("m", 0.0) + (params["c"] == "a")


def run(search: Search, slots: int = 1) -> list[Suggestion]:
    asked: list[Suggestion] = []
    running: list[int] = []
    while True:
        while len(running) < slots and (suggestion := search.ask(str(len(asked)))) is not None:
            running.append(len(asked))
            asked.append(suggestion)
        if not running:
            return asked
        number = running.pop(0)
        search.tell(Result(str(number), State.FINISHED, cost(asked[number].params)))


def best(suggestions: list[Suggestion]) -> float:
    return min(cost(suggestion.params) for suggestion in suggestions)


# --- what is not installed


@EVERY
def test_without_optuna_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=f"'{name}' needs Optuna.*pip install \"hopslite\\[optuna\\]\""):
        made(name)
    assert not is_sampler(object())


@pytest.mark.parametrize(
    ("name", "package", "install"), [("gp", "torch", "pip install torch"), ("cmaes", "cmaes", "hopslite[optuna]")]
)
def test_what_a_sampler_needs_beside_optuna_is_named(
    name: str, package: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as caught:
        made(name)
    assert f"needs the package {package!r}" in str(caught.value) and install in str(caught.value)
    made("tpe")


# --- quiet


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What Optuna logs."""
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("optuna").addHandler(handler)
    yield seen
    logging.getLogger("optuna").removeHandler(handler)


@EVERY
@pytest.mark.parametrize("space", [SPACE, CONDITIONAL])
def test_nothing_is_logged_or_warned_of(name: str, space: Space, logged: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "CUDA initialization")  # what torch says, once, where there is no GPU
        run(made(name, space), 2)
    assert logged == []
    assert optuna.logging.get_verbosity() == logging.INFO


def test_studies_of_the_user_are_as_loud_as_ever(logged: list[str]) -> None:
    run(made("tpe"))
    optuna.create_study(study_name="mine")
    assert len(logged) == 1 and "mine" in logged[0]
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        optuna.samplers.TPESampler(group=True, multivariate=True)


@pytest.mark.skipif(optuna.__version__ < "4.9", reason="no option that Optuna warns of")
def test_what_optuna_says_of_an_option_is_shown_once() -> None:
    with pytest.warns(FutureWarning, match="prior_weight") as caught:
        run(made("tpe", num_trials=14, prior_weight=0.5))
    assert len([warning for warning in caught if warning.category is FutureWarning]) == 1


# --- the study


class Watch(optuna.samplers.RandomSampler):
    """Remembers, at every suggestion, the states and values of the trials before."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.seen: list[list[tuple[str, float | None]]] = []

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        trials = study.get_trials(deepcopy=False)[:-1]
        self.seen.append(
            [(trial.state.name, trial.value if trial.state is TrialState.COMPLETE else None) for trial in trials]
        )


def test_the_sampler_knows_what_runs_what_failed_and_what_was_stopped() -> None:
    search = made(Watch(seed=0))
    for number in range(5):
        search.ask(str(number))
    search.tell(Result("1", State.FINISHED, 0.5))
    search.tell(Result("2", State.FAILED, None))
    search.tell(Result("3", State.STOPPED, 0.75))
    search.tell(Result("4", State.FINISHED, float("nan")))
    search.ask("5")
    sampler = search._study.sampler
    assert sampler.seen[0] == []
    assert sampler.seen[-1] == [
        ("RUNNING", None),
        ("COMPLETE", 0.5),
        ("FAIL", None),
        ("COMPLETE", 0.75),
        ("FAIL", None),
    ]


@pytest.mark.parametrize("direction", Direction)
def test_the_study_has_the_direction(direction: Direction) -> None:
    search: Any = make("tpe", SPACE, direction=direction, seed=0, num_trials=1)
    assert search._study.direction.name == ("MAXIMIZE" if direction is Direction.MAX else "MINIMIZE")


@pytest.mark.slow("algorithms")
@pytest.mark.parametrize(("name", "trials"), [("tpe", 40), ("cmaes", 60), ("gp", 16)])
def test_it_learns(name: str, trials: int) -> None:
    space = Space({"x": uniform(-1.0, 1.0), "n": integer(1, 60), "c": choice(["b"])})
    seeds = range(1 if name == "gp" else 5)
    median = statistics.median(best(run(made(name, space, trials, seed), 3)) for seed in seeds)
    chance = statistics.median(best(run(made("random", space, trials, seed), 3)) for seed in range(5))
    assert median < chance


@EVERY
def test_with_conditions_it_learns_of_the_parameter_that_is_not_always_there(name: str) -> None:
    suggestions = run(made(name, CONDITIONAL, 14), 2)
    assert {("m" in suggestion.params) for suggestion in suggestions} == {True, False}
    assert all(("m" in suggestion.params) == (suggestion.params["c"] == "b") for suggestion in suggestions)


def test_cmaes_is_told_what_is_known_of_a_combination_that_it_repeats() -> None:
    space = Space({"a": integer(1, 9), "b": integer(1, 9), "c": choice(["b"])})
    search = made("cmaes", space, 70)
    run(search, 2)
    trials = search._study.get_trials(deepcopy=False)
    values: dict[tuple[Any, ...], set[float]] = {}
    for trial in trials:
        if trial.state is TrialState.COMPLETE:
            values.setdefault(tuple(trial.params.values()), set()).add(trial.value)
    assert len(trials) > 70
    assert sum(trial.state is TrialState.COMPLETE for trial in trials) > 70
    assert all(len(labels) == 1 for labels in values.values())


def test_cmaes_says_what_it_does_not_learn() -> None:
    assert made("cmaes").notes() == ["CMA-ES does not model categorical parameters: c is sampled at random"]
    assert made("cmaes", Space({"x": uniform(0, 1), "y": uniform(0, 1)})).notes() == []
    assert made("tpe").notes() == []


# --- samplers of the user


def test_a_sampler_has_its_own_seed_and_stays_as_it_was() -> None:
    sampler = optuna.samplers.TPESampler(seed=7)
    first = run(made(sampler, seed=1))
    assert run(made(sampler, seed=2)) == first
    assert run(made(optuna.samplers.TPESampler(seed=7))) == first
    assert run(made(optuna.samplers.TPESampler(seed=8))) != first


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.RandomSampler(seed=1),
        optuna.samplers.TPESampler(seed=1, n_startup_trials=3),
        optuna.samplers.CmaEsSampler(seed=1, warn_independent_sampling=False),
        optuna.samplers.NSGAIISampler(seed=1, population_size=4),
        lambda: optuna.samplers.QMCSampler(seed=1, warn_independent_sampling=False),
        lambda: optuna.samplers.PartialFixedSampler({"x": 0.5}, optuna.samplers.RandomSampler(seed=1)),
    ],
    ids=["Random", "TPE", "CmaEs", "NSGAII", "QMC", "PartialFixed"],
)
@pytest.mark.parametrize("slots", [1, 5])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_any_sampler_will_do(sampler: Any, slots: int) -> None:
    sampler = sampler() if callable(sampler) else sampler
    suggestions = run(made(sampler), slots)
    assert len(suggestions) == 12
    assert len({tuple(suggestion.params.items()) for suggestion in suggestions}) == 12
    assert suggestions == run(made(sampler), slots)


@pytest.mark.parametrize("kind", ["grid", "brute force"])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_that_has_come_to_its_end_ends_the_search(kind: str, slots: int) -> None:
    space = Space({"n": integer(1, 3), "c": choice(["a", "b"])})
    sampler = (
        optuna.samplers.GridSampler({"n": [1, 3], "c": [0, 1]}, seed=1)
        if kind == "grid"
        else optuna.samplers.BruteForceSampler(seed=1)
    )
    search = made(sampler, space)
    suggestions = run(search, slots)
    assert search.done and search.total == len(suggestions)
    assert len(suggestions) >= 4 and {suggestion.params["c"] for suggestion in suggestions} == {"a", "b"}


def test_a_sampler_takes_no_options() -> None:
    with pytest.raises(InvalidArguments, match="TPESampler: no option 'n_startup_trials'; it has none"):
        made(optuna.samplers.TPESampler(), n_startup_trials=3)


def test_options_reach_the_sampler() -> None:
    search = made("tpe", n_startup_trials=3)
    assert search._study.sampler._n_startup_trials == 3
    assert run(search) != run(made("tpe", n_startup_trials=11))
    with pytest.raises(InvalidArguments, match="n_startup_trials must be an integer of at least 0, given '3'"):
        made("tpe", n_startup_trials="3")


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_random_trials_under_way_count_as_random_ones(name: str) -> None:
    search = made(name, num_trials=30)
    started = []
    for number in range(8):
        search.ask(str(number))
        started.append(search._study.sampler._n_startup_trials)
    assert started == [10, 9, 8, 7, 6, 5, 5, 5]


def test_cmaes_learns_from_what_comes_when_its_generation_is_complete() -> None:
    space = Space({"x": uniform(-1.0, 1.0), "y": uniform(-1.0, 1.0), "c": choice(["b"])})
    search = made("cmaes", space, 60)
    run(search, 5)
    complete = [trial for trial in search._study.get_trials(deepcopy=False) if trial.state is TrialState.COMPLETE]
    assert len(complete) == 60
    marks = [trial.system_attrs["cma:generation"] for trial in complete if "cma:generation" in trial.system_attrs]
    assert marks == sorted(marks)  # none belongs to an older generation than one that ended before it
    population = 6  # of two dimensions: 4 + 3 ln 2
    assert all(marks.count(mark) == population for mark in range(max(marks)))


# --- values


def test_values_that_floats_cannot_hold() -> None:
    space = Space(
        {
            "huge": integer(-(10**30), 10**30),
            "wide": uniform(-1.7e308, 1.7e308),
            "tiny": loguniform(5e-324, 1e-300),
            "many": integer(1, 10**6, step=7),
            "c": choice([1, True, 1.0, "1", None, [1], [1]]),
        }
    )
    for name in ("tpe", "cmaes", "qmc"):
        for suggestion in run(made(name, space, 40), 3):
            for key, dimension in space.items():
                dimension.to_unit(suggestion.params[key])
            assert type(suggestion.params["huge"]) is int


def test_equal_choices_are_tried_each() -> None:
    space = Space({"c": choice(["a", "a", [1], [1]])})
    suggestions = run(made("tpe", space))
    assert sorted(map(repr, (suggestion.params["c"] for suggestion in suggestions))) == ["'a'", "'a'", "[1]", "[1]"]
    again = made("tpe", space)
    for number, suggestion in enumerate(suggestions):
        assert again.adopt(str(number), suggestion.params).params["c"] == suggestion.params["c"]
    assert again.done


def test_an_interval_with_two_values_is_used_up() -> None:
    search = made("tpe", Space({"x": uniform(0.0, 5e-324), "c": choice(["b"])}))
    assert len(run(search)) == 2
    assert search.done and search.total == 2 and search.ask("late") is None


# --- adopting


@pytest.mark.parametrize("name", ["tpe", "gp"])
@pytest.mark.parametrize("space", [SPACE, CONDITIONAL])
def test_adopting_computes_nothing(name: str, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    suggestions = run(made(name, space, 13))

    def never(*args: Any) -> Any:
        raise AssertionError("it was asked")

    kind = getattr(optuna.samplers, NAMES[name])
    again = made(name, space, 13)
    with monkeypatch.context() as patched:
        patched.setattr(kind, "sample_relative", never)
        patched.setattr(kind, "sample_independent", never)
        for number, suggestion in enumerate(suggestions[:-1]):
            assert again.adopt(str(number), json_safe(suggestion.params)) == suggestion
            again.tell(Result(str(number), State.FINISHED, cost(suggestion.params)))
    assert again.ask("12") == suggestions[-1]


@pytest.mark.parametrize("sampler", ["cmaes", "qmc", optuna.samplers.NSGAIISampler(population_size=4)])
def test_parameters_that_a_sampler_would_not_have_suggested_are_adopted_all_the_same(sampler: Any) -> None:
    search = made(sampler, CONDITIONAL)
    adopted = search.adopt("0", {"c": "b", "x": 0.125, "m": 0.5})
    assert adopted.params == {"c": "b", "x": 0.125, "m": 0.5}
    search.tell(Result("0", State.FINISHED, 1.0))
    assert len(run(search, 2)) == 11


def test_an_object_without_a_representation_is_recognised_in_another_session() -> None:
    class Plain:
        pass

    here, elsewhere = Plain(), Plain()
    record = json_safe({"object": elsewhere})
    assert " at 0x" in record["object"] and record["object"] != repr(here)
    assert made("tpe", Space({"object": choice(["b", here])})).adopt("0", record).params["object"] is here


def test_made_directly() -> None:
    assert Optuna(SPACE).total == 10
    with pytest.raises(InvalidArguments, match="num_trials must be an integer of at least 1"):
        Optuna(SPACE, num_trials=0)
    with pytest.raises(InvalidArguments, match="seed must be an integer"):
        Optuna(SPACE, seed=-1)
    with pytest.raises(InvalidArguments, match=r"sampler must be an Optuna sampler or one of tpe, gp, .*given 'tpee'"):
        Optuna(SPACE, sampler="tpee")
