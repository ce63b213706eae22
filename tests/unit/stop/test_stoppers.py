"""Median, Asha, Threshold and Patience: each against its rule written out, and on small cases done by hand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments
from hopslite.stop import Asha, Median, Patience, Stopper, Threshold, make
from hopslite.stop._running_mean import POINTS, Curve

NAN, INF = math.nan, math.inf


def trial(
    stopper: Stopper, trial_id: str, values: Sequence[float], steps: Sequence[float] | None = None
) -> float | None:
    """A whole trial; the step at which it was stopped, or None."""
    stopper.started(trial_id)
    for step, value in zip(steps or range(len(values)), values, strict=True):
        if stopper.report(trial_id, step, value) is not None:
            stopper.ended(Result(trial_id, State.STOPPED, value))
            return step
    stopper.ended(Result(trial_id, State.FINISHED, values[-1] if values else None))
    return None


def trials(stopper: Stopper, direction: Direction, curves: Sequence[Sequence[float]]) -> list[float | None]:
    stopper.begin(direction)
    return [trial(stopper, str(number), curve) for number, curve in enumerate(curves)]


# --- median


def test_median_compares_the_best_so_far_with_the_means_up_to_the_step() -> None:
    # the means up to step 2 of the first three: 1, 2, 3
    first = [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [9.0, 0.0, 0.0]]
    for curve, step in (([2.0, 0.0, 0.0], None), ([1.0, 1.0, 2.0], None), ([1.0, 1.5, 1.9], 2)):
        assert trials(Median(min_trials=3, warmup_steps=2), Direction.MAX, [*first, curve]) == [None] * 3 + [step]


def test_median_compares_by_step_and_only_with_trials_that_came_so_far() -> None:
    stopper = Median(min_trials=1)
    stopper.begin(Direction.MIN)
    trial(stopper, "a", [5.0, 3.0, 1.0], [10, 20, 30])  # means 5, 4, 3
    trial(stopper, "b", [0.0], [10])
    stopper.started("c")
    assert stopper.report("c", 5, 100.0) is None  # nobody has reported by step 5
    assert stopper.report("c", 15, 4.5) is None  # "a" only: its mean up to step 10
    assert stopper.report("c", 25, 4.25) is not None  # now up to step 20
    assert stopper.report("c", 31, 99.0) is None  # nobody came so far


def test_median_waits_for_min_trials_and_warmup_steps() -> None:
    bad = [0.0] * 4
    curves = [[1.0] * 4] * 3 + [bad, bad]
    assert trials(Median(min_trials=4), Direction.MAX, curves) == [None] * 4 + [0]
    assert trials(Median(min_trials=3), Direction.MAX, curves) == [None] * 3 + [0, 0]
    assert trials(Median(min_trials=3, warmup_steps=2), Direction.MAX, curves) == [None] * 3 + [2, 2]


def test_median_compares_every_interval_steps() -> None:
    stopper = Median(min_trials=1, interval=3, warmup_steps=1)
    stopper.begin(Direction.MAX)
    trial(stopper, "a", [1.0] * 20)
    for steps, expected in (
        ([0, 1, 2, 3, 4, 5, 6, 7], [1, 4, 7]),
        ([0, 2, 3, 4, 5.5, 6.5, 7.5], [2, 4, 7.5]),  # the first report at or after each of 1, 4, 7
        ([0, 9, 10], [9, 10]),
    ):
        stopper.started("b")
        assert [step for step in steps if stopper.report("b", step, 0.0)] == expected


def test_median_of_an_even_number_of_trials_is_between_the_middle_two() -> None:
    curves = [[0.0], [1.0], [2.0], [3.0], [1.5], [1.4]]
    assert trials(Median(min_trials=4), Direction.MAX, curves)[-2:] == [None, 0]


def test_median_compares_with_finished_trials_only() -> None:
    for state, counts in ((State.FINISHED, True), *((s, False) for s in (State.STOPPED, State.FAILED, State.KILLED))):
        stopper = Median(min_trials=1)
        stopper.begin(Direction.MAX)
        stopper.started("a")
        stopper.report("a", 0, 1.0)
        stopper.ended(Result("a", state, None))
        assert (trial(stopper, "b", [0.0]) is not None) is counts, state


def test_median_takes_nan_for_the_worst_value() -> None:
    assert trials(Median(min_trials=1), Direction.MIN, [[1.0], [1.0], [NAN], [INF], [-INF]]) == [None, None, 0, 0, None]
    # a mean with a NaN in it is the worst, too: two such trials of three let everything pass
    curves = [[1.0, 1.0], [0.0, NAN], [0.0, NAN], [INF, 9.0]]
    assert trials(Median(min_trials=3, warmup_steps=1), Direction.MIN, curves) == [None] * 4


def test_median_does_not_stop_a_trial_that_is_as_good_as_all_others() -> None:
    assert sum([0.1] * 3) / 3 > 0.1  # the mean of equal values may be rounded upwards
    assert trials(Median(min_trials=1), Direction.MAX, [[0.1] * 9] * 5) == [None] * 5


def median_by_definition(
    curves: Sequence[Sequence[float]], min_trials: int, interval: int, warmup: int
) -> list[float | None]:
    seen: list[list[float]] = []
    stopped: list[float | None] = []
    for curve in curves:
        at = None
        for step in range(len(curve)):
            means = [statistics.fmean(scores[: step + 1]) for scores in seen if len(scores) > step]
            due = step >= warmup and (step - warmup) % interval == 0
            if due and len(means) >= min_trials and max(curve[: step + 1]) < statistics.median(means):
                at = step
                break
        if at is None:
            seen.append(list(curve))
        stopped.append(at)
    return stopped


whole = st.integers(-8, 8).map(float)  # sums and means of up to eight such are compared without rounding


@settings(max_examples=300, deadline=None)
@given(
    curves=st.lists(
        st.lists(whole, min_size=1, max_size=8).map(lambda c: [v * 840 for v in c]), min_size=1, max_size=20
    ),
    min_trials=st.integers(1, 6),
    interval=st.integers(1, 3),
    warmup=st.integers(0, 4),
)
def test_median_is_its_definition(curves: list[list[float]], min_trials: int, interval: int, warmup: int) -> None:
    stopper = Median(min_trials=min_trials, interval=interval, warmup_steps=warmup)
    assert trials(stopper, Direction.MAX, curves) == median_by_definition(curves, min_trials, interval, warmup)


def test_a_report_costs_the_median_rule_no_more_with_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mean is looked up once for each step and trial, not again at each report."""
    looked_up = 0
    mean = Curve.mean

    def counted(self: Curve, step: float) -> float | None:
        nonlocal looked_up
        looked_up += 1
        return mean(self, step)

    monkeypatch.setattr(Curve, "mean", counted)
    number, steps = 200, 30
    trials(Median(), Direction.MAX, [[float(step) for step in range(steps)]] * number)
    assert looked_up <= number * steps


