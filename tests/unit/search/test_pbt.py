"""Population based training."""

from __future__ import annotations

import collections
import random
from typing import Any

import pytest

from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments
from hopslite.search import Suggestion, make
from hopslite.search._perturbation import perturbed, perturbed_value
from hopslite.search.pbt import Pbt
from hopslite.space import Space, choice, integer, lognormal, loguniform, normal, uniform, when

from .test_multi_fidelity import SPACE, Run

RATES = Space({"lr": loguniform(1e-5, 1.0), "units": integer(8, 512, log=True)})


def parents(run: Run) -> dict[str, str | None]:
    return {trial_id: suggestion.continues for trial_id, suggestion in run.asked.items()}


def grown(run: Run, metrics: list[float | None]) -> None:
    """Ask for a trial per metric, then tell all of these."""
    first = len(run.asked)
    for _ in metrics:
        run.next()
    for number, metric in enumerate(metrics, start=first):
        run.tell(number, metric)


# --- the population


@pytest.mark.parametrize("slots", [1, 2, 5, 50])
@pytest.mark.parametrize("fail", [0.0, 0.3])
@pytest.mark.parametrize("direction", Direction)
def test_every_member_is_trained_for_all_steps(slots: int, fail: float, direction: Direction) -> None:
    for seed in range(4):
        search = Pbt(RATES, direction=direction, population=8, max_budget=5, seed=seed)
        run = Run(search)
        assert search.total == 40
        rng = random.Random(seed)
        running: list[int] = []
        while True:
            while len(running) < slots and run.ask() is not None:
                running.append(len(run.asked) - 1)
            if not running:
                break
            number = running.pop(rng.randrange(len(running)))
            run.tell(number, None if rng.random() < fail else rng.random())
        assert search.done
        assert collections.Counter(run.budgets) == dict.fromkeys(range(1, 6), 8)
        for suggestion in run.asked.values():
            assert suggestion.copies
            if suggestion.continues is None:
                assert suggestion.params["budget"] == 1
                continue
            parent = run.asked[suggestion.continues]
            assert parent.params["budget"] == suggestion.params["budget"] - 1  # so that all train equally long
            assert run.results[suggestion.continues] is not None


def test_the_last_interval_may_be_shorter() -> None:
    run = Run(Pbt(SPACE, population=2, interval=4, max_budget=10)).finish(1)
    assert sorted(run.budgets) == [4, 4, 8, 8, 10, 10]
    assert Run(Pbt(SPACE, population=2, interval=0.1, max_budget=0.3)).finish(1).search.total == 6


@pytest.mark.parametrize("direction", Direction)
def test_the_worst_go_on_from_the_best(direction: Direction) -> None:
    sign = 1 if direction is Direction.MAX else -1
    run = Run(Pbt(RATES, direction=direction, population=8, max_budget=3, resample_probability=0.0, seed=2))
    grown(run, [sign * metric for metric in (5.0, 1.0, 8.0, 3.0, 4.0, 7.0, 6.0, 2.0)])
    grown(run, [sign * float(number) for number in range(8)])
    second = list(parents(run).values())[8:]
    assert [second[place] for place in (0, 2, 3, 4, 5, 6)] == ["0000", "0002", "0003", "0004", "0005", "0006"]
    for place in (1, 7):  # those with 1.0 and 2.0
        assert second[place] in ("0002", "0005")  # those with 8.0 and 7.0
        replaced, better = run.asked[f"{place + 8:04d}"].params, run.asked[str(second[place])].params
        for name in RATES:
            assert 0.75 < replaced[name] / better[name] < 1.25
            assert replaced[name] != better[name]


def test_who_goes_on_keeps_its_parameters() -> None:
    run = Run(Pbt(RATES, population=4, max_budget=3))
    grown(run, [4.0, 3.0, 2.0, 1.0])
    assert run.next() == Suggestion(run.asked["0000"].params | {"budget": 2}, continues="0000", copies=True)


