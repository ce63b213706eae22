"""Optuna's samplers by name: their construction and the problems with their options.

Optuna is imported here and nowhere else, and only when a sampler is used.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import inspect
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.optuna_study import new_study
from ..core.types import Direction
from ..errors import InvalidArguments, MissingExtra
from ..space.distributions import Distribution
from ._base import MULTI_OBJECTIVE, unknown_options, whole_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

__all__ = [
    "NAMES",
    "NamedSampler",
    "STATELESS",
    "check_learns_from_others",
    "is_sampler",
    "objective_problems",
    "one_thread",
    "optuna_distribution",
    "package",
    "sampler_problems",
    "seed_of",
]

NAMES = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
}
EVOLUTIONARY = {"CmaEsSampler": "CMA-ES", "NSGAIISampler": "NSGA-II", "NSGAIIISampler": "NSGA-III"}
PROBES = 3  # trials after which a sampler has refused several metrics, if it does
NEEDS = {"gp": ("torch", "pip install torch"), "cmaes": ("cmaes", 'pip install "hopslite[optuna]"')}
STATELESS = ("TPESampler", "GPSampler", "RandomSampler")  # all their state is in the study

_constructing = threading.Lock()  # `catch_warnings` affects all threads


def is_sampler(sampler: Any) -> bool:
    """True for an Optuna sampler, also of a subclass; Optuna is not imported for this check."""
    optuna = sys.modules.get("optuna")
    return optuna is not None and isinstance(sampler, optuna.samplers.BaseSampler)


def sampler_problems(name: str, options: Mapping[str, Any]) -> list[str]:
    """Problems with the options of a named sampler, whatever the space."""
    kind = getattr(package(name).samplers, NAMES[name])
    allowed = _option_names(kind)
    problems = unknown_options(options, allowed)
    arguments = _with_defaults(name, kind, {key: value for key, value in options.items() if key in allowed}, True)
    try:
        with _silent():
            kind(seed=0, **arguments)
    except (TypeError, ValueError) as error:
        problems.append(str(error))
    return problems + whole_number("n_startup_trials", _startup_trials(kind, arguments), 0)


def objective_problems(sampler: Any, options: Mapping[str, Any], count: int) -> list[str]:
    """The problem of a sampler that cannot optimise `count` metrics, which shows when it is used."""
    named = isinstance(sampler, str)
    name = sampler if named else type(sampler).__name__
    optuna = package(name)
    used = NamedSampler(name, options, conditional=False).sampler(0, 0) if named else copy.deepcopy(sampler)
    try:
        with _silent():
            _probe(optuna, copy.deepcopy(used), count)
    except ValueError as error:
        try:
            with _silent():
                _probe(optuna, used, 1)
        except ValueError:  # it does not take this parameter, so that nothing is known
            return []
        return [f"{name} does not optimise several metrics ({error}); use one of {', '.join(MULTI_OBJECTIVE)}"]
    return []


def check_learns_from_others(sampler: Any) -> None:
    """Check that a sampler can learn from trials that it has not suggested.

    Raises:
        InvalidArguments: it evolves a population of its own suggestions.
    """
    kind = type(sampler).__name__
    if kind in EVOLUTIONARY:
        problem = "learns only from its own suggestions, so that it has no use for warm_start; tpe and gp have"
        raise InvalidArguments("warm_start", [f"{EVOLUTIONARY[kind]} {problem}"])


def _probe(optuna: Any, sampler: Any, count: int) -> None:
    study = new_study((Direction.MIN,) * count, sampler)
    for number in range(PROBES):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0.0, 1.0)})
        study.tell(trial, [float(number)] * count)


class NamedSampler:
    """Factory of a named sampler with valid options.

    Args:
        conditional: whether the space has conditional parameters.
    """

    def __init__(self, name: str, options: Mapping[str, Any], conditional: bool) -> None:
        optuna = package(name)
        self._kind = getattr(optuna.samplers, NAMES[name])
        self._arguments = _with_defaults(name, self._kind, options, conditional)
        self._startup_trials = _startup_trials(self._kind, self._arguments)
        self.is_stateless = NAMES[name] in STATELESS
        with _constructing, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._kind(seed=0, **self._arguments)
        self._warns = bool(caught)
        for warning in caught:
            if not issubclass(warning.category, optuna.exceptions.ExperimentalWarning):
                warnings.warn(warning.message, warning.category, stacklevel=4)

    def sampler(self, seed: int, running: int) -> BaseSampler:
        """New sampler object, for a study with `running` trials under way."""
        arguments = self._arguments
        if (
            self.is_stateless
        ):  # Optuna counts only trials that have ended; with many running trials, too many would be random
            start = self._startup_trials
            arguments = {**arguments, "n_startup_trials": max((start + 1) // 2, start - running)}
        with _silent() if self._warns else contextlib.nullcontext():
            made: BaseSampler = self._kind(seed=seed, **arguments)
            return made


def optuna_distribution(distribution: Distribution) -> BaseDistribution:
    """The same distribution in Optuna's terms."""
    from optuna import distributions

    if distribution.type == "categorical":
        return distributions.CategoricalDistribution(distribution.choices)
    low: Any = distribution.low
    high: Any = distribution.high
    if distribution.type == "int":
        return distributions.IntDistribution(low, high, log=distribution.log, step=int(distribution.step or 1))
    return distributions.FloatDistribution(low, high, log=distribution.log, step=distribution.step)


def seed_of(*entropy: int) -> int:
    """32-bit seed for Optuna, derived from all of the numbers."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _option_names(kind: Any) -> list[str]:
    return [option for option in inspect.signature(kind).parameters if option != "seed"]


def _with_defaults(name: str, kind: Any, options: Mapping[str, Any], conditional: bool) -> dict[str, Any]:
    """Arguments of a sampler's class: the options, and our defaults where this version of Optuna has them."""
    defaults: dict[str, Any] = {"warn_independent_sampling": False}
    if name == "tpe":
        group = conditional and options.get("multivariate") is not False
        defaults = {"multivariate": True, "constant_liar": True, "group": group}
    elif name == "qmc":
        defaults["scramble"] = True
    allowed = _option_names(kind)
    return {key: value for key, value in defaults.items() if key in allowed} | dict(options)


def _startup_trials(kind: Any, arguments: Mapping[str, Any]) -> Any:
    default = getattr(inspect.signature(kind).parameters.get("n_startup_trials"), "default", 0)
    return arguments.get("n_startup_trials", default)


def package(name: str) -> Any:
    """The package `optuna`, after a check of the packages that the sampler needs."""
    try:
        with _silent():  # warnings about progress bars in notebooks, which are not used
            import optuna
    except ImportError as error:
        message = f'the algorithm {name!r} needs Optuna, which is not installed: pip install "hopslite[optuna]"'
        raise MissingExtra(message) from error
    needed, install = NEEDS.get(name, ("optuna", ""))
    if importlib.util.find_spec(needed) is None:
        raise MissingExtra(f"the algorithm {name!r} needs the package {needed!r}, which is not installed: {install}")
    return optuna


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress warnings that users cannot act on: about experimental features, about missing packages."""
    with _constructing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch in one thread: with small matrices, several threads wait ten times as long as they work."""
    torch = importlib.import_module("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
