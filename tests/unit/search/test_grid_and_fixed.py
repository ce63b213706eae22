"""Grid, Random and Fixed."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopslite.errors import InvalidArguments
from hopslite.search import Search
from hopslite.search.fixed import Fixed
from hopslite.search.grid import Grid
from hopslite.search.random import Random
from hopslite.space import Space, choice, integer, uniform, when


def asked(search: Search) -> list[dict[str, Any]]:
    combinations = []
    while (suggestion := search.ask(str(len(combinations)))) is not None:
        combinations.append(suggestion.params)
    return combinations


def test_grid_order_has_the_last_key_fastest() -> None:
    grid = Grid(Space.grid({"a": [4, 5], "b": [1, 2]}))
    assert grid.total == 4
    assert asked(grid) == [{"a": 4, "b": 1}, {"a": 4, "b": 2}, {"a": 5, "b": 1}, {"a": 5, "b": 2}]
    assert grid.done


def test_grid_of_unhashable_and_equal_values_runs_each() -> None:
    assert [params["a"] for params in asked(Grid(Space.grid({"a": [[1], {"k": 2}, [1]]})))] == [[1], {"k": 2}, [1]]


def test_huge_grid_starts_at_once() -> None:
    grid = Grid(Space.grid({f"h{i}": range(10) for i in range(30)}))
    assert grid.total == 10**30
    suggestion = grid.ask("0")
    assert suggestion is not None
    assert set(suggestion.params.values()) == {0}


def test_grid_of_an_interval_is_refused() -> None:
    with pytest.raises(InvalidArguments, match="'x'"):
        Grid(Space({"x": uniform(0, 1), "n": integer(1, 2)}))


def test_fixed_keeps_order_repeats_and_its_own_copy() -> None:
    combinations = [{"a": 1}, {"a": 1}, {}]
    fixed = Fixed(combinations, seed=3)
    combinations[0]["a"] = 9
    assert fixed.total == 3
    assert asked(fixed) == [{"a": 1}, {"a": 1}, {}]
    assert Fixed([]).done


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(2, 9), st.integers(1, 130), st.integers(0, 99))
def test_random_gives_exactly_the_samples_that_the_space_has(choices: int, top: int, samples: int, seed: int) -> None:
    space = Space({"c": choice(list(range(choices))), "n": integer(1, top)})
    search = Random(space, samples=samples, seed=seed)
    combinations = {tuple(params.items()) for params in asked(search)}
    expected = min(samples, choices * top)
    assert len(combinations) == search.total == expected
    notes = search.notes()
    assert bool(notes) == (samples > choices * top)
    assert all(f"only {choices * top} combinations" in note and f"{samples} samples" in note for note in notes)
    assert search.notes() == []


def test_random_combinations_are_equally_likely() -> None:
    space = Space({"a": integer(1, 3), "b": choice(["x", "y"])})
    counts: dict[Any, int] = {}
    for seed in range(600):
        for params in asked(Random(space, samples=2, seed=seed)):
            key = tuple(params.values())
            counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values())  # 200 expected, standard deviation 13


BRANCHES = Space(
    {
        "net": choice(["mlp", "cnn"]),
        "kernel": when("net", "cnn", integer(1, 30)),
        "rate": when("net", "cnn", uniform(0.0, 0.5, step=0.1)),
    }
)


def test_grid_runs_each_combination_of_a_conditional_space_once() -> None:
    grid = Grid(BRANCHES)
    combinations = asked(grid)
    assert grid.total == len(combinations) == 1 + 30 * 6
    assert combinations[:3] == [
        {"net": "mlp"},
        {"net": "cnn", "kernel": 1, "rate": 0.0},
        {"net": "cnn", "kernel": 1, "rate": 0.1},
    ]
    assert len({tuple(params.items()) for params in combinations}) == len(combinations)


@pytest.mark.parametrize("samples", [50, 181, 500])
def test_random_in_a_conditional_space_has_no_repeats_and_takes_all_there_are(samples: int) -> None:
    for seed in range(5):
        search = Random(BRANCHES, samples=samples, seed=seed)
        combinations = {tuple(params.items()) for params in asked(search)}
        assert len(combinations) == search.total == min(samples, 181)
        assert bool(search.notes()) == (samples > 181)


def test_random_draws_the_values_of_a_parent_equally_often() -> None:
    first = [asked(Random(BRANCHES, samples=1, seed=seed))[0]["net"] for seed in range(400)]
    assert 150 < first.count("mlp") < 250  # 200 expected, standard deviation 10; 2 if each combination were as likely


def test_random_keeps_the_shares_of_a_logarithmic_integer_as_long_as_it_can() -> None:
    space = Space({"n": integer(1, 9999, log=True)})
    first = [asked(Random(space, samples=1, seed=seed))[0]["n"] for seed in range(400)]
    assert 60 < sum(value < 10 for value in first) < 140  # 100 expected, standard deviation 9
    for seed in range(3):
        numbers = [
            params["n"] for params in asked(Random(Space({"n": integer(1, 999, log=True)}), samples=999, seed=seed))
        ]
        assert sorted(numbers) == list(range(1, 1000))


def test_random_reaches_combinations_of_the_smallest_shares() -> None:
    deep: dict[str, Any] = {"c0": choice([0, 1])}
    deep |= {f"c{n}": when(f"c{n - 1}", 1, choice([0, 1])) for n in range(1, 20)}
    space = Space(deep | {"n": when("c19", 1, integer(1, 10**12))})
    combinations = asked(Random(space, samples=200))
    assert len({tuple(params.items()) for params in combinations}) == 200
    assert sum("n" in params for params in combinations) >= 200 - 20


def test_random_covers_a_reversed_interval() -> None:
    values = [params["lr"] for params in asked(Random(Space.parse({"lr": [0.1, 0.001]}), samples=400))]
    assert len(set(values)) == 400
    assert min(values) < 0.003 and max(values) > 0.098


@pytest.mark.parametrize("space", [
    Space({f"d{i}": integer(1, 10) for i in range(40)}),
    Space({"n": integer(0, 2**100)}),
])  # fmt: skip
def test_random_in_spaces_larger_than_any_machine_integer(space: Space) -> None:
    combinations = asked(Random(space, samples=300))
    assert len({tuple(params.values()) for params in combinations}) == 300
    for name, dimension in space.items():
        values = [params[name] for params in combinations]
        assert min(values) < dimension.from_unit(0.2) and max(values) > dimension.from_unit(0.7)


def test_random_takes_all_but_one_of_a_large_space_without_rejections() -> None:
    class Counting(Space):
        calls = 0

        def at(self, number: int) -> dict[str, Any]:
            Counting.calls += 1
            return super().at(number)

    search = Random(Counting({"n": integer(1, 20_000)}), samples=19_999)
    assert len({params["n"] for params in asked(search)}) == 19_999
    assert Counting.calls == 19_999


def test_random_memory_follows_the_samples_not_the_space() -> None:
    search = Random(Space({"n": integer(1, 10**9)}), samples=1000)
    tracemalloc.start()
    for number in range(1000):
        search.ask(str(number))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_random_in_an_interval_of_a_few_floats_ends_and_says_so() -> None:
    search = Random(Space({"x": uniform(1.0, 1.0 + 2**-51)}), samples=50)
    values = [params["x"] for params in asked(search)]
    assert len(values) == len(set(values)) == search.total <= 3
    assert search.done
    assert len(search.notes()) == 1


def test_random_seeds_differ() -> None:
    space = Space({"x": uniform(0, 1)})
    assert asked(Random(space, seed=1)) != asked(Random(space, seed=2))


def test_random_options_are_refused_together() -> None:
    with pytest.raises(ValueError, match="samples") as caught:
        Random(Space({"x": uniform(0, 1)}), samples=0, seed=-1)
    assert isinstance(caught.value, InvalidArguments)
    assert len(caught.value.problems) == 2
    for bad in (True, 1.5, "3"):
        with pytest.raises(InvalidArguments, match="samples"):
            Random(Space({"x": uniform(0, 1)}), samples=bad)  # type: ignore[arg-type]