def test_equals_are_not_replaced() -> None:
    run = Run(Pbt(RATES, population=4, max_budget=3))
    grown(run, [1.0] * 4)
    for number in range(4):
        assert run.next().continues == f"{number:04d}"


def test_the_share_is_that_of_the_quantile() -> None:
    for quantile, expected in ((0.1, 1), (0.25, 3), (0.5, 5)):
        run = Run(Pbt(RATES, population=10, max_budget=2, quantile=quantile))
        grown(run, [float(number) for number in range(10)])
        grown(run, [0.0] * 10)
        changed = [number for number in range(10) if parents(run)[f"{number + 10:04d}"] != f"{number:04d}"]
        assert changed == list(range(expected))


def test_the_others_do_not_wait_for_a_slow_member() -> None:
    run = Run(Pbt(RATES, population=4, max_budget=4))
    for _ in range(4):
        run.next()
    for number in (0, 1, 2):
        run.tell(number, float(number))
    for number in (0, 1, 2):  # fewer than a quarter of the population are known to be worse
        assert run.next().continues == f"{number:04d}"


def test_a_bad_member_that_is_ahead_waits_for_a_better_one() -> None:
    run = Run(Pbt(RATES, population=4, max_budget=4))
    grown(run, [1.0, 2.0, 3.0, 4.0])
    replaced = run.next()
    assert replaced.continues == "0003"
    for number in (1, 2, 3):
        assert run.next().continues == f"{number:04d}"
    run.tell(4, 0.0)  # still the worst, and nobody else has come as far
    assert run.ask() is None and not run.search.done
    run.tell(7, 5.0)
    assert run.next().continues == "0007"  # that one itself had nothing to wait for
    assert run.asked["0008"].params["lr"] != run.asked["0007"].params["lr"]


def test_the_members_with_the_fewest_steps_go_first() -> None:
    run = Run(Pbt(SPACE, population=3, max_budget=4)).finish(1)
    assert run.budgets == sorted(run.budgets)
    run = Run(Pbt(SPACE, population=3, max_budget=4)).finish(2)
    assert all(later >= earlier - 1 for earlier, later in zip(run.budgets, run.budgets[1:], strict=False))


def test_a_member_with_fewer_steps_goes_before_one_that_waits_for_longer() -> None:
    run = Run(Pbt(RATES, population=4, max_budget=4))
    for _ in range(4):
        run.next()
    run.tell(0, 1.0)
    assert run.next().continues == "0000"
    run.tell(4, 2.0)
    run.tell(1, 3.0)
    assert [run.next().continues, run.next().continues] == ["0001", "0004"]


# --- failures


def test_a_failed_member_is_replaced_by_a_better_one() -> None:
    run = Run(Pbt(RATES, population=8, max_budget=3))
    grown(run, [8.0, 7.0, None, None, None, 3.0, 2.0, 1.0])
    grown(run, [None] * 4 + [1.0] * 4)
    second = parents(run)
    assert [second[f"{number:04d}"] for number in (8, 9, 13)] == ["0000", "0001", "0005"]
    for number in (10, 11, 12):
        assert second[f"{number:04d}"] in ("0000", "0001")


def test_nobody_goes_on_from_a_member_that_was_stopped() -> None:
    run = Run(Pbt(SPACE, population=4, max_budget=4, direction=Direction.MAX))
    for _ in range(4):
        run.next()
    for number in (1, 2, 3):
        run.tell(number, float(number))
    run.search.tell(Result("0000", State.STOPPED, 9.0))
    assert "0000" not in {run.next().continues for _ in range(4)}


def test_a_failed_member_waits_until_there_is_a_better_one() -> None:
    run = Run(Pbt(RATES, population=2, max_budget=3))
    run.next(), run.next()
    run.tell(0, None)
    assert run.ask() is None and not run.search.done
    run.tell(1, 1.0)
    assert {run.next().continues, run.next().continues} == {"0001"}


