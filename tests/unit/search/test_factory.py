"""From what a user names to a search."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments
from hopslite.search import Search, Suggestion, make
from hopslite.search.random import Random
from hopslite.space import Space, choice, uniform

SPACE = Space({"x": uniform(0.0, 1.0), "c": choice(["a", "b"])})
GRID = Space({"n": choice([1, 2, 3]), "c": choice(["a", "b"])})


def made(algorithm: Any, space: Space = SPACE, num_trials: int | None = None, **options: Any) -> Search:
    return make(algorithm, space, direction=Direction.MAX, seed=1, num_trials=num_trials, options=options)


def trials(search: Search) -> int:
    asked = 0
    while (suggestion := search.ask(str(asked))) is not None:
        search.tell(Result(str(asked), State.FINISHED, suggestion.params["x"]))
        asked += 1
    return asked


@pytest.mark.parametrize("name", ["random", "tpe", "cmaes", "qmc", "differential_evolution"])
@pytest.mark.parametrize("num_trials", [1, 3, 25])
def test_so_many_trials_as_asked_for(name: str, num_trials: int) -> None:
    search = made(name, num_trials=num_trials)
    assert search.total == num_trials
    assert trials(search) == num_trials


def test_names_in_any_case() -> None:
    assert isinstance(made(" Random "), Random)


def test_without_a_number_of_trials() -> None:
    totals = {name: made(name).total for name in ("random", "tpe", "differential_evolution", "hyperband", "asha")}
    # Hyperband: 9 + 3 + 1, 5 + 1, 3. ASHA: 9 configurations, and at worst each goes on twice.
    assert totals == {"random": 10, "tpe": 10, "differential_evolution": 30, "hyperband": 22, "asha": 27}


def test_a_grid_is_tried_as_a_whole() -> None:
    assert [made("grid", GRID, number).total for number in (None, 6, 100)] == [6, 6, 6]
    with pytest.raises(InvalidArguments, match=r"all 6 combinations, given num_trials=5.*'random'"):
        made("grid", GRID, 5)


def test_a_larger_budget_gives_differential_evolution_a_larger_population() -> None:
    def population(num_trials: int, **options: Any) -> int:
        search = made("differential_evolution", Space({"x": uniform(0.0, 1.0)}), num_trials, **options)
        generations = []
        for number in range(num_trials):
            suggestion = search.ask(str(number))
            assert suggestion is not None
            generations.append(suggestion.generation)
            search.tell(Result(str(number), State.FINISHED, 1.0 / (number + 1)))
        return generations.count(0)

    assert [population(trials) for trials in (20, 60, 80, 100, 500, 1000)] == [6, 6, 8, 10, 10, 20]
    assert population(30, population=9) == 9


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("tpee", r"no algorithm named 'tpee'; known: asha, cmaes, .*tpe.* Did you mean 'tpe'"),
        ("fixed", "no algorithm named 'fixed'"),
        ("optuna", "no algorithm named 'optuna'"),
        (3, "algorithm=3: give a known name"),
        (None, "algorithm=None: give a known name"),
        (optuna.samplers.TPESampler, r"give an object of it, such as TPESampler\(\)"),
        (lambda space: None, "it is called as"),
        (
            lambda space, direction, seed, num_trials: {},
            r"made \{\}, which has no ask, adopt, tell, notes, total, done",
        ),
    ],
)
def test_what_is_no_algorithm_is_refused(algorithm: Any, message: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        made(algorithm)


@pytest.mark.parametrize("num_trials", [0, -1, 2.5, True, "7"])
def test_what_is_no_number_of_trials_is_refused(num_trials: Any) -> None:
    with pytest.raises(InvalidArguments, match="num_trials must be an integer of at least 1"):
        made("random", num_trials=num_trials)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("random", {"popsize": 3}, "random: no option 'popsize'; it has none"),
        ("asha", {"max_budgets": 3}, "asha: no option 'max_budgets'; its options: min_budget, .*Did you mean 'max_b"),
        ("differential_evolution", {"generations": 3}, "no option 'generations'; its options: population"),
        ("tpe", {"n_startup": 3}, "tpe: no option 'n_startup'; its options: .*Did you mean 'n_startup_trials'"),
        ("qmc", {"qmc_type": "dice"}, "qmc: .*dice"),
        ("qmc", {"seed": 3}, "qmc: no option 'seed'"),
    ],
)
def test_options_that_there_are_not_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        made(name, **options)


def test_every_option_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidArguments) as caught:
        made("asha", one=1, two=2)
    assert len(caught.value.problems) == 2


def test_a_class_or_function_of_the_user() -> None:
    class Mine(Random):
        def __init__(self, space: Space, *, direction: Direction, seed: int, num_trials: int | None, twice: bool):
            super().__init__(space, direction=direction, seed=seed, samples=(num_trials or 1) * (2 if twice else 1))

    assert made(Mine, num_trials=4, twice=True).total == 8
    assert made(lambda space, **arguments: Mine(space, twice=False, **arguments), num_trials=4).total == 4
    with pytest.raises(InvalidArguments, match="missing a required argument: 'twice'"):
        made(Mine)
    with pytest.raises(InvalidArguments, match=r"no option 'thrice'.*Did you mean 'twice'"):
        made(Mine, thrice=True)


def test_a_suggestion_continues_nothing_by_default() -> None:
    assert Suggestion({"x": 1}) == Suggestion({"x": 1}, None, None)
