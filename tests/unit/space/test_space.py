from __future__ import annotations

import collections
import enum
import itertools
import json
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hopslite import space
from hopslite.errors import InvalidArguments
from hopslite.space import Choice, Integer, LogUniform, Space, Uniform

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
UNITS = st.floats(0.0, 1.0, exclude_max=True)


@given(FLOATS, FLOATS, UNITS)
def test_uniform_stays_between_bounds_in_either_order(a: float, b: float, u: float) -> None:
    assume(a != b)
    dimension = space.uniform(a, b)
    assert dimension == space.uniform(b, a)
    value = dimension.from_unit(u)
    assert type(value) is float
    assert min(a, b) <= value <= max(a, b)
    assert 0.0 <= dimension.to_unit(value) <= 1.0


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), UNITS)
def test_loguniform_stays_between_bounds_in_either_order(a: float, b: float, u: float) -> None:
    assume(a != b)
    dimension = space.loguniform(a, b)
    assert dimension == space.loguniform(b, a)
    value = dimension.from_unit(u)
    assert min(a, b) <= value <= max(a, b)
    assert 0.0 <= dimension.to_unit(value) <= 1.0


@given(st.integers(-(2**70), 2**70), st.integers(1, 2**80), UNITS)
def test_integer_stays_between_bounds(low: int, width: int, u: float) -> None:
    dimension = space.integer(low + width, low)
    assert dimension.size == width + 1
    assert low <= dimension.from_unit(u) <= low + width


@given(st.integers(-50, 50), st.integers(1, 60))
def test_integer_round_trips_and_all_values_get_equal_shares(low: int, width: int) -> None:
    dimension = space.integer(low, low + width)
    values = range(low, low + width + 1)
    assert [dimension.from_unit(dimension.to_unit(value)) for value in values] == list(values)
    shares = [dimension.from_unit((k + 0.5) / (10 * len(values))) for k in range(10 * len(values))]
    assert all(shares.count(value) == 10 for value in values)


def test_units_map_to_the_ends_and_the_middle() -> None:
    assert [space.uniform(0, 10).from_unit(u) for u in (0.0, 0.5, 1.0)] == [0.0, 5.0, 10.0]
    assert [space.loguniform(1e-4, 1.0).from_unit(u) for u in (0.0, 0.5, 1.0)] == pytest.approx([1e-4, 1e-2, 1.0])
    assert space.loguniform(1e-4, 1.0).to_unit(1e-2) == pytest.approx(0.5)
    assert [space.integer(1, 3).from_unit(u) for u in (0.0, 0.34, 0.999, 1.0)] == [1, 2, 3, 3]
    assert space.uniform(-1.7e308, 1.7e308).to_unit(0.0) == 0.5


def test_sizes() -> None:
    assert space.uniform(0, 1).size is None
    assert space.loguniform(1, 2).size is None
    assert space.integer(1, 3).size == 3
    assert space.choice(["a", "b"]).size == 2
    assert Space.parse({"a": [1, 3], "b": ["x", "y"]}).size == 6
    assert Space.parse({"a": [1, 3], "b": [0.0, 1.0]}).size is None
    assert Space({f"d{i}": space.integer(1, 10) for i in range(40)}).size == 10**40


def test_choice_returns_the_same_objects_whatever_their_equality() -> None:
    values: list[Any] = [np.zeros(3), {"layers": [1]}, None, np.zeros(3), print]
    dimension = space.choice(values)
    assert [dimension.from_unit((i + 0.5) / 5) is value for i, value in enumerate(values)] == [True] * 5
    assert [dimension.index(dimension.to_unit(value)) for value in values] == [0, 1, 2, 3, 4]
    twice = Space({"a": dimension})
    assert len({twice.key([(i + 0.5) / 5]) for i in range(5)}) == 5