def test_the_median_rule_keeps_few_steps_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopslite.stop.median.MAX_STEPS", 10)
    stopper = Median(min_trials=1)
    stopper.begin(Direction.MAX)
    for number in range(20):
        trial(stopper, str(number), [1.0] * 5, [step + number / 100 for step in range(5)])
        assert len(stopper._means) <= 10
    stopper.started("bad")
    assert stopper.report("bad", 4.0, 0.5) is not None


def test_a_curve_has_a_bounded_number_of_points() -> None:
    curve = Curve()
    for step in range(50 * POINTS):
        curve.add(step, float(step))
        assert len(curve._steps) == len(curve._means) <= 2 * POINTS
    assert len(curve._steps) >= POINTS
    assert curve.mean(0) == 0.0
    for step in (100, 12_345, 50 * POINTS - 1):
        assert curve.mean(step) == pytest.approx(step / 2, abs=50)
    assert curve.mean(-1) is None


# --- asha


def test_asha_keeps_the_best_share_of_each_rung() -> None:
    stopper = Asha(reduction_factor=3)
    stopper.begin(Direction.MIN)
    answers = []
    for number, value in enumerate([5.0, 6.0, 4.0, 4.5, 3.0, 3.5, 3.2, 9.0, 3.4]):
        stopper.started(str(number))
        answers.append(stopper.report(str(number), 1, value) is None)
    # with 1, 2, 3, 4, 5 at the rung the best goes on; with 6, 7, 8 the best two; with 9 the best three
    assert answers == [True, False, True, False, True, True, True, False, True]


