"""The keywords that every verb takes, and the checks of a call: all problems at once, before any work starts."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, TypeGuard, TypeVar

from ._plugins import load
from ._plugins import names as plugin_names
from ._trial import Direction
from .distribute import Layout, Size
from .errors import InvalidArguments, StoreError

__all__ = ["Call", "Options", "RunOptions", "TrialOptions", "positive", "whole", "with_options"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class RunOptions(TypedDict, total=False):
    """For type checkers and signatures: what all verbs take, by the same names as `Options`."""

    seed: int | None
    trial_timeout: float | None
    timeout: float | None
    pool: Any
    spark: Any
    project: str | os.PathLike[str] | None
    tracking_uri: str | None
    tags: dict[str, str] | None
    verbose: bool
    display: Any


class TrialOptions(RunOptions, total=False):
    """What the verbs take besides that run any number of trials."""

    parallelism: int | None
    cpus_per_trial: int | None
    gpus_per_trial: int | None
    strategy: str | None
    workers_per_trial: int | None
    max_failures: int | None
    max_retries: int
    isolation: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The keywords that every verb takes; `experiment.launch` says what they mean."""

    parallelism: int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: int | None = None
    strategy: str | None = None
    workers_per_trial: int | None = None
    seed: int | None = None
    trial_timeout: float | None = None
    timeout: float | None = None
    max_failures: int | None = None
    max_retries: int = 2
    isolation: str = "process"
    pool: Any = "spark"
    spark: Any = None
    project: str | os.PathLike[str] | None = None
    tracking_uri: str | None = None
    tags: dict[str, str] | None = None
    verbose: bool = False
    display: Any = True

    def problems(self) -> list[str]:
        found = []
        least_values = {"parallelism": 1, "cpus_per_trial": 1, "gpus_per_trial": 0, "workers_per_trial": 1, "seed": 0}
        for name, least in least_values.items():
            found += whole(name, getattr(self, name), least)
        found += whole("max_failures", self.max_failures, 0)
        found += whole("max_retries", self.max_retries, 0, optional=False)
        found += positive("trial_timeout", self.trial_timeout) + positive("timeout", self.timeout)
        if self.isolation not in ("process", "none"):
            found.append(f"isolation={self.isolation!r}; allowed are 'process' and 'none'")
        found += _pool_problems(self.pool)
        if self.trial_timeout is not None and (self.isolation == "none" or self.pool == "inline"):
            found.append("trial_timeout works only with isolation='process' on Spark, where a trial can be killed")
        for name in ("tracking_uri", "project"):
            value = getattr(self, name)
            if value is not None and not _is_path(value):
                found.append(f"{name}={value!r}; give a path or URL as text")
        if self.tags is not None and not _is_text_dict(self.tags):
            found.append(f"tags={self.tags!r}; give a dict of text by text")
        if not isinstance(self.display, bool) and not _offers(self.display, ("start", "update", "line", "close")):
            found.append(f"display={self.display!r}; give True, False, or an object with start, update, line and close")
        return found

    @property
    def place(self) -> str | None:
        """`project` as text; None when it is not given or cannot be one."""
        return os.fspath(self.project) if _is_path(self.project) else None


def _pool_problems(pool: Any) -> list[str]:
    methods = ("start", "want", "submit", "wait", "kill", "close")
    if isinstance(pool, str) and pool not in plugin_names("pool"):
        return [f"pool={pool!r}; known pools are {', '.join(plugin_names('pool'))}"]
    if not isinstance(pool, str) and not _offers(pool, methods):
        return [f"pool={pool!r}; give a pool's name, or an object with {', '.join(methods[:-1])} and {methods[-1]}"]
    return []


def _offers(value: Any, methods: Iterable[str]) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _is_path(value: Any) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str) and bool(os.fspath(value))


def whole(name: str, value: Any, least: int, optional: bool = True) -> list[str]:
    """Why this is no whole number of at least so much; nothing when it is."""
    if value is None and optional:
        return []
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return []
    return [f"{name}={value!r}; give a whole number of at least {least}"]


def positive(name: str, value: Any) -> list[str]:
    """Why this is no time limit; nothing when it is."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None or (number and value > 0 and math.isfinite(value)):
        return []
    return [f"{name}={value!r}; give a number of seconds above 0, or None for no limit"]


def _is_text_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for item in value.items() for part in item)


def with_options(kind: type) -> Callable[[F], F]:
    """Show the keywords of a kind of options in a verb's signature, for `help()` and notebooks."""

    def decorate(verb: F) -> F:
        own = inspect.signature(verb)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shared = [p for name, p in inspect.signature(Options).parameters.items() if name in kind.__annotations__]
        verb.__signature__ = own.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
        return verb

    return decorate


