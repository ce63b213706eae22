from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments
from hopslite.search import Suggestion
from hopslite.search.differential_evolution import DifferentialEvolution
from hopslite.space import Space, choice, integer, loguniform, uniform, when

PLANE = Space({"x": uniform(-5, 5), "y": uniform(-5, 5)})
LINE = re.compile(
    r"Generation (\d+) \|\| average metric: (.+), best metric: (.+), best parameter combination: (\[.*\])$"
)


def tell(search: DifferentialEvolution, trial_id: str, metric: float | None) -> None:
    search.tell(Result(trial_id, State.FAILED if metric is None else State.FINISHED, metric))


def run(
    search: DifferentialEvolution, function: Callable[..., float | None], slots: int = 4
) -> list[tuple[Suggestion, float | None]]:
    """Trials end in an order that is neither first nor last in, first out."""
    done: list[tuple[Suggestion, float | None]] = []
    running: list[tuple[str, Suggestion]] = []
    asked = 0
    while True:
        while len(running) < slots and (suggestion := search.ask(str(asked))) is not None:
            running.append((str(asked), suggestion))
            asked += 1
        if not running:
            return done
        trial_id, suggestion = running.pop(7 * asked % len(running))
        metric = function(**suggestion.params)
        done.append((suggestion, metric))
        tell(search, trial_id, metric)


def sphere(x: float, y: float) -> float:
    return (x - 1) ** 2 + (y + 2) ** 2


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize(
    ("direction", "function"),
    [
        (Direction.MIN, sphere),
        (Direction.MIN, lambda x, y: sphere(x, y) - 1000),
        (Direction.MAX, lambda x, y: -sphere(x, y)),
        (Direction.MAX, lambda x, y: 1000 - sphere(x, y)),
    ],
)
def test_finds_the_optimum_of_any_sign(direction: Direction, function: Any, synchronous: bool) -> None:
    search = DifferentialEvolution(
        PLANE, direction=direction, generations=29, population=10, synchronous=synchronous, seed=1
    )
    trials = run(search, function)
    assert 280 < len(trials) <= 300  # a mutant that shares all its coordinates with a member is known already
    pick = max if direction is Direction.MAX else min
    best = pick(trials, key=lambda trial: trial[1])[0].params  # type: ignore[arg-type, return-value]
    assert sphere(**best) < 1e-3


def test_constant_metrics_of_zero_use_the_budget() -> None:
    assert len(run(DifferentialEvolution(PLANE), lambda x, y: 0.0)) == 30


def test_beats_random_search_on_mixed_dimensions() -> None:
    space = Space({"lr": loguniform(1e-6, 1), "n": integer(1, 64), "o": choice(["a", "b", "c"]), "x": uniform(0, 1)})

    def loss(lr: float, n: int, o: str, x: float) -> float:
        return (np.log10(lr) + 3) ** 2 + ((n - 40) / 10) ** 2 + 3 * (o != "b") + (x - 0.3) ** 2

    rng = np.random.default_rng(0)
    random = [min(loss(**space.decode(rng.random(4).tolist())) for _ in range(160)) for _ in range(20)]
    ours = []
    for seed in range(20):
        search = DifferentialEvolution(space, direction=Direction.MIN, generations=15, population=10, seed=seed)
        ours.append(min(metric for _, metric in run(search, loss) if metric is not None))
    assert np.median(ours) < np.median(random) / 5


@pytest.mark.parametrize("initial", ["lhs", "sobol"])
def test_the_initial_population_fills_the_space_evenly(initial: str) -> None:
    search = DifferentialEvolution(PLANE, population=8, initial=initial)
    first = [search.ask(str(number)) for number in range(8)]
    for name in PLANE:
        cells = {int((suggestion.params[name] + 5) / 10 * 8) for suggestion in first if suggestion}
        assert cells == set(range(8))
    assert [suggestion.generation for suggestion in first if suggestion] == [0] * 8


def test_the_initial_population_has_no_repeats_where_the_space_allows() -> None:
    space = Space({"a": integer(1, 3), "b": integer(1, 4)})
    for seed in range(10):
        search = DifferentialEvolution(space, population=12, generations=1, seed=seed)
        first = [search.ask(str(number)) for number in range(12)]
        assert len({tuple(s.params.values()) for s in first if s and s.generation == 0}) == 12


def test_asynchronous_slots_are_never_idle() -> None:
    search = DifferentialEvolution(PLANE, generations=4, population=6)
    assert all(search.ask(str(number)) is not None for number in range(30))
    assert search.done and search.ask("30") is None


def test_asynchronous_candidates_use_what_is_known_by_then() -> None:
    def seventh(metrics: list[float]) -> dict[str, Any]:
        search = DifferentialEvolution(PLANE, population=6, seed=2)
        for number in range(6):
            search.ask(str(number))
        for number, metric in enumerate(metrics):
            tell(search, str(number), metric)
        suggestion = search.ask("6")
        assert suggestion is not None
        return suggestion.params

    assert seventh([1, 2, 3, 4, 5]) != seventh([5, 4, 3, 2, 1])
    assert seventh([1, 2, 3, 4, 5]) == seventh([1, 2, 3, 4, 5])