def test_asha_has_rungs_at_powers_of_the_reduction_factor() -> None:
    good, bad = [1.0] * 30, [1.0, 0.0] + [0.0] * 28
    for options, step in (({}, 1), ({"min_steps": 2}, 2), ({"min_steps": 5, "reduction_factor": 2}, 5)):
        assert trials(Asha(**options), Direction.MAX, [good, bad]) == [None, step]
    late = [1.0] * 9 + [0.0] * 21  # worse only after the rungs 1, 3, and at 9
    assert trials(Asha(), Direction.MAX, [good, late]) == [None, 9]
    assert trials(Asha(max_steps=9), Direction.MAX, [good, late]) == [None, None]
    assert trials(Asha(max_steps=10), Direction.MAX, [good, late]) == [None, 9]


def test_asha_lets_ties_go_on() -> None:
    assert trials(Asha(), Direction.MAX, [[1.0] * 10] * 20) == [None] * 20
    assert trials(Asha(), Direction.MAX, [[NAN] * 10] * 5) == [None] * 5


def test_asha_takes_a_report_for_the_last_rung_that_it_passes() -> None:
    stopper = Asha()
    stopper.begin(Direction.MAX)
    assert stopper.report("a", 10, 0.9) is None  # the rung at 9, not those at 1 and 3
    assert stopper.report("b", 1, 0.1) is None
    assert stopper.report("b", 2, 0.0) is None  # between rungs
    assert stopper.report("b", 3, 0.1) is None
    assert stopper.report("b", 9.5, 0.5) is not None
    assert stopper.report("c", 0.5, 0.0) is None  # before the first rung


def test_asha_takes_nan_for_the_worst_value() -> None:
    assert trials(Asha(), Direction.MIN, [[1.0, 1.0], [NAN, NAN], [INF, INF], [0.0, 0.0]]) == [None, 1, 1, None]


