"""A keyword that there is not names the one that was meant, also where other libraries call it otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hopslite import experiment
from hopslite.core.suggestions import nearest
from hopslite.errors import InvalidArguments


def train(x: float) -> float:
    return x


@pytest.mark.parametrize(
    ("verb", "name", "meant"),
    [
        *((experiment.search, name, "num_trials") for name in ("samples", "n_trials", "max_evals", "num_samples")),
        *((experiment.random_search, name, "samples") for name in ("num_trials", "n_iter", "sampels")),
        (experiment.search, "metric", "optimization_key"),
        (experiment.launch, "metric", "metric_key"),
        (experiment.search, "mode", "direction"),
        (experiment.search, "search_alg", "algorithm"),
        (experiment.grid_search, "n_jobs", "parallelism"),
        (experiment.grid_search, "random_state", "seed"),
        (experiment.differential_evolution, "popsize", "population"),
        (experiment.search, "pruner", "stopper"),
        (experiment.mirrored, "num_gpus", "gpus_per_worker"),
        (experiment.resume, "n_jobs", "parallelism"),
        (experiment.search, "max_restart", "max_restarts"),
    ],
)
def test_of_a_verb(verb: Callable[..., Any], name: str, meant: str, project: str) -> None:
    space = {} if verb in (experiment.mirrored, experiment.resume) else {"x": [0.0, 1.0]}
    args = ("20260101-000000-000-000000",) if verb is experiment.resume else (train, space) if space else (train,)
    with pytest.raises(InvalidArguments) as caught:
        verb(*args, **{name: 1})
    assert f"unknown keyword {name}; did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize("name", ["samples", "n_trials", "num_trials"])
def test_a_number_of_trials_where_it_follows_from_the_grid(name: str, project: str) -> None:
    with pytest.raises(InvalidArguments, match=f"unknown keyword {name}; the number of trials follows .* leave it out"):
        experiment.grid_search(train, {"x": [1]}, **{name: 3})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"pool": "sprak"}, "Did you mean 'spark'?"),
        ({"strategy": "trch", "workers_per_trial": 2}, "Did you mean 'torch'?"),
        ({"stopper": "medain"}, "Did you mean 'median'?"),
        ({"algorithm": "tpee"}, "Did you mean 'tpe'?"),
    ],
)
def test_names_of_implementations(options: dict[str, Any], hint: str, project: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        experiment.search(train, {"x": [0.0, 1.0]}, **options)
    assert hint in str(caught.value)


def test_one_that_takes_the_place_of_what_is_needed(project: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        experiment.random_search(train, space={"x": [0.0, 1.0]}, n_trials=3)  # type: ignore[call-arg]
    assert list(caught.value.problems) == [
        "missing a required argument: 'boundary_dict'",
        "unknown keyword space; did you mean boundary_dict?",
        "unknown keyword n_trials; did you mean samples?",
    ]
    with pytest.raises(InvalidArguments, match="too many positional arguments"):
        experiment.grid_search(train, {"x": [1]}, "max", "name", False, None, "metric", 3)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("algorithm", "name", "hint"),
    [
        ("hyperband", "eta", "Did you mean 'reduction_factor'?"),
        ("hyperband", "max_t", "Did you mean 'max_budget'?"),
        ("asha", "grace_period", "Did you mean 'min_budget'?"),
        ("differential_evolution", "pop_size", "Did you mean 'population'?"),
        ("random", "samples", "Did you mean num_trials=, an argument of the call itself?"),
        ("tpe", "n_trials", "Did you mean num_trials=, an argument of the call itself?"),
        ("tpe", "n_initial_points", "Did you mean 'n_startup_trials'?"),
    ],
)
def test_of_an_algorithm(algorithm: str, name: str, hint: str, project: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        experiment.search(train, {"x": [0.0, 1.0]}, algorithm, algorithm_options={name: 3})
    assert hint in str(caught.value)


def test_nothing_near() -> None:
    assert nearest("zzz", ["alpha"]) is None
