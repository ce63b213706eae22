"""What every search algorithm promises, whatever its strategy. A new one is found by its name and tested as it is."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopslite.core.types import Direction, Result, State, json_safe
from hopslite.errors import ReplayError
from hopslite.search import Search, Suggestion, make
from hopslite.search._factory import known
from hopslite.search.fixed import Fixed
from hopslite.space import Space, choice, integer, lognormal, loguniform, normal, uniform, when

LIMIT = 2000  # steps after which a search counts as endless
MIXED = Space({"x": uniform(-1.0, 1.0), "lr": loguniform(1e-5, 1e-1), "n": integer(1, 9), "c": choice(["a", "b", "c"])})
SHAPED = Space(
    {
        "x": normal(0.0, 0.3),
        "lr": lognormal(-3.0, 2.0, 1e-5, 1e-1),
        "c": choice(["a", "b", [3]], weights=[6, 3, 1]),
        "extra": when("c", "b", normal(0.5, 1.0, low=0.0)),
        "n": integer(1, 9),
    }
)
FINITE = Space({"n": integer(1, 5), "c": choice(["a", "b", "c"])})
TINY = Space({"n": integer(0, 1), "c": choice(["a", "b"])})
CONDITIONAL = Space(
    {
        "extra": when("c", ["b", "c"], uniform(0.0, 1.0)),  # before its parent
        "n": integer(1, 64, log=True),
        "c": choice(["a", "b", "c"]),
        "step": uniform(0.0, 0.3, step=0.1),
        "depth": when("c", "b", integer(2, 10, step=2)),
        "leaf": when("depth", [4, 6], choice([None, (1, 2)])),
    }
)
FINITE_CONDITIONAL = Space(
    {"c": choice(["a", "b"]), "n": integer(1, 3), "depth": when("c", "b", integer(2, 6, step=2))},
)
FINITE_ONLY = {"grid", "fixed"}
HEEDLESS = {"grid", "fixed", "random", "qmc"}  # whatever they are told, they suggest the same
SLOW = {"gp"}
OPTIONS: dict[str, dict[str, Any]] = {
    "gp": {"n_startup_trials": 3},
    "tpe": {"n_startup_trials": 4},
    "nsga2": {"population_size": 6},
}
TRIALS = {"gp": 7, "tpe": 14, "cmaes": 40, "nsga2": 40}  # enough for each to make use of results
NAMES = [*known(), "fixed"]

Make = Callable[..., Search]
Events = list[tuple[str, str, float | None]]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def space(name: str) -> Space:
    return FINITE if name in FINITE_ONLY else MIXED


@pytest.fixture
def conditional(name: str) -> Space:
    return FINITE_CONDITIONAL if name in FINITE_ONLY else CONDITIONAL


@pytest.fixture
def build(name: str) -> Make:
    return functools.partial(built, name)


def built(name: str, space: Space, seed: int = 0, direction: Direction = Direction.MAX) -> Search:
    if name == "fixed":
        return Fixed([space.at(number) for number in range(space.size or 0)], direction=direction, seed=seed)
    options = OPTIONS.get(name)
    return make(name, space, direction=direction, seed=seed, num_trials=TRIALS.get(name), options=options)


def metric(params: dict[str, Any]) -> float:
    return float(params["n"]) + float(params.get("x", 0.0)) - (params["c"] == "b") + params.get("extra", 0.0)


def result(trial_id: str, value: float | None, state: State = State.FINISHED) -> Result:
    return Result(trial_id, State.FAILED if value is None else state, value)


def values(search: Search, suggestion: Suggestion) -> dict[str, Any]:
    """The hyperparameters, without the argument that the algorithm adds."""
    return {name: value for name, value in suggestion.params.items() if name != getattr(search, "budget", None)}


def run(
    search: Search,
    slots: int = 1,
    evaluate: Callable[[dict[str, Any]], float | None] = metric,
    pick: Callable[[int], int] = lambda running: 0,
    state: State = State.FINISHED,
) -> tuple[list[Suggestion], Events]:
    """Keep `slots` trials running; `pick` says which of the running ones ends next. Returns what happened."""
    suggestions: list[Suggestion] = []
    events: Events = []
    running: list[str] = []
    total = search.total
    for _ in range(LIMIT):
        while len(running) < slots:
            trial_id = f"{len(suggestions):04d}"
            suggestion = search.ask(trial_id)
            if suggestion is None:
                break
            suggestions.append(suggestion)
            events.append(("ask", trial_id, None))
            running.append(trial_id)
            assert len(suggestions) <= search.total <= total
            total = search.total
        if not running:
            return suggestions, events
        trial_id = running.pop(pick(len(running)))
        value = evaluate(suggestions[int(trial_id)].params)
        events.append(("tell", trial_id, value))
        search.tell(result(trial_id, value, state))
    raise AssertionError(f"no end within {LIMIT} trials")


def replay(search: Search, suggestions: list[Suggestion], events: Events, adopt: bool) -> None:
    """Tell a search what another one was asked and told, in the same order."""
    for kind, trial_id, value in events:
        if kind == "tell":
            search.tell(result(trial_id, value))
            continue
        before = suggestions[int(trial_id)]
        if adopt:  # the parameters have been through a journal
            assert search.adopt(trial_id, json.loads(json.dumps(json_safe(before.params)))) == before
        else:
            assert search.ask(trial_id) == before


@pytest.mark.slow("algorithms")
def test_suggests_something_and_ends(build: Make, space: Space) -> None:
    search = build(space)
    assert not search.done and search.total > 0
    suggestions, _ = run(search)
    assert suggestions
    assert search.done
    assert search.total == len(suggestions)
    assert search.ask("late") is None


def test_same_seed_same_suggestions(build: Make, space: Space) -> None:
    assert run(build(space, seed=3), 3)[0] == run(build(space, seed=3), 3)[0]


def test_distributions_and_weights_are_replayed(name: str) -> None:
    if name in FINITE_ONLY:
        pytest.skip("all values are tried, whatever their shares")
    search = built(name, SHAPED)
    suggestions, events = run(search, 3)
    assert search.done
    for suggestion in suggestions:
        params = values(search, suggestion)
        assert 1e-5 <= params["lr"] <= 1e-1
        assert ("extra" in params) == (params["c"] == "b")
        assert params.get("extra", 0.0) >= 0.0
        assert any(params["c"] is value for value in SHAPED["c"].values)  # type: ignore[union-attr]
    replay(built(name, SHAPED), suggestions, events, adopt=True)


@pytest.mark.parametrize("name", ["random", "qmc", "differential_evolution"])
def test_what_is_drawn_has_the_distribution(name: str) -> None:
    space = Space({"x": normal(5.0, 2.0), "c": choice(["a", "b"], weights=[3, 1])})
    options = {"population": 400} if name == "differential_evolution" else {}
    search = make(name, space, direction=Direction.MAX, seed=1, num_trials=400, options=options)
    drawn = [search.ask(f"{number:04d}").params for number in range(400)]  # type: ignore[union-attr]
    assert 4.7 < sum(params["x"] for params in drawn) / 400 < 5.3
    assert 250 < sum(abs(params["x"] - 5.0) < 2.0 for params in drawn) < 296  # 68 %
    assert 270 < sum(params["c"] == "a" for params in drawn) < 330


def test_another_seed_makes_a_difference(name: str, build: Make, space: Space) -> None:
    alike = run(build(space, seed=3))[0] == run(build(space, seed=4))[0]
    assert alike == (name in FINITE_ONLY)


def test_two_instances_share_no_state(build: Make, space: Space) -> None:
    alone = run(build(space, seed=5))[0]
    first, second = build(space, seed=5), build(space, seed=6)
    run(second)
    assert run(first)[0] == alone


@pytest.mark.parametrize("direction", Direction)
def test_every_suggestion_lies_in_the_space(build: Make, space: Space, direction: Direction) -> None:
    search = build(space, direction=direction)
    for suggestion in run(search, slots=4)[0]:
        params = values(search, suggestion)
        assert list(params) == list(space)
        for key, dimension in space.items():
            dimension.to_unit(params[key])  # raises for a value outside


@pytest.mark.slow("algorithms")
def test_suggestions_have_the_parameters_whose_conditions_hold(build: Make, conditional: Space) -> None:
    search = build(conditional)
    suggestions = run(search, slots=3)[0]
    assert search.done
    for suggestion in suggestions:
        params = values(search, suggestion)
        units = [dimension.to_unit(params[key]) if key in params else 0.5 for key, dimension in conditional.items()]
        there = conditional.exists(units)
        assert list(params) == [key for key, exists in zip(conditional, there, strict=True) if exists]
    assert {len(suggestion.params) for suggestion in suggestions} != {len(conditional)}


def test_the_values_of_a_finite_dimension_are_the_very_ones_of_the_space(build: Make) -> None:
    marks = [object(), (1, 2), [3], 0.1 + 0.2]
    space = Space({"mark": choice(marks), "n": integer(10, 40, step=15), "x": uniform(0.1, 0.5, step=0.1)})
    for suggestion in run(build(space), slots=2, evaluate=lambda params: params["x"])[0]:
        params = suggestion.params
        assert any(params["mark"] is mark for mark in marks)
        assert params["n"] in (10, 25, 40) and type(params["n"]) is int
        assert params["x"] in (0.1, 0.2, 0.3, 0.4, 0.5)


def test_maximising_is_minimising_the_negative(build: Make, space: Space) -> None:
    most = run(build(space, direction=Direction.MAX), 2)[0]
    least = run(build(space, direction=Direction.MIN), 2, evaluate=lambda params: -metric(params))[0]
    assert most == least


def test_the_direction_makes_a_difference(name: str, build: Make, space: Space) -> None:
    if name in {entry.name for entry in entry_points(group="hopslite.search")}:
        pytest.skip("another distribution's may learn from results or not")
    alike = run(build(space, direction=Direction.MAX))[0] == run(build(space, direction=Direction.MIN))[0]
    assert alike == (name in HEEDLESS)


def test_a_stopped_trial_counts_with_its_metric(build: Make, space: Space) -> None:
    if getattr(build(space), "needs_checkpoints", False):
        pytest.skip("a trial that was stopped may have left nothing to go on from")
    assert run(build(space), 2, state=State.STOPPED)[0] == run(build(space), 2)[0]


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_ends_when_every_trial_fails(build: Make, space: Space, slots: int) -> None:
    search = build(space)
    run(search, slots, evaluate=lambda params: None)
    assert search.done


@pytest.mark.parametrize("slots", [1, 3, 32])
def test_tiny_space_ends_without_repeats(build: Make, slots: int) -> None:
    search = build(TINY)
    suggestions = run(search, slots)[0]
    seen = [tuple(suggestion.params.items()) for suggestion in suggestions]
    assert len(seen) == len(set(seen))
    assert len({tuple(values(search, suggestion).items()) for suggestion in suggestions}) == TINY.size
    assert search.done


@pytest.mark.slow("algorithms")
@pytest.mark.parametrize("slots", [1, 5])
def test_nothing_is_suggested_twice(build: Make, space: Space, conditional: Space, slots: int) -> None:
    for each in (space, conditional):
        seen = [repr(sorted(suggestion.params.items())) for suggestion in run(build(each, seed=1), slots)[0]]
        assert len(seen) == len(set(seen))


def test_one_combination_is_one_configuration(build: Make) -> None:
    search = build(Space({"n": choice([1]), "c": choice(["a"])}))
    suggestions = run(search, 8)[0]
    assert sum(suggestion.continues is None for suggestion in suggestions) == 1
    assert len(suggestions) == 1 or hasattr(search, "budget")


def test_notes_are_returned_once(build: Make) -> None:
    search = build(TINY)
    run(search)
    assert all(isinstance(note, str) for note in search.notes())
    assert search.notes() == []


def test_any_ids_will_do(build: Make) -> None:
    search = build(TINY)
    first, second = search.ask("b"), search.ask("a")
    assert first is not None and second is not None
    search.tell(result("a", 1.0))
    search.tell(result("b", None))
    run(search)
    assert search.done


def test_parameters_that_are_not_of_the_space_are_not_adopted(build: Make, space: Space) -> None:
    search = build(space)
    known_one = json_safe(run(build(space))[0][0].params)
    for change in ({"n": 77}, {"c": "z"}, {"other": 1}):
        with pytest.raises(ReplayError, match="0000"):
            search.adopt("0000", known_one | change)
    with pytest.raises(ReplayError):
        build(space).adopt("0000", {})


def check_any_order(name: str, slots: int, order: list[int], fail: int, cut: int, conditional: bool) -> None:
    if name in FINITE_ONLY:
        space = FINITE_CONDITIONAL if conditional else FINITE
    else:
        space = CONDITIONAL if conditional else MIXED
    told = 0

    def pick(running: int) -> int:
        nonlocal told
        told += 1
        return order[(told - 1) % len(order)] % running

    def evaluate(params: dict[str, Any]) -> float | None:
        return None if params["n"] < fail else metric(params)

    search = built(name, space, 1, Direction.MIN)
    suggestions, events = run(search, slots, evaluate, pick)
    assert search.done and search.total == len(suggestions)

    again = built(name, space, 1, Direction.MIN)
    replay(again, suggestions, events, adopt=False)
    assert again.done

    # Resumed in the middle, it goes on as if nothing had happened.
    resumed = built(name, space, 1, Direction.MIN)
    at = cut % (len(events) + 1)
    replay(resumed, suggestions, events[:at], adopt=True)
    replay(resumed, suggestions, events[at:], adopt=False)
    assert resumed.done


ORDERS = {
    "slots": st.integers(1, 40),
    "order": st.lists(st.integers(0, 10**6), min_size=1, max_size=50),
    "fail": st.integers(0, 9),
    "cut": st.integers(0, 10**6),
    "conditional": st.booleans(),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
@settings(max_examples=25, deadline=None)
@given(**ORDERS)
def test_any_order_of_results_ends_and_replays(name: str, **order: Any) -> None:
    check_any_order(name, **order)


@pytest.mark.slow("matrix")
@pytest.mark.parametrize("name", sorted(SLOW))
@settings(max_examples=3, deadline=None)
@given(**ORDERS | {"slots": st.integers(1, 3), "fail": st.integers(0, 1)})
def test_any_order_of_results_ends_and_replays_slowly(name: str, **order: Any) -> None:
    check_any_order(name, **order)