class Call:
    """The checks of one call; problems gather until `settle` raises them together."""

    def __init__(self, verb: str, train_fn: Any, name: Any, options: dict[str, Any]) -> None:
        self.verb = verb
        self.problems: list[str] = []
        self.function = getattr(train_fn, "__name__", type(train_fn).__name__)
        self.train_fn = train_fn
        if not callable(train_fn):
            self.problems.append(f"train_fn is {train_fn!r}, which cannot be called; give the training function itself")
        self.problems += _name_problems(name)
        self.options = self._options(options)
        self.problems += self.options.problems()
        self.seed = self.options.seed if isinstance(self.options.seed, int) else secrets.randbelow(2**31)

    def _options(self, given: dict[str, Any]) -> Options:
        known = {field.name for field in dataclasses.fields(Options)}
        for name in given.keys() - known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            self.problems.append(f"unknown keyword {name}; {hint}")
        return Options(**{name: value for name, value in given.items() if name in known})

    def check(self, right: bool, problem: str) -> None:
        if not right:
            self.problems.append(problem)

    def direction(self, given: Any) -> Direction:
        try:
            return Direction(str(getattr(given, "value", given)).upper())
        except ValueError:
            self.problems.append(f"direction={given!r}; allowed are Direction.MAX and Direction.MIN (or 'max', 'min')")
            return Direction.MAX

    def layout(self, layout: Layout | None) -> Layout | None:
        """A gang's layout when it can be; its problems are noted.

        Args:
            layout: what a distributed verb was given; None: a search's, from the options.
        """
        options = self.options
        if layout is None:
            self.check(
                (options.strategy is None) == (options.workers_per_trial is None),
                f"strategy={options.strategy!r} and workers_per_trial={options.workers_per_trial!r}; give both, for "
                "trials of several members, or none",
            )
            if options.strategy is None or options.workers_per_trial is None:
                return None
            if whole("", options.workers_per_trial, 1):
                return None  # noted already
            layout = Layout(options.strategy, Size(options.workers_per_trial))
            self.check(
                options.strategy != "parameter_server",
                "strategy='parameter_server' has members of several kinds; use experiment.distributed() for it",
            )
        if layout.strategy not in plugin_names("distribute"):
            self.problems.append(f"strategy={layout.strategy!r}; known are {', '.join(plugin_names('distribute'))}")
            return None
        self.problems += load("distribute", layout.strategy).problems(layout.size)
        self.check(
            options.isolation == "process", "isolation='none'; each member of a distributed trial needs its own process"
        )
        self.check(
            options.pool == "spark", f"pool={options.pool!r}; a distributed trial needs Spark's executors, pool='spark'"
        )
        return layout

    def attempt(self, make: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """What `make` returns; None when it refuses, with its problems noted."""
        try:
            return make(*args, **kwargs)
        except InvalidArguments as error:
            self.problems += error.problems
        except StoreError as error:
            self.problems.append(str(error))
        return None

    def check_parameters(self, names: Iterable[str]) -> None:
        """Whether the training function can be called with hyperparameters of these names."""
        given = list(names)
        try:
            parameters = inspect.signature(self.train_fn).parameters.values()
        except (TypeError, ValueError):
            return
        takes = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
        unknown = [name for name in given if name not in {p.name for p in takes} and not any_name]
        missing = [p.name for p in takes if p.default is p.empty and p.name not in given]
        if unknown or missing:
            shown = ", ".join(p.name for p in takes) or "no arguments"
            faults = [
                f"{what}: {', '.join(which)}" for what, which in (("unknown", unknown), ("missing", missing)) if which
            ]
            self.problems.append(
                f"{self.function}() takes {shown}; it was given {', '.join(given) or 'none'} ({'; '.join(faults)})"
            )

    def settle(self) -> None:
        """Raise what was found.

        Raises:
            InvalidArguments: something was.
        """
        if self.problems:
            raise InvalidArguments(f"experiment.{self.verb}()", self.problems)


def _name_problems(name: Any) -> list[str]:
    if not isinstance(name, str) or not name.strip():
        return [f"name={name!r}; give a text that is not empty"]
    if any(char in name for char in "/\\") or not name.isprintable() or name in (".", "..") or len(name) > 200:
        return [f"name={name!r}; a name has no path separators, no control characters and at most 200 characters"]
    return []
