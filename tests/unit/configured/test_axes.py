"""Configurations as search spaces: the parameters, their names, and what a trial gets of them."""

# ruff: noqa: E501 - a case is read better in one line

from __future__ import annotations

import inspect
from typing import Any

import pytest

from hopslite.configured._axes import Axes, collect_axes, substitute
from hopslite.configured._document import document_of
from hopslite.configured._training import Training
from hopslite.space import Space

RATE = {"$loguniform": [1e-4, 1e-1]}


def axes_of(config: Any) -> Axes:
    axes, problems = collect_axes(document_of(config))
    assert not problems
    return axes


def test_a_choice_of_objects_with_axes_of_their_own() -> None:
    config = [
        {
            "optimizer": {
                "$choice": [
                    {"keras.optimizers.Adam": {"learning_rate": RATE}},
                    {"keras.optimizers.SGD": {"learning_rate": RATE, "momentum": {"$choice": [0.0, 0.9]}}},
                ]
            },
            "train_loop": {"ktf.train.KerasTrainLoop": {"num_epochs": {"$int": [1, 5]}}},
        }
    ]
    axes = axes_of(config)
    space = Space.parse(axes.dimensions)
    assert list(space) == ["optimizer", "Adam_learning_rate", "SGD_learning_rate", "momentum", "num_epochs"]
    assert set(space.conditional) == {"Adam_learning_rate", "SGD_learning_rate", "momentum"}
    chosen = {"optimizer": "SGD", "SGD_learning_rate": 0.5, "momentum": 0.9, "num_epochs": 2}
    assert substitute(config, axes, chosen) == [
        {
            "optimizer": {"keras.optimizers.SGD": {"learning_rate": 0.5, "momentum": 0.9}},
            "train_loop": {"ktf.train.KerasTrainLoop": {"num_epochs": 2}},
        }
    ]
    assert config[0]["optimizer"]["$choice"][0] == {"keras.optimizers.Adam": {"learning_rate": RATE}}


def test_names_are_the_shortest_ends_of_paths() -> None:
    dense = {"keras.layers.Dense": {"units": {"$int": [1, 5]}}}
    config = [
        {
            "model": {"keras.Sequential": {"layers": [dense, dense]}},
            "optimizer": {"keras.optimizers.Adam": {"learning_rate": RATE}},
            "loss": {"$choice": ["mse", "mae"]},
        },
        {"optimizer": {"keras.optimizers.Adam": {"learning_rate": RATE, "beta_1": {"$uniform": [0.8, 0.99]}}}},
    ]
    assert list(axes_of(config).dimensions) == [
        "layers_0_Dense_units", "layers_1_Dense_units", "cycle_1_optimizer_Adam_learning_rate", "loss",
        "cycle_2_optimizer_Adam_learning_rate", "beta_1",
    ]  # fmt: skip


def test_axes_of_one_name_are_one_parameter() -> None:
    rate = {"$name": "rate", **RATE}
    config = [{"optimizer": {"a.B": {"x": rate, "y": RATE}}}, {"optimizer": {"a.B": {"x": rate}}}]
    axes = axes_of(config)
    assert list(axes.dimensions) == ["rate", "y"]
    assert substitute(config, axes, {"rate": 1, "y": 2}) == [
        {"optimizer": {"a.B": {"x": 1, "y": 2}}}, {"optimizer": {"a.B": {"x": 1}}},
    ]  # fmt: skip
    different = [{"a": rate, "b": {"$name": "rate", "$uniform": [0, 1]}, "c": {"$name": "1x", "$uniform": [0, 1]}}]
    _, problems = collect_axes(document_of(different))
    assert len(problems) == 2
    assert problems[0].startswith("cycle 1 > b: $name 'rate' is that of another axis")
    assert problems[1].startswith("cycle 1 > c: $name is '1x'; give a name such as lr")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, "a", None], (1, "a", None)),
        ([[3, 3], [5, 5]], ("[3, 3]", "[5, 5]")),
        ([{"a.Dense": {"units": 1}}, {"a.Dense": {"units": 2}}], ('{"a.Dense": {"units": 1}}', '{"a.Dense": {"units": 2}}')),
        ([{"a.Dense": {"units": 1, "activation": "relu", "name": "first"}}, {"a.Dense": {"units": 2}}, None], ("Dense 1", "Dense 2", "null")),
        ([{"a.Dense": {}}, {"b.Dense": {}}, "Dense"], ('{"a.Dense": {}}', '{"b.Dense": {}}', "Dense")),
    ],
)  # fmt: skip
def test_labels_tell_alternatives_apart(values: list[Any], labels: tuple[Any, ...]) -> None:
    config = [{"x": {"$choice": values}}]
    axes = axes_of(config)
    assert axes.dimensions["x"].values == labels  # type: ignore[union-attr]
    assert [substitute(config, axes, {"x": label})[0]["x"] for label in labels] == values


def test_choices_with_weights_and_conditions_that_do_not_hold() -> None:
    config = [
        {
            "a": {"$choice": {"values": [{"x.Y": {"z": {"$int": [1, 2]}}}, 3], "weights": [3, 1]}},
            "b": [{"$when": ["a", 3, {"$uniform": [0, 1]}]}, 4],
        }
    ]
    axes = axes_of(config)
    assert Space.parse(axes.dimensions)["a"].weights == (0.75, 0.25)  # type: ignore[attr-defined]
    name = next(name for name in axes.dimensions if name not in ("a", "z"))
    assert substitute(config, axes, {"a": "Y", "z": 2}) == [{"a": {"x.Y": {"z": 2}}, "b": [4]}]
    assert substitute(config, axes, {"a": 3, name: 0.5}) == [{"a": 3, "b": [0.5, 4]}]


def test_the_training_function_takes_the_axes() -> None:
    config = [{"a": RATE, "b": {"$choice": [1, 2]}}]
    training = Training(document_of(config), axes_of(config))
    assert list(inspect.signature(training).parameters) == ["a", "b"]
    assert b'"$loguniform"' in training.snapshot_files["config.json"]


def test_a_budget_is_what_the_algorithm_gives() -> None:
    config = [{"a": RATE, "train_loop": {"ktf.train.KerasTrainLoop": {"num_epochs": "${budget}"}}}]
    axes = axes_of(config)
    training = Training(document_of(config), axes)
    assert {name: parameter.default for name, parameter in inspect.signature(training).parameters.items()} == {
        "budget": inspect.Parameter.empty, "a": None,
    }  # fmt: skip
    assert substitute(config, axes, {"a": 1, "budget": 9}) == [
        {"a": 1, "train_loop": {"ktf.train.KerasTrainLoop": {"num_epochs": 9}}}
    ]
