"""ASHA and Hyperband, and what population based training has in common with them."""

from __future__ import annotations

import collections
import random
from typing import Any

import pytest

from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments, ReplayError
from hopslite.search import Search, Suggestion, make
from hopslite.search._multi_fidelity import budgets
from hopslite.search.asha import Asha
from hopslite.search.hyperband import Hyperband
from hopslite.search.pbt import Pbt
from hopslite.space import Space, choice, uniform

SPACE = Space({"x": uniform(0.0, 1.0)})
BOTH = pytest.mark.parametrize("kind", [Asha, Hyperband])
ALL = pytest.mark.parametrize("kind", [Asha, Hyperband, Pbt])


class Run:
    """Drives a search by hand, and remembers."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.asked: dict[str, Suggestion] = {}
        self.results: dict[str, float | None] = {}

    def ask(self) -> Suggestion | None:
        trial_id = f"{len(self.asked):04d}"
        suggestion = self.search.ask(trial_id)
        if suggestion is not None:
            self.asked[trial_id] = suggestion
            assert len(self.asked) <= self.search.total
        return suggestion

    def next(self) -> Suggestion:
        suggestion = self.ask()
        assert suggestion is not None
        return suggestion

    def tell(self, number: int, metric: float | None) -> None:
        trial_id = f"{number:04d}"
        self.results[trial_id] = metric
        self.search.tell(Result(trial_id, State.FAILED if metric is None else State.FINISHED, metric))

    @property
    def budgets(self) -> list[float]:
        return [suggestion.params["budget"] for suggestion in self.asked.values()]

    def finish(self, slots: int, seed: int = 0, fail: float = 0.0) -> Run:
        """Run to the end, trials ending in random order; more budget shows more clearly that a large x is good."""
        rng = random.Random(seed)
        running: list[int] = []
        while True:
            while len(running) < slots and self.ask() is not None:
                running.append(len(self.asked) - 1)
            if not running:
                assert self.search.done and self.search.total == len(self.asked)
                return self
            number = running.pop(rng.randrange(len(running)))
            params = self.asked[f"{number:04d}"].params
            value = params["x"] + rng.gauss(0.0, 0.2) / params["budget"]
            self.tell(number, None if rng.random() < fail else value)


def check_promotions(run: Run) -> None:
    """A promoted trial has the parameters of one that had ended well, with the next budget, and no other has them."""
    parents = [suggestion.continues for suggestion in run.asked.values() if suggestion.continues is not None]
    assert len(parents) == len(set(parents))
    order = list(run.asked)
    for trial_id, suggestion in run.asked.items():
        if suggestion.continues is not None:
            parent = run.asked[suggestion.continues]
            assert order.index(suggestion.continues) < order.index(trial_id)
            assert run.results[suggestion.continues] is not None
            assert suggestion.params["x"] == parent.params["x"]
            assert suggestion.params["budget"] == 3 * parent.params["budget"]


# --- both


@pytest.mark.parametrize(
    ("least", "most", "factor", "expected"),
    [
        (1, 9, 3, [1, 3, 9]),
        (1, 81, 3, [1, 3, 9, 27, 81]),
        (1, 243, 3, [1, 3, 9, 27, 81, 243]),
        (1, 1000, 10, [1, 10, 100, 1000]),
        (1, 10, 3, [1, 3, 10]),
        (2, 9, 3, [3, 9]),
        (5, 5, 3, [5]),
        (1, 12, 2, [2, 3, 6, 12]),
        (0.5, 4.0, 2, [0.5, 1.0, 2.0, 4.0]),
        (0.1, 1, 3, [1 / 9, 1 / 3, 1.0]),
    ],
)
def test_budgets_go_from_the_largest_down(least: float, most: float, factor: int, expected: list[float]) -> None:
    levels = budgets("asha", least, most, factor, None)
    assert levels == expected
    assert [type(budget) for budget in levels] == [type(budget) for budget in expected]


@BOTH
def test_options_that_cannot_work_are_all_named(kind: Any) -> None:
    with pytest.raises(InvalidArguments) as caught:
        kind(SPACE, min_budget=0, max_budget="9", reduction_factor=1, num_trials=0)
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "reduction_factor", "min_budget", "max_budget", "num_trials",
    ]  # fmt: skip
    with pytest.raises(InvalidArguments, match="min_budget must not be larger than max_budget, given 9 and 1"):
        kind(SPACE, min_budget=9, max_budget=1)


@ALL
def test_a_hyperparameter_named_budget_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidArguments, match="hyperparameter 'budget', which is the name of the argument"):
        kind(Space({"budget": uniform(0.0, 1.0)}))


@BOTH
@pytest.mark.parametrize("slots", [1, 4, 50])
@pytest.mark.parametrize("fail", [0.0, 0.3, 0.9])
def test_promotions(kind: Any, slots: int, fail: float) -> None:
    for seed in range(5):
        check_promotions(Run(kind(SPACE, num_trials=40, seed=seed)).finish(slots, seed, fail))


@BOTH
def test_the_budget_is_passed_on(kind: Any) -> None:
    assert kind.budget == "budget"
    run = Run(kind(SPACE, min_budget=2, max_budget=18))
    run.finish(4)
    assert set(run.budgets) == {2, 6, 18}
    assert all(list(suggestion.params) == ["x", "budget"] for suggestion in run.asked.values())


@BOTH
@pytest.mark.parametrize("direction", Direction)
def test_the_best_of_a_rung_go_on(kind: Any, direction: Direction) -> None:
    run = Run(kind(SPACE, num_trials=9, direction=direction))
    for _ in range(9):
        run.ask()
    for number in range(9):
        run.tell(number, float(number))
    promoted = [suggestion.continues for suggestion in (run.ask(), run.ask(), run.ask()) if suggestion is not None]
    assert promoted == (["0008", "0007", "0006"] if direction is Direction.MAX else ["0000", "0001", "0002"])
    assert run.ask() is None


@BOTH
@pytest.mark.parametrize("sampler", ["tpe", "differential_evolution", "grid"])
def test_configurations_of_another_algorithm(kind: Any, sampler: str) -> None:
    space = Space({"x": choice([number / 20 for number in range(21)])})
    run = Run(kind(space, num_trials=21, sampler=sampler)).finish(3)
    check_promotions(run)
    again = Run(kind(space, num_trials=21, sampler=sampler)).finish(3)
    assert again.asked == run.asked
    started = [suggestion.params["x"] for suggestion in run.asked.values() if suggestion.continues is None]
    assert len(started) == len(set(started))
    assert (started == sorted(started)) == (sampler == "grid")


class RecordingSearch:
    """Configurations 0, 1, 2, …; remembers what it is told. With `batch` it waits for so many results."""

    def __init__(self, space: Space, direction: Direction, seed: int, num_trials: int, batch: int = 10**6) -> None:
        self.total, self.batch, self.asked, self.results = num_trials, batch, [], {}

    @property
    def done(self) -> bool:
        return len(self.asked) >= self.total

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done or len(self.asked) >= len(self.results) // self.batch * self.batch + self.batch:
            return None
        self.asked.append(trial_id)
        return Suggestion({"x": float(len(self.asked))})

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        raise NotImplementedError

    def tell(self, result: Result) -> None:
        assert result.trial_id in self.asked and result.trial_id not in self.results
        self.results[result.trial_id] = result.metric

    def notes(self) -> list[str]:
        return []


def test_asha_tells_its_sampler_the_first_result() -> None:
    run = Run(Asha(SPACE, num_trials=9, sampler=RecordingSearch))
    for _ in range(9):
        run.ask()
    for number in range(9):
        run.tell(number, float(number))
    source: Any = run.search._source
    assert source.results == {f"{number:04d}": float(number) for number in range(9)}
    assert run.ask() is not None
    run.tell(9, 1.0)
    assert source.results["0008"] == 8.0


def test_hyperband_tells_its_sampler_the_last_result() -> None:
    run = Run(Hyperband(SPACE, num_trials=9, sampler=RecordingSearch))
    for _ in range(9):
        run.ask()
    for number in range(9):
        run.tell(number, None if number == 0 else float(number))
    source: Any = run.search._source
    assert source.results == {"0000": None} | {f"{number:04d}": float(number) for number in range(1, 6)}
    assert [suggestion.continues for suggestion in (run.ask(), run.ask(), run.ask()) if suggestion] == [
        "0008", "0007", "0006",
    ]  # fmt: skip
    run.tell(9, 80.0)
    run.tell(10, None)
    assert source.results["0007"] is None
    run.tell(11, 60.0)
    assert source.results["0006"] == 60.0
    run.ask()
    run.tell(12, 800.0)
    assert source.results["0008"] == 800.0
    assert len(source.results) == 9 and run.search.done


@ALL
@pytest.mark.parametrize("batch", [1, 4, 7])
def test_a_sampler_that_waits_for_results_keeps_nobody_waiting_for_ever(kind: Any, batch: int) -> None:
    def sampler(space: Space, **options: Any) -> RecordingSearch:
        return RecordingSearch(space, batch=batch, **options)

    run = Run(kind(SPACE, num_trials=30, sampler=sampler)).finish(3)
    assert 9 in run.budgets


@ALL
def test_a_sampler_that_gives_budgets_itself_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidArguments, match="sampler='asha' gives budgets itself"):
        kind(SPACE, sampler="asha")


@ALL
def test_a_small_space_is_said_once(kind: Any) -> None:
    search = kind(Space({"c": choice(["a", "b"])}), num_trials=7)
    assert search.notes() == ["the space has only 2 combinations: 2 configurations instead of 7"]
    assert search.notes() == []
    assert kind(SPACE, num_trials=7).notes() == []


@BOTH
def test_parameters_of_optuna_are_adopted_as_they_are(kind: Any) -> None:
    search = kind(SPACE, sampler="tpe")
    assert search.adopt("0000", {"x": 0.25, "budget": 1}) == Suggestion({"x": 0.25, "budget": 1})
    with pytest.raises(ReplayError, match="0001"):
        search.adopt("0001", {"x": 0.25, "budget": 3})


# --- ASHA


def test_asha_promotes_while_others_run() -> None:
    run = Run(Asha(SPACE, num_trials=20))
    for _ in range(4):
        run.ask()
    run.tell(0, 0.5)
    run.tell(1, 0.7)
    assert run.next().continues is None  # of two, nobody is in the best third
    run.tell(2, 0.6)
    promoted = run.next()
    assert (promoted.continues, promoted.params["budget"]) == ("0001", 3)
    assert run.next().continues is None


def test_asha_prefers_the_highest_rung() -> None:
    run = Run(Asha(SPACE, num_trials=30))
    for _ in range(12):
        run.ask()
    for number in range(9):
        run.tell(number, float(number))
    assert [run.next().params["budget"] for _ in range(3)] == [3, 3, 3]
    for number in range(9, 15):
        run.tell(number, float(number))
    assert [run.next().params["budget"] for _ in range(3)] == [9, 3, 3]  # both rungs have a trial to promote
    assert run.asked["0015"].continues == "0014"


def test_asha_never_promotes_a_failed_trial() -> None:
    run = Run(Asha(SPACE, num_trials=9))
    for _ in range(9):
        run.ask()
    for number in range(9):
        run.tell(number, 1.0 if number == 4 else None)
    suggestion = run.ask()
    assert suggestion is not None and suggestion.continues == "0004"
    assert run.ask() is None


def test_asha_has_no_end_while_a_promotion_may_come() -> None:
    run = Run(Asha(SPACE, num_trials=3, max_budget=3))
    for _ in range(3):
        run.ask()
    assert run.ask() is None and not run.search.done
    for number in range(3):
        assert not run.search.done
        run.tell(number, float(number))
    assert run.ask() is not None
    assert run.search.done  # the promoted trial still runs, but nothing can follow it
    run.tell(3, 1.0)
    assert run.search.done


def test_asha_goes_on_beside_a_trial_with_the_whole_budget() -> None:
    run = Run(Asha(SPACE, num_trials=12))
    for _ in range(9):
        run.ask()
    for number in range(9):
        run.tell(number, float(number))
    for number in range(9, 12):
        assert run.next().params["budget"] == 3
        run.tell(number, float(number))
    assert run.next().params["budget"] == 9
    assert not run.search.done
    assert [run.next().params["budget"] for _ in range(3)] == [1, 1, 1]


def test_asha_gives_the_best_the_whole_budget_where_the_rule_does_not() -> None:
    run = Run(Asha(SPACE, num_trials=2, max_budget=27)).finish(2)
    assert sorted(run.budgets) == [1, 1, 3, 9, 27]
    failed = Run(Asha(SPACE, num_trials=2))
    failed.ask(), failed.ask()
    failed.tell(0, None), failed.tell(1, None)
    assert failed.ask() is None and failed.search.done


def test_asha_makes_about_a_third_of_each_rung_go_on() -> None:
    counts = collections.Counter(Run(Asha(SPACE, num_trials=81, max_budget=27)).finish(4).budgets)
    assert counts[1] == 81
    assert 27 <= counts[3] <= 40 and 9 <= counts[9] <= 20 and 3 <= counts[27] <= 12


# --- Hyperband


def test_hyperband_has_the_brackets_of_the_paper() -> None:
    counts = collections.Counter(Run(Hyperband(SPACE, max_budget=81)).finish(5).budgets)
    # Algorithm 1 with R = 81 and η = 3 starts 81, 34, 15, 8 and 5 configurations with 1, 3, 9, 27 and 81.
    assert counts == {
        1: 81,
        3: 27 + 34,
        9: 9 + 11 + 15,
        27: 3 + 3 + 5 + 8,
        81: 1 + 1 + 1 + 2 + 5,
    }


@pytest.mark.parametrize(("num_trials", "expected"), [(17, 22), (1, 3), (9, 13), (10, 15), (34, 44), (18, 25)])
def test_hyperband_repeats_its_brackets_for_so_many_configurations(num_trials: int, expected: int) -> None:
    search = Hyperband(SPACE, num_trials=num_trials)
    assert search.total == expected
    run = Run(search).finish(3)
    assert sum(suggestion.continues is None for suggestion in run.asked.values()) == num_trials
    assert 9 in run.budgets


@pytest.mark.parametrize("slots", [2, 4, 8])
def test_hyperband_lets_nobody_wait_while_there_are_configurations_to_start(slots: int) -> None:
    search = Hyperband(SPACE, num_trials=60)
    rng, running, asked, started = random.Random(slots), [], 0, 0
    while True:
        while len(running) < slots:
            suggestion = search.ask(str(asked))
            if suggestion is None:
                assert started == 60
                break
            running.append(asked)
            asked += 1
            started += suggestion.continues is None
        if not running:
            return
        search.tell(Result(str(running.pop(rng.randrange(len(running)))), State.FINISHED, rng.random()))


def test_hyperband_promotes_early_who_is_certain_to_be_among_the_best() -> None:
    run = Run(Hyperband(SPACE, num_trials=9))
    for _ in range(9):
        run.ask()
    for number in range(6):
        run.tell(number, float(number))
    assert run.ask() is None  # the three to come may all be better
    run.tell(6, None)
    suggestion = run.ask()
    assert suggestion is not None and suggestion.continues == "0005"
    assert run.ask() is None
    run.tell(7, 4.5)
    suggestion = run.ask()
    assert suggestion is not None and suggestion.continues == "0007"
    assert run.ask() is None
    run.tell(8, 10.0)
    suggestion = run.ask()
    assert suggestion is not None and suggestion.continues == "0008"


def test_hyperband_promotes_whoever_is_left_after_failures() -> None:
    run = Run(Hyperband(SPACE, num_trials=9))
    for _ in range(9):
        run.ask()
    for number in range(9):
        run.tell(number, 1.0 if number in (3, 8) else None)
    suggestions = [run.ask(), run.ask(), run.ask()]
    assert [suggestion and suggestion.continues for suggestion in suggestions] == ["0003", "0008", None]
    assert run.search.total == 9 + 2 + 1


def test_by_name() -> None:
    search = make("hyperband", SPACE, direction=Direction.MIN, seed=0, num_trials=5, options={"max_budget": 27})
    assert isinstance(search, Hyperband)
