"""NumPy's numbers are numbers in every option of every call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from hopslite import experiment, space, stop
from hopslite.distribute import Size
from hopslite.driver.declarations import declarations
from hopslite.driver.keywords import Options
from hopslite.driver.options import completed, problems
from hopslite.maggy import HyperparameterOptConfig, Searchspace
from hopslite.search import make
from hopslite.space import Space

SPACE = Space({"x": space.uniform(0, 1), "y": space.integer(1, 9)})


def train(x: float, y: int = 1, budget: float = 1) -> float:
    return x * y * budget


def numpys(given: Any) -> Any:
    """A number as NumPy has it."""
    kinds: dict[type, Callable[[Any], Any]] = {bool: np.bool_, int: np.int64, float: np.float32}
    return kinds[type(given)](given) if type(given) in kinds else given


def test_the_options_of_all_verbs() -> None:
    types = {name: str(get_args(annotation)[0]) for name, annotation in Options.__annotations__.items()}
    numbers = [name for name in declarations(Options) if "int" in types[name] or "float" in types[name]]
    flags = [name for name in declarations(Options) if "bool" in types[name]]
    assert (len(numbers), len(flags)) == (20, 4)
    options = completed(
        {**{name: np.int64(3) for name in numbers}, **{name: np.bool_(True) for name in flags}, "resume": "x"}
    )
    assert problems(options) == []
    assert {type(options[name]) for name in (*numbers, *flags)} == {int, bool}
    assert completed({"timeout": np.float32(2.5)})["timeout"] == 2.5
    assert completed({"seed": np.array(7)})["seed"] == 7
    assert type(Size(np.int32(2), np.int64(1), np.bool_(True)).workers) is int


def test_options_that_are_wrong_are_so_from_numpy_too() -> None:
    given = {
        "seed": np.float64(1.5),
        "timeout": np.float64("nan"),
        "max_failures": np.int64(-1),
        "parallelism": np.True_,
    }
    assert len(problems(completed(given))) == len(given)


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        (experiment.random_search, {"samples": 2}),
        (experiment.grid_search, {}),
        (experiment.differential_evolution, {"generations": 1, "population": 4, "mutation": 0.5, "crossover": 1.0}),
        (experiment.search, {"num_trials": 2, "algorithm": "tpe", "algorithm_options": {"n_startup_trials": 1}}),
        (experiment.search, {"algorithm": "hyperband", "algorithm_options": {"min_budget": 1, "max_budget": 4.0}}),
        (experiment.search, {"algorithm": "asha", "algorithm_options": {"reduction_factor": 2, "max_budget": 4}}),
    ],
)
def test_verbs(verb: Callable[..., Any], args: dict[str, Any], project: str) -> None:
    values = {"x": [0.0, 1.0]}
    plain = verb(train, values, seed=3, pool="inline", display=False, **args)
    nested = {name: numpys(value) for name, value in args.items()}
    if "algorithm_options" in nested:
        nested["algorithm_options"] = {name: numpys(value) for name, value in nested["algorithm_options"].items()}
    run = verb(
        train, values, seed=np.uint8(3), timeout=np.float32(600), pool="inline", display=np.bool_(False), **nested
    )
    assert [trial.params for trial in run.trials] == [trial.params for trial in plain.trials]
    assert run.seed == 3
    assert type(run.seed) is int


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (stop.Median, {"interval": 2, "min_trials": 3, "warmup_steps": 1.5}),
        (stop.Asha, {"min_steps": 2, "reduction_factor": 3, "max_steps": 8}),
        (stop.Patience, {"reports": 2, "min_delta": 0.5}),
        (stop.Threshold, {"lower": 0.25, "upper": 2, "nan": False}),
    ],
)
def test_stoppers(kind: type, given: dict[str, Any]) -> None:
    assert repr(kind(**{name: numpys(value) for name, value in given.items()})) == repr(kind(**given))


def test_an_algorithm_of_the_users_gets_plain_numbers() -> None:
    options: dict[str, Any] = {}

    def algorithm(space: Space, direction: Any, seed: int, num_trials: int, **own: Any) -> Any:
        options.update(own, seed=seed, num_trials=num_trials)
        return make("random", space, direction=direction, seed=seed)

    make(algorithm, SPACE, direction="MAX", seed=np.int64(1), num_trials=np.int64(2), options={"size": np.int64(3)})
    assert {type(value) for value in options.values()} == {int}


def test_maggys_configuration() -> None:
    config = HyperparameterOptConfig(np.int64(3), "randomsearch", Searchspace(x=("DOUBLE", [0, 1])), es_min=np.int64(2))
    assert dataclasses.asdict(config)["num_trials"] == 3
    assert type(config.es_min) is int
    assert len(Searchspace(x=("DOUBLE", np.array([0, 1]))).get_random_parameter_values(np.int64(2))) == 2
