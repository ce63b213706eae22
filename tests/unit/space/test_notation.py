"""Axes of a search space written as text and as data."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from hopslite import space
from hopslite.errors import InvalidArguments
from hopslite.space.notation import FORMS, OTHER_NAMES, Axis, parse_mapping, parse_text


def shown(axis: Axis | None) -> str:
    """Dimensions with values have no ==, as these may be anything."""
    return repr(axis.dimension if axis else None)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("loguniform(1e-4, 1e-1)", space.loguniform(1e-4, 1e-1)),
        (" loguniform ( 1e-4,1e-1 ) ", space.loguniform(1e-4, 1e-1)),
        ("uniform(0, .5)", space.uniform(0, 0.5)),
        ("uniform(0, 0.5, 0.1)", space.uniform(0, 0.5, step=0.1)),
        ("uniform(low=0, high=0.5, step=0.1)", space.uniform(0, 0.5, step=0.1)),
        ("int(8, 512)", space.integer(8, 512)),
        ("int(8, 512, log)", space.integer(8, 512, log=True)),
        ("int(8, 512, log=True)", space.integer(8, 512, log=True)),
        ("integer(0, 64, step=8)", space.integer(0, 64, step=8)),
        ("int(1, 1e6, log)", space.integer(1, 10**6, log=True)),
        ("int(-5, +5)", space.integer(-5, 5)),
        ("normal(0, 1)", space.normal(0, 1)),
        ("lognormal(-7, 2, high=0.1)", space.lognormal(-7, 2, high=0.1)),
        ("normal(0, 1, null, 2)", space.normal(0, 1, high=2)),
        ("grid(0, 1, 2)", space.grid([0, 1, 2])),
        ("when(opt, sgd, uniform(0, 0.99))", space.when("opt", "sgd", space.uniform(0, 0.99))),
        ("when(layers, [1, 2], choice(a, b))", space.when("layers", [1, 2], space.choice(["a", "b"]))),
        ("choice(adam, sgd)", space.choice(["adam", "sgd"])),
        ("choice(adam, sgd, weights=[3, 1])", space.choice(["adam", "sgd"], weights=[3, 1])),
        ("choice(values=[1, 2])", space.choice([1, 2])),
    ],
)
def test_text(text: str, dimension: Any) -> None:
    assert shown(parse_text(text)) == repr(dimension)


def test_every_form_reads_its_own_example_and_has_every_argument_of_its_constructor() -> None:
    assert {form.make.__name__ for form in FORMS.values()} == {
        name for name in space.__all__ if inspect.isfunction(getattr(space, name))
    }
    for name, form in FORMS.items():
        assert parse_text(form.example) is not None
        assert set(form.parameters) - {"values"} <= set(re.findall(r"\w+", form.usage)), name
    assert set(OTHER_NAMES.values()) <= FORMS.keys()


@pytest.mark.parametrize(
    ("text", "values", "texts"),
    [
        ("choice(1e-3, 0.01)", (0.001, 0.01), ("1e-3", "0.01")),
        ("choice(1.1, 1.10)", ("1.1", "1.10"), ("1.1", "1.10")),  # equal numbers, different texts
        ("choice(true, False, null)", (True, False, None), ("true", "False", "null")),
        ("""choice('a, b', "c)", d e)""", ("a, b", "c)", "d e"), ("a, b", "c)", "d e")),
        ("choice('', don't)", ("", "don't"), ("", "don't")),
        ("choice('1', 1)", ("1", 1), ("1", "1")),
        ("choice([64, 32], [8])", ([64, 32], [8]), ("[64, 32]", "[8]")),
        ("choice(resize(224), crop(3, 3))", ("resize(224)", "crop(3, 3)"), ("resize(224)", "crop(3, 3)")),
        ("choice(a=1, nan, 1_000)", ("a=1", "nan", "1_000"), ("a=1", "nan", "1_000")),
        ("choice(x)", ("x",), ("x",)),
    ],
)
def test_values_keep_how_they_were_written(text: str, values: Any, texts: Any) -> None:
    axis = parse_text(text)
    assert axis is not None and isinstance(axis.dimension, space.Choice)
    assert axis.dimension.values == values and list(map(type, axis.dimension.values)) == list(map(type, values))
    assert axis.texts == texts


def test_values_below_a_condition_keep_how_they_were_written() -> None:
    axis = parse_text("when(opt, sgd, choice(1e-3, 1e-2))")
    assert axis is not None and axis.texts == ("1e-3", "1e-2")


@pytest.mark.parametrize(
    "text", ["", "0.1", "adam", "resize(224)", "f()", "loguniform", "(1, 2)", "x loguniform(1, 2)"]
)
def test_other_texts_are_no_axes(text: str) -> None:
    assert parse_text(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loguniforn(1, 2)", r"no axis loguniforn; did you mean loguniform\(low, high\)"),
        ("Loguniform(1, 2)", r"did you mean loguniform\("),
        ("randint(1, 2)", r"did you mean int\(low, high, step=1, log=false\)"),
        ("quniform(0, 1, 0.1)", r"did you mean uniform\(low, high, step=…\)"),
        ("loguniform(1e-4, 1e-1", "does not end with the bracket that closes it"),
        ("loguniform(1e-4)", "high is missing; write loguniform"),
        ("int()", "low and high are missing"),
        ("loguniform(1, 2, 3)", "3 arguments, and there are 2"),
        ("loguniform(0, 1)", "must be above 0"),
        ("int(a, b)", "bounds must be numbers, given 'a' and 'b'"),
        ("int(1, 2.5)", "bounds must be integers"),
        ("int(1, 8, lag=true)", "no argument 'lag'; did you mean log"),
        ("int(1, 8, 2, log)", "exclude each other"),
        ("int(1, low=8)", "low is given twice"),
        ("uniform(low=0, low=1, high=2)", "low is there twice"),
        ("uniform(low=, high=2)", "low= has no value"),
        ("choice()", "given no values"),
        ("choice(a,,b)", "an argument between commas is missing"),
        ("choice(a, b, weights=[1])", "one for each of the 2 values"),
        ("choice((a)", r"\) is missing"),
        ("choice(a])", "closes nothing"),
        ("choice('a)", "' is missing"),
        ("when(opt, sgd, loguniforn(1, 2))", "did you mean loguniform"),
        ("when(opt, sgd)", "dimension is missing"),
    ],
)
def test_mistakes_in_text(text: str, message: str) -> None:
    with pytest.raises(InvalidArguments, match=message) as error:
        parse_text(text)
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mapping", "dimension"),
    [
        ({"loguniform": [1e-4, 1e-1]}, space.loguniform(1e-4, 1e-1)),
        ({"loguniform": ["1e-4", "1e-1"]}, space.loguniform(1e-4, 1e-1)),  # as YAML reads 1e-4
        ({"loguniform": {"low": "1e-4", "high": 0.1}}, space.loguniform(1e-4, 1e-1)),
        ({"int": [8, 512, "log"]}, space.integer(8, 512, log=True)),
        ({"int": [8, 512, {"log": True}]}, space.integer(8, 512, log=True)),  # as YAML reads [8, 512, log: true]
        ({"int": {"low": 8, "high": 512, "log": True}}, space.integer(8, 512, log=True)),
        ({"choice": ["adam", 1]}, space.choice(["adam", 1])),
        ({"choice": ["adam", {"units": 1}]}, space.choice(["adam", {"units": 1}])),
        ({"choice": {"values": ["a", "b"], "weights": [3, 1]}}, space.choice(["a", "b"], weights=[3, 1])),
        ({"grid": [1, 2]}, space.grid([1, 2])),
        ({"when": ["opt", "sgd", {"uniform": [0, 1]}]}, space.when("opt", "sgd", space.uniform(0, 1))),
        ({"when": ["opt", "sgd", "uniform(0, 1)"]}, space.when("opt", "sgd", space.uniform(0, 1))),
        ({"when": ["opt", ["sgd"], [1, 2]]}, space.when("opt", ["sgd"], [1, 2])),
    ],
)
def test_data(mapping: Any, dimension: Any) -> None:
    assert shown(parse_mapping(mapping)) == repr(dimension)
    prefixed = {"$" + key: value for key, value in mapping.items() if key != "when"}
    if prefixed:
        assert parse_mapping(mapping, prefix="$") is None
        assert shown(parse_mapping(prefixed, prefix="$")) == repr(dimension)


def test_prefix_of_an_inner_axis() -> None:
    axis = parse_mapping({"$when": ["opt", "sgd", {"$uniform": [0, 1]}]}, prefix="$")
    assert shown(axis) == repr(space.when("opt", "sgd", space.uniform(0, 1)))
    assert shown(parse_text("$int(1, 5)", prefix="$")) == repr(space.integer(1, 5))
    assert parse_text("int(1, 5)", prefix="$") is None and parse_text("$int(1, 5)") is None


@pytest.mark.parametrize("value", [None, 3, "int(1, 5)", [1, 5], {}, {"units": 3}, {"units": [1, 2]}, {1: 2}])
def test_other_data_is_no_axis(value: object) -> None:
    assert parse_mapping(value) is None
    assert parse_mapping(value, prefix="$") is None


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"$loguniforn": [1, 2]}, r"no axis \$loguniforn; did you mean \$loguniform\("),
        ({"$zzz": 1}, r"there are \$uniform, \$loguniform"),
        ({"$int": [1, 5], "units": 3}, "stands alone in its mapping; beside it: 'units'"),
        ({"$int": 5}, "give .int a list of arguments"),
        ({"$choice": "adam"}, "give .choice a list"),
        ({"$choice": []}, "given no values"),
        ({"$choice": {"weights": [1]}}, "given no values|values is missing"),
        ({"$int": [1]}, "high is missing"),
        ({"$int": {"low": 1, "hihg": 5}}, "no argument 'hihg'; did you mean high"),
        ({"$int": [5, 1, 1, True, 1]}, "5 arguments, and there are 4"),
    ],
)
def test_mistakes_in_data(mapping: Any, message: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        parse_mapping(mapping, prefix="$")