def test_when_all_members_have_failed_it_is_over() -> None:
    run = Run(Pbt(RATES, population=3, max_budget=3))
    grown(run, [1.0, 2.0, 3.0])
    assert run.search.total == 9
    grown(run, [None] * 3)
    assert run.search.done and run.ask() is None
    assert run.search.total == 6


# --- checkpoints that are not needed any more


@pytest.mark.parametrize("slots", [1, 3, 20])
@pytest.mark.parametrize("fail", [0.0, 0.2])
def test_checkpoints_are_released_when_nobody_can_go_on_from_them(slots: int, fail: float) -> None:
    search = Pbt(RATES, population=6, max_budget=5, seed=3)
    run = Run(search)
    released: set[str] = set()
    rng = random.Random(slots)
    running: list[int] = []
    while True:
        while len(running) < slots and (suggestion := run.ask()) is not None:
            assert suggestion.continues not in released
            running.append(len(run.asked) - 1)
        if not running:
            break
        number = running.pop(rng.randrange(len(running)))
        run.tell(number, rng.random() if rng.random() > fail else None)
        new = search.released()
        assert not released & set(new)
        released |= set(new)
        open_ones = [run.asked[f"{n:04d}"].continues for n in running]
        assert not released & set(open_ones)  # one that is run again needs them
    failed = {trial_id for trial_id, metric in run.results.items() if metric is None}
    kept = failed | {run.asked[trial_id].continues for trial_id in failed}
    assert released == {t for t, suggestion in run.asked.items() if suggestion.params["budget"] < 5} - kept


# --- changed parameters


@pytest.mark.parametrize(
    ("dimension", "value", "factor", "expected"),
    [
        (uniform(0.0, 1.0), 0.5, 1.2, 0.6),
        (uniform(0.0, 1.0), 0.9, 1.2, 1.0),
        (loguniform(1e-3, 1.0), 1.1e-3, 0.8, 1e-3),
        (uniform(-1.0, 1.0), 0.0, 1.2, 0.2),
        (uniform(-1.0, 1.0), -0.5, 0.8, -0.7),
        (uniform(-1.0, -0.1), -0.5, 1.2, -0.6),
        (integer(1, 100), 50, 1.2, 60),
        (integer(1, 100), 2, 1.2, 3),
        (integer(1, 100), 2, 0.8, 1),
        (integer(1, 100), 1, 0.8, 1),
        (integer(0, 100), 0, 1.2, 1),
        (integer(16, 64, step=16), 32, 1.2, 48),
        (integer(8, 512, log=True), 512, 1.2, 512),
        (uniform(0.0, 0.5, step=0.1), 0.0, 1.2, 0.1),
        (uniform(0.1, 0.5, step=0.1), 0.3, 0.8, 0.2),
        (normal(0.0, 1.0), 0.0, 1.2, 0.4),
        (normal(0.0, 1.0, high=0.3), 0.0, 1.2, 0.3),
        (lognormal(0.0, 1.0), 2.0, 1.2, 2.4),
        (choice([32, 128, 64]), 64, 1.2, 128),
        (choice([32, 128, 64]), 64, 0.8, 32),
        (choice([32, 128, 64]), 128, 1.2, 128),
        (choice(["adam", "sgd"]), "adam", 1.2, "adam"),
        (choice([True, False]), True, 0.8, True),
    ],
)
def test_a_value_is_perturbed_within_its_limits(dimension: Any, value: Any, factor: float, expected: Any) -> None:
    changed = perturbed_value(dimension, value, factor)
    assert changed == pytest.approx(expected) if isinstance(expected, float) else changed == expected
    assert type(changed) is type(value)
    dimension.to_unit(changed)  # raises outside of the limits


