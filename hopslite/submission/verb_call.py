"""Call of a verb of `hopslite.experiment` for a job."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core import plugins
from ..core.redaction import redact
from ..core.types import BUDGET
from ..errors import InvalidArguments
from ..pool._spark_session import open_session
from ..programs.command import Command, parameter_name
from ..search._factory import known, passes_budget
from ..space import Space, When, choice
from ..space.argument_text import Word, split_arguments
from ..space.notation import Axis
from .options import OPTIONS

__all__ = [
    "LazySession",
    "VerbCall",
    "algorithm_keywords",
    "budget_of",
    "is_conditional",
    "shared_keywords",
    "verb_call",
]

OF_SEARCHES = ("algorithm", "num_trials")  # without them the combinations of all values are tried


class VerbCall(NamedTuple):
    """Name of a verb, and its arguments."""

    verb: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LazySession:
    """Spark session that is opened when the run needs it, which may wait before that."""

    master: str

    def __call__(self) -> Any:
        return open_session(master=self.master)


def verb_call(project: str, job: Mapping[str, Any], command: Command) -> VerbCall:
    """Call that runs a job, with the URL of its project.

    Raises:
        InvalidArguments: an algorithm, a stopper or their options cannot be.
    """
    keywords = shared_keywords(job) | {"project": project}
    params = job["params"]
    if not job.get("metric"):
        lists = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
        combinations = list(itertools.product(*lists.values()))
        columns = {name: [combination[index] for combination in combinations] for index, name in enumerate(lists)}
        keywords.pop("stop_grace", None)  # the command has it
        return VerbCall("launch", (command, columns or None), keywords)
    direction = keywords.pop("direction", "max")
    if is_search(job):
        space = {name: _dimension(value) for name, value in params.items()}
        keywords |= algorithm_keywords(job)
        return VerbCall("search", (command, space), {**keywords, "direction": direction})
    grid = {name: _grid_values(value) for name, value in params.items()}
    return VerbCall("grid_search", (command, grid, direction), keywords)


def is_search(job: Mapping[str, Any]) -> bool:
    """True if combinations are chosen by an algorithm; otherwise all are tried."""
    if any(key in job for key in OF_SEARCHES):
        return True
    axes = {name: value.dimension for name, value in job["params"].items() if isinstance(value, Axis)}
    return any(_innermost(axis).size is None for axis in axes.values())


def is_conditional(value: Any) -> bool:
    """True for a parameter that some trials do not have."""
    return isinstance(value, Axis) and isinstance(value.dimension, When)


def budget_of(job: Mapping[str, Any]) -> tuple[str, ...]:
    """Name of the budget, one more parameter of the program, if the job's algorithm has budgets."""
    name = _name_and_options("algorithm", job["algorithm"])[0] if "algorithm" in job else None
    return (BUDGET,) if name in known() and passes_budget(name) else ()


def shared_keywords(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job's keywords of all verbs."""
    keywords = {
        option.keyword: job[key]
        for key, option in OPTIONS.items()
        if option.keyword is not None and job.get(key) is not None and key not in (*OF_SEARCHES, "stopper", "master")
    }
    keywords["tags"] = {"command": redact(job["command"]), **{key: str(value) for key, value in job["tags"].items()}}
    keywords["inputs"] = {name: item.source for name, item in job["inputs"].items()} or None
    if job.get("stopper") is not None:
        keywords["stopper"] = _stopper(job["stopper"])
    if "initial_params" in keywords:
        points = keywords["initial_params"]
        points = points if isinstance(points, list) else [points]
        keywords["initial_params"] = [{parameter_name(k): v for k, v in point.items()} for point in points]
    if job.get("master") is not None:
        keywords["spark"] = LazySession(job["master"])
    return {name: value for name, value in keywords.items() if value is not None}


def _dimension(value: Any) -> Any:
    """Dimension of a search space; a single value is one that has no other."""
    if isinstance(value, Axis):
        return value.dimension
    return choice(value if isinstance(value, list) else [value])


def _grid_values(value: Any) -> Any:
    if isinstance(value, Axis):
        return value.dimension
    return value if isinstance(value, list) else [value]


def _innermost(axis: Any) -> Any:
    dimension = axis.dimension if isinstance(axis, When) else axis
    return Space.parse({"x": dimension})["x"] if isinstance(dimension, list) else dimension


def algorithm_keywords(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job's algorithm with its options, and the number of trials."""
    name, options = _name_and_options("algorithm", job.get("algorithm", "random"))
    keywords: dict[str, Any] = {"algorithm": name}
    if "num_trials" in job:
        keywords["num_trials"] = job["num_trials"]
    return {**keywords, "algorithm_options": options} if options else keywords


def _stopper(value: Any) -> Any:
    """Stopper by its name, or with options as an object.

    Raises:
        InvalidArguments: there is no such stopper, or its options cannot be.
    """
    name, options = _name_and_options("stopper", value)
    names = plugins.names("stop")
    if not options or name not in names:
        return name
    try:
        return plugins.load("stop", name)(**options)
    except TypeError as error:
        raise InvalidArguments("stopper", [f"stopper {name}: {str(error).rpartition('() ')[2]}"]) from None


def _name_and_options(key: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Name and options of `median`, `median(min_trials=3)` or `{median: {min_trials: 3}}`.

    Raises:
        InvalidArguments: an option has no name.
    """
    if isinstance(value, dict):
        [(name, options)] = value.items()
        return str(name), dict(options)
    name, bracket, inside = value.strip().partition("(")
    if not bracket:
        return name, {}
    if not inside.endswith(")"):
        raise InvalidArguments(key, [f"{key} {value}: ) is missing at the end"])
    options = {}
    for word in split_arguments(inside[:-1], value):
        option, equals, text = word.partition("=")
        if not equals or not option.strip().isidentifier():
            raise InvalidArguments(key, [f"{key} {value}: {word.strip()!r} has no name; write such as name=value"])
        options[option.strip()] = Word(text).read()
    return name.strip(), options
