from __future__ import annotations

import json
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
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