CONDITIONAL = Space(
    {
        "momentum": when("optimizer", "sgd", uniform(0.5, 0.99)),  # before its parent
        "optimizer": choice(["sgd", "adam"]),
        "lr": loguniform(1e-5, 1.0),
    }
)


def test_conditions_hold_among_changed_values() -> None:
    options: dict[str, Any] = {"factors": (0.8, 1.2), "resample_probability": 0.5}
    seen = set()
    for seed in range(60):
        start: dict[str, Any] = {"optimizer": "adam", "lr": 0.1} if seed % 2 else {"momentum": 0.9, "optimizer": "sgd"}
        changed = perturbed(CONDITIONAL, {"lr": 0.1, **start}, random.Random(seed), **options)
        assert ("momentum" in changed) == (changed["optimizer"] == "sgd")
        assert list(changed) == [name for name in CONDITIONAL if name in changed]
        seen.add((start["optimizer"], changed["optimizer"]))
    assert len(seen) == 4


def test_the_probability_of_a_new_draw() -> None:
    space = Space({"x": uniform(0.0, 1.0)})
    for probability, expected in ((0.0, 0), (0.25, 250), (1.0, 1000)):
        rng = random.Random(4)
        changed = [
            perturbed(space, {"x": 0.5}, rng, factors=(0.9, 1.1), resample_probability=probability)["x"]
            for _ in range(1000)
        ]
        assert abs(sum(x not in (0.45, 0.55) for x in changed) - expected) < 40


def test_other_factors_and_fixed_parameters() -> None:
    options: dict[str, Any] = {"perturbation_factors": [0.5, 2], "fixed": ["units"], "resample_probability": 0}
    run = Run(Pbt(RATES, population=4, max_budget=2, **options))
    grown(run, [4.0, 3.0, 2.0, 1.0])
    grown(run, [0.0] * 4)
    better, replaced = run.asked["0000"].params, run.asked["0007"]
    assert replaced.continues == "0000"
    assert replaced.params["units"] == better["units"]
    assert replaced.params["lr"] in (better["lr"] / 2, better["lr"] * 2, 1.0)


# --- calls that cannot work


def test_options_that_cannot_work_are_all_named() -> None:
    with pytest.raises(InvalidArguments) as caught:
        make(
            "pbt",
            RATES,
            direction=Direction.MAX,
            seed=0,
            options={
                "population": 1,
                "interval": 0,
                "quantile": 0.6,
                "perturbation_factors": (1.2, 0.8),
                "resample_probability": 2,
                "fixed": "lr",
                "sampler": "hyperband",
            },
        )
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "population", "interval", "quantile", "perturbation_factors", "resample_probability", "fixed",
        "sampler='hyperband' gives budgets itself; choose another one",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("num_trials", "options", "text"),
    [
        (1, {}, "num_trials must be an integer of at least 2, given 1"),
        (4, {"population": 8}, "num_trials=4 and population=8 both say how many members there are"),
        (None, {"interval": 10}, "interval=10 must be smaller than max_budget=10"),
        (None, {"fixed": ["unit"]}, r"the space has no 'unit'; it has lr, units\. Did you mean 'units'\?"),
        (None, {"fixed": ["lr", "units"]}, "fixed has all parameters of the space"),
        (None, {"perturbation_interval": 5}, "Did you mean 'interval'"),
        (None, {"quantile_fraction": 0.5}, "Did you mean 'quantile'"),
        (None, {"max_t": 5}, "Did you mean 'max_budget'"),
    ],
)
def test_calls_that_cannot_work(num_trials: int | None, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArguments, match=text):
        make("pbt", RATES, direction=Direction.MAX, seed=0, num_trials=num_trials, options=options)


def test_the_population_is_the_number_of_trials() -> None:
    for num_trials, options in ((4, {}), (None, {"population": 4}), (4, {"population": 4})):
        search = make("pbt", RATES, direction=Direction.MAX, seed=0, num_trials=num_trials, options=options)
        assert search.total == 4 * 10
