"""Normal and log-normal dimensions, weights of choices, and grids in a space."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopslite import space
from hopslite.errors import InvalidArguments
from hopslite.space import Space

UNITS = st.floats(0.0, 1.0)


def test_units_are_shares_of_the_distribution() -> None:
    standard = space.normal(0, 1)
    assert [standard.from_unit(u) for u in (0.5, 0.8413447460685429)] == pytest.approx([0.0, 1.0])
    assert standard.to_unit(-1.0) == pytest.approx(0.15865525393145707)
    assert space.lognormal(0, 1).from_unit(0.8413447460685429) == pytest.approx(math.e)
    half = space.normal(0, 1, low=0)
    assert half.from_unit(0.0) == 0.0
    assert half.from_unit(0.5) == pytest.approx(0.6744897501960817)


@given(UNITS, st.floats(-5, 5), st.floats(0.1, 5), st.booleans())
def test_values_are_finite_and_come_back(u: float, mean: float, sd: float, log: bool) -> None:
    dimension = space.lognormal(mean, sd) if log else space.normal(mean, sd)
    value = dimension.from_unit(u)
    assert math.isfinite(value)
    assert dimension.to_unit(value) == pytest.approx(u, abs=1e-9)


@given(UNITS, st.floats(0.5, 2.0), st.floats(2.1, 9.0), st.booleans())
def test_bounds_hold(u: float, low: float, high: float, log: bool) -> None:
    dimension = (space.lognormal if log else space.normal)(1.0, 1.0, low, high)
    value = dimension.from_unit(u)
    assert low <= value <= high
    assert dimension.to_unit(value) == pytest.approx(u, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: space.normal(0, 0), "sd must be above 0, given 0"),
        (lambda: space.normal(math.nan, 1), "mean must be a finite number, given nan"),
        (lambda: space.normal("a", True), "mean must be a finite number, given 'a'; sd must be a finite number"),
        (lambda: space.normal(0, 1, low=math.inf), "low must be a finite number or None"),
        (lambda: space.normal(0, 1, 2, 1), "low must be below high, given 2.0 and 1.0"),
        (lambda: space.normal(0, 1, 20, 30), "have almost nothing of the distribution"),
        (lambda: space.lognormal(0, 1, low=0), "must be above 0"),
        (lambda: space.choice(["a", "b"], weights=[1]), "one for each of the 2 values"),
        (lambda: space.choice(["a", "b"], weights=[1, 0]), "finite numbers above 0"),
        (lambda: space.choice(["a", "b"], weights=3), "one for each of the 2 values"),
        (lambda: space.grid([]), "at least one"),
        (lambda: Space.grid({"a": space.choice([1, 2], [3, 4])}), "a choice with weights; a grid tries every value"),
        (lambda: Space.grid({"a": space.normal(0, 1)}), "no end of values"),
    ],
)
def test_what_has_no_meaning_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        make()
    for part in words.split("; "):
        assert part in str(caught.value)


def test_values_outside_are_refused() -> None:
    for dimension, value in [
        (space.normal(0, 1), math.inf),
        (space.normal(0, 1, low=0), -1.0),
        (space.lognormal(0, 1), 0.0),
        (space.lognormal(0, 1, high=2), 3.0),
        (space.normal(0, 1), "0"),
    ]:
        with pytest.raises(InvalidArguments):
            dimension.to_unit(value)  # type: ignore[arg-type]


@given(UNITS, st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_weights_are_shares(u: float, weights: list[float]) -> None:
    dimension = space.choice(range(len(weights)), weights)
    index = dimension.index(u)
    shares = [weight / sum(weights) for weight in weights]
    assert sum(shares[:index]) - 1e-9 <= u <= sum(shares[: index + 1]) + 1e-9
    assert [dimension.index(dimension.middle(place)) for place in range(len(weights))] == list(range(len(weights)))


def test_the_record_has_everything() -> None:
    mixed = Space({"a": space.normal(0, 1), "b": space.lognormal(0, 1, high=9), "c": space.choice(["x", "y"], [1, 3])})
    assert Space({**mixed, "g": space.grid([1, 2])}).to_json() == {
        "a": {"type": "normal", "mean": 0.0, "sd": 1.0},
        "b": {"type": "lognormal", "mean": 0.0, "sd": 1.0, "high": 9.0},
        "c": {"type": "choice", "values": ["x", "y"], "weights": [0.25, 0.75]},
        "g": {"type": "choice", "values": [1, 2], "grid": True},
    }
    assert repr(space.lognormal(0, 1, high=9)) == "Normal(mean=0.0, sd=1.0, high=9.0, log=True)"
    assert repr(space.choice(["a"])) == "Choice(values=('a',))"
