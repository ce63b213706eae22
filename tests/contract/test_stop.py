"""What every stopper promises, whatever its rule. A new one is found by its name and tested as it is."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopslite.core import plugins
from hopslite.core.types import Direction, Result, State
from hopslite.stop import Stopper, make

NAMES = plugins.names("stop")
ALONE = {"patience", "threshold"}  # judge a trial by itself; all others compare it with the rest
# options beside the defaults, and those that mean the same when all values change their sign
OPTIONS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "asha": [({"min_steps": 2, "reduction_factor": 2, "max_steps": 8},) * 2],
    "median": [({"min_trials": 1},) * 2, ({"interval": 2, "min_trials": 2, "warmup_steps": 3},) * 2],
    "patience": [({"reports": 1},) * 2, ({"reports": 2, "min_delta": 1.0},) * 2],
    "threshold": [
        ({"lower": -1.0, "upper": 2.0, "warmup_steps": 1}, {"lower": -2.0, "upper": 1.0, "warmup_steps": 1}),
        ({"upper": 1.5, "nan": False}, {"lower": -1.5, "nan": False}),
    ],
}
CASES = [(name, *options) for name in NAMES for options in [({}, {}), *OPTIONS.get(name, [])]]
IDS = [f"{name} {options}" for name, options, _ in CASES]

Curve = list[float]
Call = tuple[Any, ...]
Log = list[tuple[Call, Any]]

values = st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.0, -1.0, 5e-324, 1e308, math.inf, -math.inf, math.nan]) | st.floats(
    -3, 3, width=16
)
many_curves = st.lists(st.lists(values, max_size=12), min_size=1, max_size=14)
slot_numbers = st.integers(1, 5)
states = st.lists(st.sampled_from([State.FINISHED] * 4 + [State.FAILED, State.KILLED]), min_size=1, max_size=5)
every_case = pytest.mark.parametrize(("name", "options", "mirrored"), CASES, ids=IDS)
thorough = settings(max_examples=40, deadline=None)


def build(name: str, options: dict[str, Any]) -> Stopper:
    return make(plugins.load("stop", name)(**options))


def call(stopper: Stopper, call: Call) -> str | None:
    method, *args = call
    answer: str | None = getattr(stopper, method)(*args)
    return answer


def run(stopper: Stopper, direction: Direction, curves: list[Curve], slots: int, ends: list[State]) -> Log:
    """Trials that report what their curves say, `slots` at a time and in turn; all that was said, with the answers."""
    log: Log = []

    def tell(*args: Any) -> str | None:
        answer = call(stopper, args)
        log.append((args, answer))
        return answer

    def trial(number: int, curve: Curve) -> Iterator[None]:
        trial_id, state = f"{number:04d}", ends[number % len(ends)]
        tell("started", trial_id)
        for step, value in enumerate(curve):
            yield
            if tell("report", trial_id, float(step), value) is not None:
                state = State.STOPPED
                break
        tell("ended", Result(trial_id, state, None))

    tell("begin", direction)
    waiting = [trial(*item) for item in enumerate(curves)]
    running: list[Iterator[None]] = []
    while waiting or running:
        while waiting and len(running) < slots:
            running.append(waiting.pop(0))
        running = [each for each in running if next(each, running) is None]
    return log


def stops(log: Log) -> list[tuple[str, float]]:
    return [(args[1], args[2]) for args, answer in log if answer is not None]


def as_score(value: float, direction: Direction) -> float:
    if math.isnan(value):
        return -math.inf
    return value if direction is Direction.MAX else -value


@every_case
@thorough
@given(curves=many_curves, slots=slot_numbers, ends=states)
def test_both_directions_are_alike(
    name: str, options: dict[str, Any], mirrored: dict[str, Any], curves: list[Curve], slots: int, ends: list[State]
) -> None:
    negated = [[-value for value in curve] for curve in curves]
    up = run(build(name, options), Direction.MAX, curves, slots, ends)
    down = run(build(name, mirrored), Direction.MIN, negated, slots, ends)
    assert stops(up) == stops(down)


@every_case
@thorough
@given(curves=many_curves, slots=slot_numbers, ends=states)
def test_a_replay_gives_the_same_answers(
    name: str, options: dict[str, Any], mirrored: dict[str, Any], curves: list[Curve], slots: int, ends: list[State]
) -> None:
    stopper = build(name, options)
    copy: Stopper = pickle.loads(pickle.dumps(stopper))
    log = run(stopper, Direction.MIN, curves, slots, ends)
    assert [call(copy, args) for args, _ in log] == [answer for _, answer in log]
    assert [call(stopper, args) for args, _ in log] == [answer for _, answer in log], "begin() must forget all"


@every_case
@thorough
@given(curves=many_curves, slots=slot_numbers, ends=states, lost=many_curves, end=st.sampled_from([None, *State]))
def test_what_an_earlier_attempt_reported_counts_no_more(
    name: str,
    options: dict[str, Any],
    mirrored: dict[str, Any],
    curves: list[Curve],
    slots: int,
    ends: list[State],
    lost: list[Curve],
    end: State | None,
) -> None:
    log = run(build(name, options), Direction.MAX, curves, slots, ends)
    stopper = build(name, options)
    for args, answer in log:
        if args[0] == "started":
            stopper.started(args[1])
            for step, value in enumerate(lost[int(args[1]) % len(lost)]):
                stopper.report(args[1], float(step), value)
            if end is not None and end.final:
                stopper.ended(Result(args[1], end, None))
        assert call(stopper, args) == answer


@pytest.mark.slow("soak")
@every_case
@thorough
@given(curves=many_curves, slots=slot_numbers, ends=states, direction=st.sampled_from(Direction))
def test_the_best_trial_so_far_goes_on(
    name: str,
    options: dict[str, Any],
    mirrored: dict[str, Any],
    curves: list[Curve],
    slots: int,
    ends: list[State],
    direction: Direction,
) -> None:
    if name in ALONE:
        return
    best = -math.inf
    for args, answer in run(build(name, options), direction, curves, slots, ends):
        if args[0] == "report":
            score = as_score(args[3], direction)
            best = max(best, score)
            assert answer is None or score < best


@every_case
@thorough
@given(curve=st.lists(values, max_size=200), direction=st.sampled_from(Direction))
def test_the_only_trial_goes_on(
    name: str, options: dict[str, Any], mirrored: dict[str, Any], curve: Curve, direction: Direction
) -> None:
    if name in ALONE:
        return
    assert stops(run(build(name, options), direction, [curve], 1, [State.FINISHED])) == []


@every_case
def test_any_number_is_a_step(name: str, options: dict[str, Any], mirrored: dict[str, Any]) -> None:
    stopper = build(name, options)
    stopper.begin(Direction.MAX)
    for number in range(8):
        stopper.started(f"{number}")
        for step in (0.0, 5e-324, 0.3, 1, 1e9, 1e308, math.inf):
            stopper.report(f"{number}", step, 1.0)  # neither fails nor goes on for ever
        stopper.ended(Result(f"{number}", State.FINISHED, 1.0))


@every_case
def test_a_reason_is_one_line_that_names_the_step(name: str, options: dict[str, Any], mirrored: dict[str, Any]) -> None:
    curves = [[9.0 - number] * 30 for number in range(12)] + [[math.nan] * 30]
    log = run(build(name, options), Direction.MAX, curves, 2, [State.FINISHED])
    reasons = [(args[2], answer) for args, answer in log if args[0] == "report" and answer is not None]
    assert reasons
    for step, why in reasons:
        assert f"step {step:g}" in why
        assert len(why) < 150 and why.isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_its_name_its_class_and_an_object_will_do(name: str) -> None:
    cls = plugins.load("stop", name)
    stopper = cls()
    assert make(stopper) is stopper
    assert type(make(name)) is type(make(cls)) is cls
    assert repr(make(name)) == repr(stopper)


@pytest.mark.parametrize("name", NAMES)
def test_trials_may_end_without_a_word(name: str) -> None:
    stopper = build(name, {})
    stopper.begin(Direction.MAX)
    for state in State:
        if state.final:
            stopper.started(f"{state}")
            stopper.ended(Result(f"{state}", state, None))
    stopper.ended(Result("never started", State.KILLED, None))