def test_synchronous_generations_have_a_barrier() -> None:
    search = DifferentialEvolution(PLANE, generations=2, population=5, synchronous=True)
    for generation in range(3):
        ids = [f"{generation}.{member}" for member in range(5)]
        suggestions = [search.ask(trial_id) for trial_id in ids]
        assert [s.generation for s in suggestions if s] == [generation] * 5
        for trial_id in ids:
            assert search.ask("early") is None
            tell(search, trial_id, 1.0)
    assert search.done and search.ask("late") is None


def test_failed_trials_never_win() -> None:
    search = DifferentialEvolution(PLANE, direction=Direction.MIN, generations=29, population=10)
    trials = run(search, lambda x, y: None if x < 0 else sphere(x, y))
    assert 280 < len(trials) <= 300
    assert min(metric for _, metric in trials if metric is not None) < 1e-2
    late = [suggestion.params["x"] for suggestion, _ in trials[-50:]]
    assert sum(x >= 0 for x in late) > 40


@pytest.mark.parametrize("synchronous", [False, True])
def test_goes_on_when_the_whole_initial_population_failed(synchronous: bool) -> None:
    count = 0

    def fails_at_first(x: float, y: float) -> float | None:
        nonlocal count
        count += 1
        return None if count <= 10 else sphere(x, y)

    search = DifferentialEvolution(
        PLANE, direction=Direction.MIN, generations=39, population=10, synchronous=synchronous
    )
    trials = run(search, fails_at_first)
    assert 350 < len(trials) <= 400
    assert min(metric for _, metric in trials if metric is not None) < 1e-2


@pytest.mark.parametrize("metric", [float("nan"), float("inf"), float("-inf")])
def test_metrics_that_are_not_finite_count_as_failed(metric: float) -> None:
    search = DifferentialEvolution(PLANE)
    assert len(run(search, lambda x, y: metric)) == 30
    assert search.notes()[0].endswith("best parameter combination: []")


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("slots", [1, 4, 32])
@pytest.mark.parametrize("initial", ["lhs", "sobol"])
def test_tiny_spaces_are_run_once_and_end(slots: int, synchronous: bool, initial: str) -> None:
    for sides, expected in [((2, 2), 4), ((1, 1), 1), ((5, 1), 5)]:
        space = Space({name: choice(list(range(side))) for name, side in zip("ab", sides, strict=True)})
        search = DifferentialEvolution(space, synchronous=synchronous, initial=initial)
        assert search.total == expected
        trials = run(search, lambda a, b: a + b, slots)
        assert len({tuple(s.params.values()) for s, _ in trials}) == len(trials) == expected
        assert search.done


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("slots", [1, 5, 40])
def test_no_combination_runs_twice_and_known_ones_count(slots: int, synchronous: bool) -> None:
    space = Space({"a": integer(1, 7), "b": integer(1, 7)})
    search = DifferentialEvolution(space, generations=7, population=6, synchronous=synchronous)
    trials = run(search, lambda a, b: float(a * b), slots)
    assert len({tuple(s.params.values()) for s, _ in trials}) == len(trials) <= 48
    assert search.done and search.total == len(trials)
    lines = [LINE.match(note) for note in search.notes()]
    assert [int(line.group(1)) for line in lines if line] == list(range(8))  # the budget of 48 was counted to its end
    if slots == 1:
        assert len(trials) < 48  # some were known already


def test_notes_are_hopsml_lines_once_per_generation() -> None:
    search = DifferentialEvolution(PLANE, direction=Direction.MAX, generations=2, population=4)
    metrics = [0.5, None, 2.5, -3.0]
    points = [search.ask(str(number)) for number in range(4)]
    for number, metric in enumerate(metrics):
        assert search.notes() == []
        tell(search, str(number), metric)
    best = points[2]
    assert best is not None
    expected = f"['x={best.params['x']}', 'y={best.params['y']}']"
    assert search.notes() == [
        f"Generation 0 || average metric: 0.0, best metric: 2.5, best parameter combination: {expected}"
    ]
    assert search.notes() == []
    trials = run(search, lambda x, y: -10.0)
    assert sorted(trial.generation or 0 for trial, _ in trials) == [1] * 4 + [2] * 4
    lines = [LINE.match(note) for note in search.notes()]
    assert [(line.group(1), line.group(3)) for line in lines if line] == [("1", "2.5"), ("2", "2.5")]


@pytest.mark.parametrize("synchronous", [False, True])
def test_an_ask_in_vain_changes_nothing(synchronous: bool) -> None:
    def params(vain: int) -> list[dict[str, Any]]:
        search = DifferentialEvolution(space, generations=9, synchronous=synchronous, seed=4)
        suggestions: list[dict[str, Any]] = []
        running: list[tuple[str, float]] = []
        while not search.done or running:
            while len(running) < 5 and (suggestion := search.ask(str(len(suggestions)))) is not None:
                running.append((str(len(suggestions)), float(suggestion.params["a"] * suggestion.params["b"])))
                suggestions.append(suggestion.params)
            if len(running) < 5:
                assert [search.ask("vain") for _ in range(vain)] == [None] * vain
            tell(search, *running.pop(0))
        return suggestions

    space = Space({"a": integer(1, 9), "b": integer(1, 9)})
    assert params(0) == params(3)


