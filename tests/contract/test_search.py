"""What every search algorithm promises, whatever its strategy. A new one is found by its name and tested as it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopslite import _plugins
from hopslite._trial import Direction, Result, State
from hopslite.search import Search, Suggestion
from hopslite.space import Space, choice, integer, loguniform, uniform

LIMIT = 2000  # steps after which a search counts as endless
MIXED = Space({"x": uniform(-1.0, 1.0), "lr": loguniform(1e-5, 1e-1), "n": integer(1, 9), "c": choice(["a", "b", "c"])})
FINITE = Space({"n": integer(1, 5), "c": choice(["a", "b", "c"])})
TINY = Space({"n": integer(0, 1), "c": choice(["a", "b"])})
FINITE_ONLY = {"grid", "fixed"}

Make = Callable[..., Search]


@pytest.fixture(params=_plugins.names("search"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def space(name: str) -> Space:
    return FINITE if name in FINITE_ONLY else MIXED


@pytest.fixture
def make(name: str) -> Make:
    return functools.partial(build, name)


def build(name: str, space: Space, seed: int = 0, direction: Direction = Direction.MAX) -> Search:
    first: Any = [space.at(number) for number in range(space.size or 0)] if name == "fixed" else space
    search: Search = _plugins.load("search", name)(first, direction=direction, seed=seed)
    return search


def metric(params: dict[str, Any]) -> float:
    return float(params["n"]) + float(params.get("x", 0.0)) - (params["c"] == "b")


def result(trial_id: str, value: float | None) -> Result:
    return Result(trial_id, State.FAILED if value is None else State.FINISHED, value)


def run(
    search: Search,
    slots: int = 1,
    evaluate: Callable[[dict[str, Any]], float | None] = metric,
    pick: Callable[[int], int] = lambda running: 0,
) -> tuple[list[Suggestion], list[tuple[str, str, float | None]]]:
    """Keep `slots` trials running; `pick` says which of the running ones ends next. Returns what happened."""
    suggestions: list[Suggestion] = []
    events: list[tuple[str, str, float | None]] = []
    running: list[str] = []
    for _ in range(LIMIT):
        while len(running) < slots:
            trial_id = f"{len(suggestions):04d}"
            suggestion = search.ask(trial_id)
            if suggestion is None:
                break
            suggestions.append(suggestion)
            events.append(("ask", trial_id, None))
            running.append(trial_id)
            assert len(suggestions) <= search.total
        if not running:
            return suggestions, events
        trial_id = running.pop(pick(len(running)))
        value = evaluate(suggestions[int(trial_id)].params)
        events.append(("tell", trial_id, value))
        search.tell(result(trial_id, value))
    raise AssertionError(f"no end within {LIMIT} trials")


def test_suggests_something_and_ends(make: Make, space: Space) -> None:
    search = make(space)
    assert not search.done and search.total > 0
    suggestions, _ = run(search)
    assert suggestions
    assert search.done
    assert search.total == len(suggestions)
    assert search.ask("late") is None


def test_same_seed_same_suggestions(make: Make, space: Space) -> None:
    assert run(make(space, seed=3))[0] == run(make(space, seed=3))[0]


def test_two_instances_share_no_state(make: Make, space: Space) -> None:
    alone = run(make(space, seed=5))[0]
    first, second = make(space, seed=5), make(space, seed=6)
    run(second)
    assert run(first)[0] == alone


@pytest.mark.parametrize("direction", Direction)
def test_every_suggestion_lies_in_the_space(make: Make, space: Space, direction: Direction) -> None:
    for suggestion in run(make(space, direction=direction), slots=4)[0]:
        assert list(suggestion.params) == list(space)
        for key, dimension in space.items():
            dimension.to_unit(suggestion.params[key])  # raises for a value outside


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_ends_when_every_trial_fails(make: Make, space: Space, slots: int) -> None:
    search = make(space)
    run(search, slots, evaluate=lambda params: None)
    assert search.done


@pytest.mark.parametrize("slots", [1, 3, 32])
def test_tiny_space_ends_without_repeats(make: Make, slots: int) -> None:
    search = make(TINY)
    seen = [tuple(suggestion.params.items()) for suggestion in run(search, slots)[0]]
    assert len(seen) == len(set(seen)) == TINY.size
    assert search.done


def test_one_combination_is_one_trial(make: Make) -> None:
    search = make(Space({"n": choice([1]), "c": choice(["a"])}))
    assert len(run(search, 8)[0]) == 1


def test_notes_are_returned_once(make: Make) -> None:
    search = make(TINY)
    run(search)
    assert all(isinstance(note, str) for note in search.notes())
    assert search.notes() == []


@pytest.mark.parametrize("name", _plugins.names("search"))
@settings(max_examples=25, deadline=None)
@given(slots=st.integers(1, 40), order=st.lists(st.integers(0, 10**6), min_size=1, max_size=50), fail=st.integers(0, 9))
def test_any_order_of_results_ends_and_replays(name: str, slots: int, order: list[int], fail: int) -> None:
    space = FINITE if name in FINITE_ONLY else MIXED
    told = 0

    def pick(running: int) -> int:
        nonlocal told
        told += 1
        return order[(told - 1) % len(order)] % running

    def evaluate(params: dict[str, Any]) -> float | None:
        return None if params["n"] < fail else metric(params)

    search = build(name, space, 1, Direction.MIN)
    suggestions, events = run(search, slots, evaluate, pick)
    assert search.done and search.total == len(suggestions)

    again = build(name, space, 1, Direction.MIN)
    asked = iter(suggestions)
    for kind, trial_id, value in events:
        if kind == "ask":
            assert again.ask(trial_id) == next(asked)
        else:
            again.tell(result(trial_id, value))
    assert again.done