def test_to_unit_finds_an_equal_value_and_refuses_others() -> None:
    dimension = space.choice([0.1, "a", np.zeros(2)])
    assert dimension.to_unit(np.float64(0.1)) == pytest.approx(1 / 6)
    for outside, where in [
        ("b", dimension),
        (7, space.integer(1, 3)),
        (1.5, space.integer(1, 3)),
        (math.nan, space.uniform(0, 1)),
        (True, space.uniform(0, 1)),
    ]:
        with pytest.raises(InvalidArguments):
            where.to_unit(outside)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: space.uniform(1, 1.0), "equal"),
        (lambda: space.uniform(10**17, 10**17 + 1), "equal as floats"),
        (lambda: space.uniform(0, math.inf), "finite"),
        (lambda: space.uniform(math.nan, 1), "finite"),
        (lambda: space.uniform(0, 10**400), "finite"),
        (lambda: space.uniform(False, 1), "bools"),
        (lambda: space.uniform(np.False_, 1), "bools"),
        (lambda: space.uniform("0", 1), "numbers"),
        (lambda: space.loguniform(0, 1), "above 0"),
        (lambda: space.loguniform(-1, 1), "above 0"),
        (lambda: space.integer(1, 2.0), "integers"),
        (lambda: space.integer(3, 3), "equal"),
        (lambda: space.integer(True, 3), "bools"),
        (lambda: space.integer(None, 3), "numbers"),
        (lambda: space.choice([]), "at least one"),
        (lambda: space.choice({1, 2}), "no order"),
        (lambda: space.choice("adam"), r"\['adam'\]"),
        (lambda: space.choice(c for c in "ab"), "only once"),
        (lambda: Uniform(2, 2), "equal"),
        (lambda: space.uniform(0, 1, step=0), "step must be a number above 0, given 0"),
        (lambda: space.uniform(0, 1, step=-0.1), "above 0, given -0.1"),
        (lambda: space.uniform(0, 1, step=math.nan), "above 0, given nan"),
        (lambda: space.uniform(0, 1, step=math.inf), "above 0, given inf"),
        (lambda: space.uniform(0, 1, step=True), "above 0, given True"),
        (lambda: space.uniform(0, 1, step="0.1"), "above 0, given '0.1'"),
        (lambda: space.uniform(1, 0, step=1.5), "larger than the interval from 0.0 to 1.0, given 1.5"),
        (lambda: space.uniform(0, 1, step=1e-16), "at least 4e-15"),
        (lambda: space.integer(1, 8, step=0), "integer of at least 1, given 0"),
        (lambda: space.integer(1, 8, step=2.0), "integer of at least 1, given 2.0"),
        (lambda: space.integer(1, 8, step=True), "integer of at least 1, given True"),
        (lambda: space.integer(1, 8, step=8), "larger than the interval from 1 to 8, given 8"),
        (lambda: space.integer(0, 8, log=True), "at least 1, given 0 and 8"),
        (lambda: space.integer(1, 2**40 + 1, log=True), r"at most 2\*\*40"),
        (lambda: space.integer(1, 8, step=2, log=True), "step=2 and log=True exclude each other"),
        (lambda: space.integer(1, 8, log="yes"), "True or False, given 'yes'"),
        (lambda: space.when(3, "a", [1, 2]), "a string; given 3"),
        (lambda: space.when("a", 1, space.when("b", 1, [1, 2])), "condition within a condition"),
    ],
)
def test_impossible_dimensions_are_value_errors(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert isinstance(caught.value, InvalidArguments)


@pytest.mark.parametrize(
    ("given_bounds", "expected"),
    [
        ([1, 5], Integer(1, 5)),
        ((5, 1), Integer(1, 5)),
        ([1, 4.9], Uniform(1.0, 4.9)),
        ([0.1, 0.001], Uniform(0.001, 0.1)),
        ([np.int64(1), np.int32(5)], Integer(1, 5)),
        ([np.float32(0.5), 1], Uniform(0.5, 1.0)),
        ([Fraction(1, 2), 1], Uniform(0.5, 1.0)),
        (np.array([3, 1]), Integer(1, 3)),
        (space.loguniform(1, 2), LogUniform(1.0, 2.0)),
    ],
)
def test_parse_bounds(given_bounds: Any, expected: space.Dimension) -> None:
    parsed = Space.parse({"x": given_bounds})["x"]
    assert parsed == expected
    assert {type(parsed.low), type(parsed.high)} <= {int, float}  # type: ignore[union-attr]


@pytest.mark.parametrize("bounds", [[0.1, 0.001], [0.001, 0.1]])
def test_bounds_in_either_order_cover_the_whole_interval(bounds: list[float]) -> None:
    dimension = Space.parse({"lr": bounds})["lr"]
    values = [dimension.from_unit(k / 100) for k in range(101)]
    assert (min(values), max(values)) == (0.001, 0.1)
    assert max(np.diff(values)) < 0.00101


@pytest.mark.parametrize("values", [["adam"], ("a", "b", "c"), np.array(["a", "b"])])
def test_parse_strings_are_a_choice(values: Any) -> None:
    parsed = Space.parse({"o": values})["o"]
    assert isinstance(parsed, Choice)
    assert parsed.values == tuple(values)


def test_parse_collects_all_problems() -> None:
    bad: dict[Any, Any] = {
        "equal": [1, 1], "three": [1, 2, 3], "bools": [True, False], "mixed": ["a", 1], "none": None, 5: [1, 2],
        "empty": [], "set": {1, 2}, "nan": [1, math.nan], "text": "adam", "one": [1], "nones": [None, 1],
        "fine": [1, 2],
    }  # fmt: skip
    with pytest.raises(InvalidArguments) as caught:
        Space.parse(bad, where="random_search")
    problems = caught.value.problems
    assert len(problems) == len(bad) - 1
    assert str(caught.value).startswith("random_search: ")
    for key, words in [
        ("three", "exactly two numbers, given 3"), ("equal", "equal, given 1 and 1"),
        ("bools", "choice([True, False])"),
        ("mixed", "str, int"), ("none", "given None"), ("empty", "empty list"), ("set", "no order"), ("nan", "finite"),
        ("text", "['adam']"), ("one", "given 1: [1]"), ("nones", "NoneType, int"),
    ]:  # fmt: skip
        assert any(problem.startswith(f"'{key}': ") and words in problem for problem in problems), key
    assert any("name 5 is of type int" in problem for problem in problems)
    assert "fine" not in str(problems)


@pytest.mark.parametrize("make", [Space.parse, Space.grid])
@pytest.mark.parametrize("given_value", [None, [1, 2], "a", {}])
def test_what_is_no_dict_or_empty_is_refused(make: Any, given_value: Any) -> None:
    with pytest.raises(ValueError, match="dict"):
        make(given_value)


def test_grid_takes_lists_of_anything() -> None:
    layer = object()
    grid = Space.grid(
        {
            "a": [0.1, "x", None, True],
            "b": (layer,),
            "c": range(3),
            "d": np.linspace(0, 1, 3),
            "e": space.choice([[1]]),
            "f": space.integer(1, 2),
        }
    )
    assert [dimension.size for dimension in grid.values()] == [4, 1, 3, 3, 1, 2]
    first = grid.at(0)
    assert first == {"a": 0.1, "b": layer, "c": 0, "d": 0.0, "e": [1], "f": 1}
    assert type(first["d"]) is float


def test_values_come_in_any_sequence() -> None:
    words = pd.Series(["a", "b"])
    for values in (words, pd.Index(words), words.array, {"a": 1, "b": 2}.keys(), collections.deque("ab"), ("a", "b")):
        assert values_of(Space.grid({"x": values})["x"]) == ["a", "b"]
        assert values_of(space.choice(values)) == ["a", "b"]
        assert values_of(Space.parse({"x": values})["x"]) == ["a", "b"]
    bounds = Space.parse({"x": pd.Series([1, 8])})["x"]
    assert bounds == space.integer(1, 8)
    assert {type(value) for value in values_of(space.choice(pd.Series([1, 2])))} == {int}


@pytest.mark.parametrize("values", [(v for v in "ab"), map(str, "ab"), enum.Enum("Kind", "a b")])
def test_values_that_are_no_sequence_are_told_list(values: Any) -> None:
    with pytest.raises(InvalidArguments, match=r"use list\(…\)"):
        Space.grid({"x": values})


def test_grid_collects_all_problems() -> None:
    bad = {"a": [], "b": 0.1, "c": "adam", "d": {1}, "e": iter([1]), "f": space.uniform(0, 1), "g": np.zeros((2, 2))}
    with pytest.raises(InvalidArguments) as caught:
        Space.grid({**bad, 7: [1]})
    assert len(caught.value.problems) == 8
    words = ["empty", r"[0.1]", "['adam']", "no order", "list(", "no end", "2 dimensions", "name 7"]
    assert all(word in problem for word, problem in zip(words, caught.value.problems, strict=True))


def test_combinations_are_numbered_with_the_last_key_fastest() -> None:
    grid = Space.grid({"a": [4, 5], "b": [1, 2]})
    combinations = [{"a": 4, "b": 1}, {"a": 4, "b": 2}, {"a": 5, "b": 1}, {"a": 5, "b": 2}]
    assert [grid.at(number) for number in range(4)] == combinations
    assert [grid.decode(grid.units(number)) for number in range(4)] == combinations
    for number in (-1, 4):
        with pytest.raises(IndexError):
            grid.at(number)
    with pytest.raises(IndexError):
        Space.parse({"x": [0.0, 1.0]}).at(0)


def test_decode_gives_python_values_in_order_and_key_tells_combinations_apart() -> None:
    parsed = Space.parse({"z": [0.0, 1.0], "a": [1, 2], "c": ["x", "y"]})
    decoded = parsed.decode(np.array([0.25, 0.9, 0.1]))  # type: ignore[arg-type]
    assert list(decoded.items()) == [("z", 0.25), ("a", 2), ("c", "x")]
    assert [type(value) for value in decoded.values()] == [float, int, str]
    assert parsed.key([0.25, 0.9, 0.1]) == parsed.key([0.25, 0.6, 0.3]) != parsed.key([0.250001, 0.9, 0.1])
    with pytest.raises(ValueError, match="shorter"):
        parsed.decode([0.1])


def test_space_is_a_read_only_mapping_with_a_json_form_and_survives_pickling() -> None:
    parsed = Space.parse(
        {"lr": space.loguniform(0.1, 0.001), "o": space.choice([print, np.arange(2)]), "n": [1, 2], "x": [0.0, 1]}
    )
    assert parsed.names == ("lr", "o", "n", "x")
    with pytest.raises(TypeError):
        parsed["lr"] = space.uniform(0, 1)  # type: ignore[index]
    assert json.loads(json.dumps(parsed.to_json())) == {
        "lr": {"type": "loguniform", "low": 0.001, "high": 0.1},
        "o": {"type": "choice", "values": ["print", [0, 1]]},
        "n": {"type": "integer", "low": 1, "high": 2},
        "x": {"type": "uniform", "low": 0.0, "high": 1.0},
    }
    assert pickle.loads(pickle.dumps(parsed)).to_json() == parsed.to_json()
    assert Space.parse(parsed).to_json() == parsed.to_json()


def values_of(dimension: Any) -> list[Any]:
    return [dimension.at(index) for index in range(dimension.size)]


def test_steps_are_as_they_are_written_without_drift() -> None:
    assert values_of(space.uniform(0.1, 0.5, step=0.1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert values_of(space.uniform(1.0, 0.0, step=0.3)) == [0.0, 0.3, 0.6, 0.9]
    assert values_of(space.uniform(-0.3, 0.3, step=0.2)) == [-0.3, -0.1, 0.1, 0.3]
    assert values_of(space.uniform(0, 2, step=2)) == [0.0, 2.0]
    assert [repr(value) for value in values_of(space.uniform(0, 1, step=0.01))] == [
        repr(round(k / 100, 2)) for k in range(101)
    ]
    assert values_of(space.integer(10, 1, step=4)) == [1, 5, 9]
    assert values_of(space.integer(np.int64(1), np.int64(5), np.int64(2))) == [1, 3, 5]
    assert (space.uniform(0, 1, step=0.3).high, space.integer(1, 10, step=4).high) == (0.9, 9)
    assert space.uniform(-1.7e308, 1.7e308, step=1e308).size == 4
    assert repr(
        [space.uniform(0, 1), space.uniform(0, 1, step=0.5), space.integer(1, 2), space.integer(1, 2, log=True)]
    ) == (
        "[Uniform(low=0.0, high=1.0), Uniform(low=0.0, high=1.0, step=0.5), Integer(low=1, high=2), "
        "Integer(low=1, high=2, log=True)]"
    )
    assert space.uniform(0, 1, step=0.5) == Uniform(0.0, 1.0, 0.5) != space.uniform(0, 1)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(1, 400), st.integers(0, 12), UNITS)
def test_steps_round_trip_and_get_equal_shares(low: int, step: int, size: int, digits: int, u: float) -> None:
    scale = 10**digits
    dimension = space.uniform(low / scale, (low + size * step) / scale, step=step / scale)
    values = values_of(dimension)
    assert values == [(low + k * step) / scale for k in range(size + 1)]
    assert [dimension.from_unit(dimension.to_unit(value)) for value in values] == values
    assert dimension.from_unit(u) in values
    assert dimension.from_unit((math.floor(u * (size + 1)) + 0.5) / (size + 1)) == values[math.floor(u * (size + 1))]


def test_to_unit_of_steps_forgives_rounding_and_refuses_what_lies_between() -> None:
    dimension = space.uniform(0, 1, step=0.1)
    assert dimension.to_unit(0.1 + 0.2) == dimension.to_unit(0.3) == pytest.approx(7 / 22)
    for outside, words in [(0.25, "0.0 plus a multiple of 0.1"), (1.1, "from 0.0 to 1.0"), ("a", "not a number")]:
        with pytest.raises(InvalidArguments, match=words):
            dimension.to_unit(outside)  # type: ignore[arg-type]
    with pytest.raises(InvalidArguments, match="1 plus a multiple of 4"):
        space.integer(1, 10, step=4).to_unit(4)


def test_logarithmic_integers_make_orders_of_magnitude_equally_likely() -> None:
    dimension = space.integer(1, 9999, log=True)
    values = [dimension.from_unit((k + 0.5) / 4000) for k in range(4000)]
    assert [sum(10**n <= value < 10 ** (n + 1) for value in values) for n in range(4)] == [1000] * 4
    assert (dimension.from_unit(0.0), dimension.from_unit(1.0)) == (1, 9999)
    assert dimension.size == 9999


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.data())
def test_logarithmic_integers_round_trip(low: int, high: int, data: st.DataObject) -> None:
    assume(low != high)
    dimension = space.integer(low, high, log=True)
    for value in (min(low, high), max(low, high), data.draw(st.integers(min(low, high), max(low, high)))):
        assert dimension.from_unit(dimension.to_unit(value)) == value
        assert dimension.at(dimension.index(dimension.middle(value - dimension.low))) == value
    assert dimension.low <= dimension.from_unit(data.draw(UNITS)) <= dimension.high


TREE: dict[str, Any] = {
    "momentum": space.when("optimizer", ["sgd", "rms"], [0.0, 0.9]),
    "optimizer": ["adam", "sgd", "rms"],
    "nesterov": space.when("momentum", 0.9, [True, False]),
    "layers": space.integer(1, 3),
    "last": space.when("layers", range(2, 4), space.uniform(0.1, 0.3, step=0.1)),
}


def test_a_combination_has_the_parameters_that_exist_in_the_order_given() -> None:
    tree = Space.grid(TREE)
    assert tree.names == tuple(TREE)
    assert tree.conditional == ("momentum", "nesterov", "last")
    assert tree.decode([0.9, 0.5, 0.9, 0.9, 0.9]) == {
        "momentum": 0.9, "optimizer": "sgd", "nesterov": False, "layers": 3, "last": 0.3
    }  # fmt: skip
    assert list(tree.decode([0.9, 0.5, 0.9, 0.9, 0.9])) == list(TREE)
    assert tree.decode([0.1, 0.5, 0.9, 0.1, 0.9]) == {"momentum": 0.0, "optimizer": "sgd", "layers": 1}
    assert tree.decode([0.9, 0.1, 0.9, 0.5, 0.5]) == {"optimizer": "adam", "layers": 2, "last": 0.2}
    assert tree.exists([0.9, 0.1, 0.9, 0.5, 0.5]) == [False, True, False, True, True]
    assert tree.size == (1 + 2 * (1 + 2)) * (1 + 2 * 3)
    with pytest.raises(ValueError, match="shorter"):
        tree.decode([0.1, 0.2, 0.3, 0.4])


def test_combinations_with_conditions_are_numbered_with_parents_first_and_the_last_key_fastest() -> None:
    grid = Space.grid({"b": space.when("a", 5, [1, 2]), "a": [4, 5], "c": ["x", "y"]})
    assert [tuple(grid.at(number).values()) for number in range(grid.size or 0)] == [
        (4, "x"), (4, "y"), (1, 5, "x"), (1, 5, "y"), (2, 5, "x"), (2, 5, "y")
    ]  # fmt: skip
    assert grid.units(0) == [0.5, 0.25, 0.25]
    with pytest.raises(IndexError):
        grid.at(6)


def test_conditions_on_a_huge_parent_are_counted_at_once() -> None:
    huge = Space({"n": space.integer(0, 2**60), "x": space.when("n", [7, 2**60], space.integer(1, 2**60))})
    assert huge.size == 2**60 - 1 + 2 * 2**60
    assert [huge.at(number) for number in (6, 7, 8, 7 + 2**60)] == [
        {"n": 6}, {"n": 7, "x": 1}, {"n": 7, "x": 2}, {"n": 8}
    ]  # fmt: skip
    assert huge.at(huge.size - 1) == {"n": 2**60, "x": 2**60}


def test_values_of_a_condition_are_told_apart_as_in_a_choice() -> None:
    def holds(parent: Any, values: Any) -> list[Any]:
        grid = Space.grid({"p": parent, "x": space.when("p", values, ["there"])})
        return [combination["p"] for number in range(grid.size or 0) if "x" in (combination := grid.at(number))]

    layer = np.zeros(2)
    assert holds([True, False, 1, 0], True) == [True]
    assert [type(value) for value in holds([True, False, 1, 0], 1)] == [int]
    assert holds([True, False], 1) == [True]
    assert holds(["a", "b", "a"], "a") == ["a", "a"]
    assert holds([[1], [2, 3], 1], [2, 3]) == [[2, 3]]
    assert holds([[1], [2, 3], 1], [[1], [2, 3]]) == [[1], [2, 3]]
    assert holds([[1], 1], [1]) == [1]
    assert holds([None, layer], layer)[0] is layer
    assert holds(["a", "b"], {"a", "b"}) == ["a", "b"]
    assert holds(space.uniform(0, 1, step=0.1), [0.1 + 0.2, np.float64(0.5)]) == [0.3, 0.5]
    assert holds(range(5), np.array([1, 3])) == [1, 3]


def test_conditions_that_always_hold_cost_nothing_and_are_still_recorded() -> None:
    always = Space.parse({"a": ["x", "y"], "b": space.when("a", ["x", "y"], [0.0, 1.0])})
    assert always.conditional == ()
    assert always.decode([0.1, 0.5]) == {"a": "x", "b": 0.5}
    assert always.to_json()["b"]["when"] == {"parent": "a", "values": ["x", "y"]}


def test_conditions_and_steps_are_in_the_json_form_and_survive_copies() -> None:
    given = TREE | {"optimizer": space.choice(["adam", "sgd", "rms"]), "nesterov": space.when("layers", 1, ["x"])}
    tree = Space.parse(given | {"units": space.integer(1, 9, log=True), "batch": space.integer(32, 64, step=16)})
    assert json.loads(json.dumps(tree.to_json())) == {
        "momentum": {
            "type": "uniform", "low": 0.0, "high": 0.9, "when": {"parent": "optimizer", "values": ["sgd", "rms"]}
        },
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rms"]},
        "nesterov": {"type": "choice", "values": ["x"], "when": {"parent": "layers", "values": [1]}},
        "layers": {"type": "integer", "low": 1, "high": 3},
        "last": {
            "type": "uniform", "low": 0.1, "high": 0.3, "step": 0.1, "when": {"parent": "layers", "values": [2, 3]}
        },
        "units": {"type": "integer", "low": 1, "high": 9, "log": True},
        "batch": {"type": "integer", "low": 32, "high": 64, "step": 16},
    }  # fmt: skip
    for copy in (pickle.loads(pickle.dumps(tree)), Space.parse(tree)):
        assert copy.to_json() == tree.to_json()
        assert copy.decode([0.5] * 7) == tree.decode([0.5] * 7)
    assert tree.size is None
    assert Space.grid(Space.grid(TREE)).size == Space.grid(TREE).size


def test_conditions_that_can_never_hold_are_refused_together() -> None:
    bad = {
        "o": ["adam", "sgd"], "lr": [0.0, 1.0], "n": [1, 8],
        "unknown": space.when("optimizer", "sgd", [1, 2]), "near": space.when("oo", "sgd", [1, 2]),
        "value": space.when("o", ["adam", "sdg", "x"], [1, 2]), "none": space.when("o", [], [1, 2]),
        "outside": space.when("n", 9, [1, 2]), "half": space.when("n", 1.5, [1, 2]),
        "endless": space.when("lr", 0.5, [1, 2]), "self": space.when("self", 1, [1, 2]),
        "c1": space.when("c3", 1, [1, 2]), "c2": space.when("c1", 1, [1, 2]), "c3": space.when("c2", 1, [1, 2]),
        "hanging": space.when("c1", 1, [1, 2]), "inner": space.when("o", "sgd", [1, 1]),
        "wrong": [2, 2], "quiet": space.when("wrong", 2, [1, 2]), "fine": space.when("o", "sgd", [1, 2]),
    }  # fmt: skip
    with pytest.raises(InvalidArguments) as caught:
        Space.parse(bad, where="random_search")
    found = dict(problem.split(": ", 1) for problem in caught.value.problems)
    expected = {
        "unknown": "on 'optimizer', which the space does not have; allowed: 'o', 'n'",
        "near": "did you mean 'o'?",
        "value": "never hold for 'sdg', 'x', not among the values of 'o'; allowed: ['adam', 'sgd']",
        "none": "names no value of 'o'",
        "outside": "never hold for 9, not among the values of 'n'; allowed: Integer(low=1, high=8)",
        "half": "never hold for 1.5",
        "endless": "on 'lr', which has no end of values: Uniform(low=0.0, high=1.0); allowed: 'o', 'n'",
        "self": "depends on itself",
        "c1": "depends on itself: 'c1' → 'c3' → 'c2' → 'c1'",
        "inner": "equal, given 1 and 1",
        "wrong": "equal, given 2 and 2",
    }
    assert [name.strip("'") for name in found] == list(expected)
    for name, words in expected.items():
        assert words in found[f"'{name}'"]
    with pytest.raises(InvalidArguments, match=r"^search space: 'x': .* does not have"):
        Space({"x": space.when("y", 1, space.integer(1, 2))})
    with pytest.raises(InvalidArguments, match="no end"):
        Space.grid({"o": ["a", "b"], "x": space.when("o", "a", space.uniform(0, 1))})


KINDS = [
    space.choice(["x", "y", "z"]),
    space.choice([[1]]),
    space.integer(-1, 1),
    space.integer(1, 5, step=2),
    space.integer(1, 4, log=True),
    space.uniform(-1, 0, step=0.5),
]


@st.composite
def trees(draw: st.DrawFn) -> Space:
    """Finite spaces of up to five parameters, most of them with a condition on one of the others."""
    names = "abcde"[: draw(st.integers(1, 5))]
    made: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from(KINDS))
        if made and draw(st.integers(0, 3)):
            parent = draw(st.sampled_from(sorted(made)))
            dimension = made[parent].dimension if isinstance(made[parent], space.When) else made[parent]
            indices = draw(st.lists(st.integers(0, dimension.size - 1), min_size=1))
            made[name] = space.when(parent, [dimension.at(index) for index in indices], kind)
        else:
            made[name] = kind
    return Space({name: made[name] for name in draw(st.permutations(names))})