def test_budget_and_generation_numbers() -> None:
    search = DifferentialEvolution(PLANE, generations=3, population=5)
    assert search.total == 20
    assert [s.generation for s, _ in run(search, sphere, slots=1)] == [number // 5 for number in range(20)]


def test_unhashable_choices_of_odd_equality() -> None:
    space = Space({"layers": choice([[32], np.array([32, 16]), np.array([32, 8]), {"n": 1}]), "x": integer(1, 3)})
    assert len(run(DifferentialEvolution(space), lambda layers, x: float(len(layers) + x))) <= 12


BRANCHES: dict[str, Any] = {"c": choice(["a", "b", "c"]), "x": uniform(0, 1), "y": uniform(0, 1)}
BRANCHES |= {f"{c}{n}": when("c", c, uniform(0, 1)) for c in "abc" for n in (1, 2)}


def branches(c: str, x: float, y: float, **own: float) -> float:
    assert set(own) == {f"{c}1", f"{c}2"}
    best = {"a": 0.2, "b": 0.5, "c": 0.8}[c]
    return (x - 0.3) ** 2 + (y - 0.8) ** 2 + sum((v - best) ** 2 for v in own.values()) + 0.3 * (c != "b")


def test_finds_the_optimum_of_a_branch() -> None:
    space = Space(BRANCHES)
    best = []
    for seed in range(10):
        search = DifferentialEvolution(space, direction=Direction.MIN, generations=29, population=10, seed=seed)
        trials = run(search, branches)
        assert len(trials) == 300  # what is known already is drawn again
        assert len({tuple(suggestion.params.items()) for suggestion, _ in trials}) == 300
        best.append(min(metric for _, metric in trials if metric is not None))
    assert np.median(best) < 1e-3


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("slots", [1, 4, 40])
def test_conditional_and_stepped_spaces_are_used_up_without_repeats(slots: int, synchronous: bool) -> None:
    space = Space(
        {
            "n": integer(1, 8, log=True),
            "kernel": when("n", [2, 3], uniform(0.1, 0.3, step=0.1)),
            "c": when("kernel", 0.2, choice(["x", "y"])),
        }
    )
    search = DifferentialEvolution(space, generations=20, population=6, synchronous=synchronous)
    trials = run(search, lambda **params: float(len(params)), slots)
    assert len({tuple(s.params.items()) for s, _ in trials}) == len(trials) == space.size == 6 + 2 * 4
    assert search.done and search.total == 14


@pytest.mark.parametrize("slots", [1, 8])
def test_a_branch_without_parameters_does_not_use_up_the_budget(slots: int) -> None:
    space = Space({"c": choice(["plain", "tuned"]), "x": when("c", "tuned", uniform(0, 1))})
    search = DifferentialEvolution(space, generations=9, population=10)
    trials = run(search, lambda c, x=0.5: x, slots)
    assert len(trials) == 100
    assert sum(suggestion.params["c"] == "plain" for suggestion, _ in trials) == 1


def test_candidates_stay_inside_with_the_largest_mutation() -> None:
    search = DifferentialEvolution(PLANE, mutation=2, crossover=1, generations=20)
    assert all(-5 <= v <= 5 for s, _ in run(search, lambda x, y: x + y) for v in s.params.values())


def test_all_bad_options_are_named_at_once() -> None:
    options: dict[str, Any] = {
        "generations": 0, "population": 3, "mutation": 0, "crossover": 1.1, "seed": -1, "synchronous": "no",
        "initial": "grid",
    }  # fmt: skip
    with pytest.raises(ValueError, match="differential_evolution") as caught:
        DifferentialEvolution(PLANE, **options)
    assert isinstance(caught.value, InvalidArguments)
    assert {problem.split()[0] for problem in caught.value.problems} == options.keys()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("generations", True), ("generations", 2.0), ("population", True), ("population", "6"), ("mutation", True),
        ("mutation", 2.1), ("mutation", float("nan")), ("mutation", None), ("crossover", False), ("crossover", -0.1),
        ("seed", True),
    ],
)  # fmt: skip
def test_bad_options_are_refused(option: str, value: Any) -> None:
    with pytest.raises(InvalidArguments, match=f"^differential_evolution: {option} must be"):
        DifferentialEvolution(PLANE, **{option: value})


def test_limits_of_options_are_allowed() -> None:
    for options in (
        {"mutation": 2, "crossover": 0},
        {"mutation": 1e-9, "crossover": 1.0},
        {"generations": 1, "population": 4},
    ):
        assert run(DifferentialEvolution(PLANE, **options), sphere)  # type: ignore[arg-type]