def asha_by_definition(curves: Sequence[Sequence[float]], low: int, factor: int) -> list[float | None]:
    rungs: dict[int, list[float]] = {}
    stopped: list[float | None] = []
    for curve in curves:
        at = None
        for step, value in enumerate(curve):
            if step not in (low, low * factor, low * factor**2, low * factor**3, low * factor**4):
                continue
            values = rungs.setdefault(step, [])
            values.append(value)
            top = sorted(values, reverse=True)[: max(1, len(values) // factor)]
            if value < top[-1]:
                at = step
                break
        stopped.append(at)
    return stopped


@settings(max_examples=300, deadline=None)
@given(
    curves=st.lists(st.lists(whole, min_size=1, max_size=12), min_size=1, max_size=25),
    low=st.integers(1, 3),
    factor=st.integers(2, 4),
)
def test_asha_is_its_definition(curves: list[list[float]], low: int, factor: int) -> None:
    stopper = Asha(min_steps=low, reduction_factor=factor)
    assert trials(stopper, Direction.MAX, curves) == asha_by_definition(curves, low, factor)


# --- threshold


@pytest.mark.parametrize("direction", Direction)
def test_threshold_has_bounds_that_are_allowed_values(direction: Direction) -> None:
    stopper = Threshold(lower=0, upper=1)
    for value, step in ((0.0, None), (1.0, None), (-0.1, 0), (1.1, 0), (INF, 0), (-INF, 0), (NAN, 0)):
        assert trials(stopper, direction, [[value]]) == [step], value


def test_threshold_judges_from_warmup_steps_on() -> None:
    assert trials(Threshold(upper=1, warmup_steps=2), Direction.MIN, [[5.0] * 4, [5.0, NAN, 0.0, 5.0]]) == [2, 3]


def test_threshold_may_let_nan_pass() -> None:
    assert trials(Threshold(upper=1, nan=False), Direction.MIN, [[NAN, 2.0]]) == [1]
    assert trials(Threshold(), Direction.MIN, [[INF, -INF, NAN]]) == [2]


# --- patience


def test_patience_counts_reports_without_a_better_value() -> None:
    assert trials(Patience(reports=3), Direction.MAX, [[1, 2, 2, 1, 3, 3, 2, 3, 9]]) == [7]
    assert trials(Patience(reports=3), Direction.MIN, [[3, 2, 1, 2, 0, 0, 1, 1, -9]]) == [7]
    assert trials(Patience(reports=1), Direction.MAX, [[1, 1], [1, 2, 3]]) == [1, None]


def test_patience_wants_more_than_min_delta() -> None:
    stopper = Patience(reports=2, min_delta=0.5)
    assert trials(stopper, Direction.MAX, [[1.0, 1.5, 1.5], [1.0, 1.25, 1.75, 2.0, 2.0], [1.0, 1.25, 1.5]]) == [2, 4, 2]


def test_patience_takes_nan_for_no_better() -> None:
    stopper = Patience(reports=2)
    assert trials(stopper, Direction.MIN, [[NAN, NAN], [NAN, 1.0, NAN, NAN], [1.0, NAN, 0.5], [INF, NAN, 1.0]]) == [
        1,
        3,
        None,
        None,
    ]


def test_patience_is_each_trials_own() -> None:
    stopper = Patience(reports=2)
    stopper.begin(Direction.MAX)
    stopper.report("a", 0, 1.0)
    stopper.report("b", 0, 0.0)
    assert stopper.report("a", 1, 1.0) is None
    assert stopper.report("b", 1, 0.0) is None
    assert stopper.report("a", 2, 1.0) is not None


# --- bad input


@pytest.mark.parametrize(
    ("cls", "options", "names"),
    [
        (Median, {"interval": 0, "min_trials": 0, "warmup_steps": -1}, ["interval", "min_trials", "warmup_steps"]),
        (Median, {"interval": NAN, "min_trials": 1.5, "warmup_steps": "x"}, ["interval", "min_trials", "warmup_steps"]),
        (Median, {"min_trials": True}, ["min_trials"]),
        (Asha, {"min_steps": 0, "reduction_factor": 1, "max_steps": 0}, ["min_steps", "reduction_factor", "max_steps"]),
        (Asha, {"reduction_factor": 2.5, "max_steps": INF}, ["reduction_factor", "max_steps"]),
        (Asha, {"min_steps": 5, "max_steps": 5}, ["max_steps"]),
        (Threshold, {"lower": 2, "upper": 1}, ["lower"]),
        (Threshold, {"lower": "1", "upper": NAN, "nan": 3, "warmup_steps": None}, ["lower", "upper", "nan", "warmup"]),
        (Threshold, {"nan": False}, ["nothing"]),
        (Patience, {"reports": 0, "min_delta": -0.1}, ["reports", "min_delta"]),
    ],
)
def test_bad_options_are_all_named_at_once(cls: Callable[..., Any], options: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(InvalidArguments) as caught:
        cls(**options)
    assert len(caught.value.problems) == len(names)
    for problem, name in zip(caught.value.problems, names, strict=True):
        assert name in problem


def test_an_unknown_name_lists_the_known_and_names_the_nearest() -> None:
    with pytest.raises(InvalidArguments, match=r"'medain'.*asha, median, patience, threshold.*'median'\?") as caught:
        make("medain")
    assert len(caught.value.problems) == 1
    assert isinstance(make("Median"), Median)


class NeedsMore:
    def __init__(self, more: int) -> None: ...


@pytest.mark.parametrize(
    ("stopper", "text"),
    [(None, "no method begin"), (3, "no method begin"), (NeedsMore, "without arguments"), (object(), "'median'")],
)
def test_what_is_no_stopper_is_refused(stopper: Any, text: str) -> None:
    with pytest.raises(InvalidArguments, match=text):
        make(stopper)