def by_hand(tree: Space) -> list[dict[str, Any]]:
    """Every distinct combination: all products of values, without the parameters whose condition does not hold."""
    found: list[dict[str, Any]] = []
    for values in itertools.product(*(values_of(dimension) for dimension in tree.values())):
        params = dict(zip(tree, values, strict=True))
        for _ in tree:  # as often as chains of conditions are long
            for name, condition in tree.conditions.items():
                allowed = [tree[condition.parent].at(index) for index in condition.indices]  # type: ignore[union-attr]
                if name in params and params.get(condition.parent, "missing") not in allowed:
                    del params[name]
        if params not in found:
            found.append(params)
    return found


@given(trees())
def test_numbers_stand_for_every_distinct_combination_once(tree: Space) -> None:
    expected = by_hand(tree)
    assert tree.size == len(expected)
    numbered = [tree.at(number) for number in range(len(expected))]
    assert all(params in numbered for params in expected)
    assert [tree.decode(tree.units(number)) for number in range(len(expected))] == numbered
    assert len({tree.key(tree.units(number)) for number in range(len(expected))}) == len(expected)
    assert {name for params in numbered for name in set(tree) - set(params)} == set(tree.conditional)


@given(trees(), st.data())
def test_keys_are_equal_exactly_when_combinations_are(tree: Space, data: st.DataObject) -> None:
    tree = Space({**tree._mapping, "u": space.when(tree.names[0], tree[tree.names[0]].at(0), space.uniform(-1, 1))})  # type: ignore[union-attr]
    few = st.sampled_from([0.0, 0.3, 0.6, 0.999])
    one = data.draw(st.lists(few, min_size=len(tree), max_size=len(tree)))
    other = list(one)
    for place in data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=2)):
        other[place] = data.draw(few)
    assert (tree.key(one) == tree.key(other)) == (tree.decode(one) == tree.decode(other))
    decoded = tree.decode(one)
    assert [name for name in tree if name in decoded] == list(decoded)
    assert [name in decoded for name in tree] == tree.exists(one)
    again = [dimension.to_unit(decoded[name]) if name in decoded else 0.5 for name, dimension in tree.items()]
    assert tree.decode(again) == {name: pytest.approx(v) if name == "u" else v for name, v in decoded.items()}
