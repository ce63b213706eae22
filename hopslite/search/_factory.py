"""Creation of a search from a name, a sampler, a class or a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..core import plugins
from ..core.objectives import Directions
from ..core.plain_values import plain
from ..core.suggestions import did_you_mean
from ..core.types import Direction
from ..errors import InvalidArguments
from ..space import Space
from . import Search, optuna
from ._base import MULTI_OBJECTIVE, unknown_options, whole_number
from ._optuna_samplers import NAMES, is_sampler

__all__ = ["known", "make", "option_problems", "passes_budget"]

WHERE = "search"
METHODS = ("ask", "adopt", "tell", "notes")
UNNAMED = ("fixed", "optuna")  # plugins that are not called by name: a list of combinations, and a module of four names
CALL_ARGUMENTS = ("space", "direction", "seed", "num_trials")  # of every factory; the others are its options
DEFAULT_TRIALS = 10
FEWEST_MEMBERS, MEMBERS = 6, 10  # of differential evolution with few trials, and with a hundred
TRIALS_PER_MEMBER = 10  # between the two: benchmarks/README.md, `recorded.py`
EVALUATIONS_PER_MEMBER = 50  # beyond; the same number as in benchmarks/de_quality.py


def known() -> list[str]:
    """The names of all algorithms, sorted."""
    return sorted({*plugins.names("search"), *NAMES} - set(UNNAMED))


def make(
    algorithm: Any, space: Space, *, direction: Directions, seed: int, num_trials: int | None, options: dict[str, Any]
) -> Search:
    """See `search.make`."""
    if problems := option_problems(algorithm, num_trials, options):
        raise InvalidArguments(_label(algorithm), problems)
    num_trials, seed = plain(num_trials), plain(seed)
    options = {key: plain(value) for key, value in options.items()}
    arguments: dict[str, Any] = {"direction": direction, "seed": seed, "num_trials": num_trials}
    if (sampler := _sampler(algorithm)) is not None:
        arguments["num_trials"] = num_trials or DEFAULT_TRIALS
        return optuna.Optuna(space, sampler=sampler, options=options, **arguments)
    factory = _factory(algorithm)
    if isinstance(direction, tuple) and not getattr(factory, "multi_objective", False):
        several = (
            "" if _name(algorithm) else ". One of your own says that it can with an attribute multi_objective = True"
        )
        problem = f"{_label(algorithm)} does not optimise several metrics; use one of {', '.join(MULTI_OBJECTIVE)}"
        raise InvalidArguments(_label(algorithm), [f"{problem}, or a sampler object of Optuna's that can{several}"])
    search = factory(space, **arguments, **options)
    missing = [method for method in METHODS if not callable(getattr(search, method, None))]
    missing += [value for value in ("total", "done") if not hasattr(search, value)]
    if missing:
        raise InvalidArguments(WHERE, [f"{_label(algorithm)} made {search!r:.80}, which has no {', '.join(missing)}"])
    return search


def option_problems(algorithm: Any, num_trials: Any, options: Any) -> list[str]:
    """Problems with an algorithm, its options and the number of trials, whatever the space."""
    problems = [] if num_trials is None else whole_number("num_trials", plain(num_trials), 1)
    if not isinstance(options, Mapping):
        problems.append(f"algorithm_options={options!r:.80}; give a dict of the algorithm's keywords")
        options = {}
    options = {key: plain(value) for key, value in options.items()}
    if (sampler := _sampler(algorithm)) is not None:
        return problems + optuna.option_problems(sampler, options)
    try:
        factory = _factory(algorithm)
    except InvalidArguments as error:
        return problems + list(error.problems)
    problems += _signature_problems(factory, _label(algorithm), options)
    return problems + _value_problems(algorithm, factory, options)


def passes_budget(algorithm: Any) -> bool:
    """True for an algorithm that passes the training function a budget."""
    return _sampler(algorithm) is None and getattr(_factory(algorithm), "budget", None) is not None


def _name(algorithm: Any) -> str | None:
    return algorithm.strip().lower() if isinstance(algorithm, str) else None


def _sampler(algorithm: Any) -> Any:
    """The name or object of an Optuna sampler; None for other algorithms."""
    if (name := _name(algorithm)) in NAMES:
        return name
    return algorithm if is_sampler(algorithm) else None


def _label(algorithm: Any) -> str:
    """Name of an algorithm in messages."""
    name = _name(algorithm)
    if name is not None:
        return name if name in known() else WHERE
    return type(algorithm).__name__ if is_sampler(algorithm) else getattr(algorithm, "__name__", WHERE)


def _factory(algorithm: Any) -> Callable[..., Search]:
    """The class or function that makes a search.

    Raises:
        InvalidArguments: there is none.
    """
    name, names = _name(algorithm), known()
    if name is None:
        if not callable(algorithm) or (isinstance(algorithm, type) and hasattr(algorithm, "sample_relative")):
            hint = "an object of it, such as TPESampler(), " if isinstance(algorithm, type) else ""
            raise InvalidArguments(
                WHERE,
                [
                    f"algorithm={algorithm!r:.80}: give {hint}a known name ({', '.join(names)}), an Optuna sampler, "
                    "or a class or function that makes a search"
                ],
            )
        factory: Callable[..., Search] = algorithm
        return factory
    if name not in names:
        hint = did_you_mean(name, names, start=" Did you mean")
        raise InvalidArguments(WHERE, [f"no algorithm named {name!r}; known: {', '.join(names)}.{hint}"])
    own: dict[str, Callable[..., Search]] = {"random": _random, "grid": _grid, "differential_evolution": _evolution}
    return own.get(name) or plugins.load("search", name)


def _signature_problems(factory: Callable[..., Search], label: str, options: dict[str, Any]) -> list[str]:
    """Problems of options that the factory does not take, or needs and does not get."""
    signature = inspect.signature(factory)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        allowed = [name for name in signature.parameters if name not in CALL_ARGUMENTS]
        if unknown := unknown_options(options, allowed):
            return unknown
    keywords = dict.fromkeys(CALL_ARGUMENTS[1:]) | options
    try:
        signature.bind(None, **keywords)
    except TypeError as error:
        call = ", ".join(f"{keyword}=…" for keyword in keywords)
        return [f"{error}; it is called as {label}(space, {call})"]
    return []


def _value_problems(algorithm: Any, factory: Callable[..., Search], options: dict[str, Any]) -> list[str]:
    """Problems of option values, for named algorithms with a function `option_problems`."""
    name = _name(algorithm)
    check = getattr(plugins.load("search", name), "option_problems", None) if name is not None else None
    if check is None:
        return []
    checked = inspect.signature(check).parameters
    defaults = inspect.signature(factory).parameters
    values = {key: value for key, value in options.items() if key in checked and key in defaults}
    return list(check(**{key: value for key, value in values.items() if value is not defaults[key].default}))


def _random(space: Space, *, direction: Directions, seed: int, num_trials: int | None) -> Search:
    from .random import Random

    return Random(space, direction=direction, seed=seed, samples=num_trials or DEFAULT_TRIALS)


def _grid(space: Space, *, direction: Directions, seed: int, num_trials: int | None) -> Search:
    from .grid import Grid

    search = Grid(space, direction=direction, seed=seed)
    if num_trials is not None and num_trials < search.total:
        raise InvalidArguments(
            WHERE,
            [
                f"a grid tries all {search.total} combinations, given num_trials={num_trials}; leave num_trials out "
                "(None), make the grid smaller, or use algorithm='random' to try some of them"
            ],
        )
    return search


_random.multi_objective = _grid.multi_objective = True  # type: ignore[attr-defined]


def _evolution(
    space: Space,
    *,
    direction: Direction,
    seed: int,
    num_trials: int | None,
    population: int | None = None,
    mutation: float = 0.5,
    crossover: float = 0.7,
    synchronous: bool = False,
    initial: str = "lhs",
) -> Search:
    from .differential_evolution import DifferentialEvolution

    if population is None:
        trials = num_trials or 0
        population = max(FEWEST_MEMBERS, min(trials // TRIALS_PER_MEMBER, MEMBERS), trials // EVALUATIONS_PER_MEMBER)
    return DifferentialEvolution(
        space,
        direction=direction,
        seed=seed,
        num_trials=num_trials,
        population=population,
        mutation=mutation,
        crossover=crossover,
        synchronous=synchronous,
        initial=initial,
    )
