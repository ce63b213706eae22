"""From what a user names to a search."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from .. import _plugins
from .._trial import Direction
from ..errors import InvalidArguments
from ..space import Space
from . import Search
from ._common import check_options, whole_number
from .optuna import NAMES, Optuna, is_sampler

__all__ = ["known", "make"]

WHERE = "search"
METHODS = ("ask", "adopt", "tell", "notes")
UNNAMED = (
    "fixed",
    "optuna",
)  # plugins that nobody asks for by name: a list of combinations, and the home of four names
GIVEN = ("space", "direction", "seed", "num_trials")
DEFAULT_TRIALS = 10
EVALUATIONS_PER_MEMBER = 50  # of differential evolution's population; benchmarks/de_quality.py has the same


def known() -> list[str]:
    """The names of all algorithms, sorted."""
    return sorted({*_plugins.names("search"), *NAMES} - set(UNNAMED))


def make(
    algorithm: Any, space: Space, *, direction: Direction, seed: int, num_trials: int | None, options: dict[str, Any]
) -> Search:
    """See `search.make`."""
    if num_trials is not None and (problems := whole_number("num_trials", num_trials, 1)):
        raise InvalidArguments(WHERE, problems)
    arguments: dict[str, Any] = {"direction": direction, "seed": seed, "num_trials": num_trials}
    if isinstance(algorithm, str):
        name = algorithm.strip().lower()
        if name in NAMES:
            return _optuna(name, space, options, arguments)
        return _called(_factory(name), name, space, options, arguments)
    if is_sampler(algorithm):
        return _optuna(algorithm, space, options, arguments)
    if not callable(algorithm) or (isinstance(algorithm, type) and hasattr(algorithm, "sample_relative")):
        hint = "an object of it, such as TPESampler(), " if isinstance(algorithm, type) else ""
        raise InvalidArguments(
            WHERE,
            [
                f"algorithm={algorithm!r:.80}: give {hint}a known name ({', '.join(known())}), an Optuna sampler, or a "
                "class or function that makes a search"
            ],
        )
    return _called(algorithm, getattr(algorithm, "__name__", "the algorithm"), space, options, arguments)


def _optuna(sampler: Any, space: Space, options: dict[str, Any], arguments: dict[str, Any]) -> Search:
    arguments["num_trials"] = arguments["num_trials"] or DEFAULT_TRIALS
    return Optuna(space, sampler=sampler, options=options, **arguments)


def _factory(name: str) -> Callable[..., Search]:
    own: dict[str, Callable[..., Search]] = {"random": _random, "grid": _grid, "differential_evolution": _evolution}
    names = known()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidArguments(WHERE, [f"no algorithm named {name!r}; known: {', '.join(names)}.{hint}"])
    factory: Callable[..., Search] = own.get(name) or _plugins.load("search", name)
    return factory


def _called(
    factory: Callable[..., Search], name: str, space: Space, options: dict[str, Any], arguments: dict[str, Any]
) -> Search:
    parameters = inspect.signature(factory).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        allowed = [parameter for parameter in parameters if parameter not in GIVEN]
        check_options(name, options, allowed)
    try:
        inspect.signature(factory).bind(space, **arguments, **options)
    except TypeError as error:
        called = ", ".join(f"{argument}=…" for argument in (*arguments, *options))
        raise InvalidArguments(WHERE, [f"{name}: {error}; it is called as {name}(space, {called})"]) from error
    search = factory(space, **arguments, **options)
    missing = [method for method in METHODS if not callable(getattr(search, method, None))]
    missing += [value for value in ("total", "done") if not hasattr(search, value)]
    if missing:
        raise InvalidArguments(WHERE, [f"{name} made {search!r:.80}, which has no {', '.join(missing)}"])
    return search


def _random(space: Space, *, direction: Direction, seed: int, num_trials: int | None) -> Search:
    from .random import Random

    return Random(space, direction=direction, seed=seed, samples=num_trials or DEFAULT_TRIALS)


def _grid(space: Space, *, direction: Direction, seed: int, num_trials: int | None) -> Search:
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
        population = max(6, (num_trials or 0) // EVALUATIONS_PER_MEMBER)
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
