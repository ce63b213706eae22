"""The keywords that every verb takes, and the checks of a call: all problems at once, before any work starts."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict, TypeGuard, TypeVar, cast

from ._plugins import load
from ._plugins import names as plugin_names
from ._trial import Direction
from .distribute import Layout, Size
from .errors import HopsliteError, InvalidArguments, StoreError
from .runtime.values import REPORTER

__all__ = [
    "Call",
    "MemberOptions",
    "Options",
    "ResumeOptions",
    "RunOptions",
    "SearchOptions",
    "TrialOptions",
    "with_options",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# keywords that mean the same in searches and in distributed verbs, either way
COUNTERPARTS = {
    "cpus_per_trial": "cpus_per_worker",
    "gpus_per_trial": "gpus_per_worker",
    "workers_per_trial": "num_workers",
}
COUNTERPARTS |= {theirs: ours for ours, theirs in COUNTERPARTS.items()}


class RunOptions(TypedDict, total=False):
    """For type checkers and signatures: what all verbs take, by the same names as `Options`."""

    seed: int | None
    trial_timeout: float | None
    heartbeat_timeout: float | None
    timeout: float | None
    pool: Any
    spark: Any
    project: str | os.PathLike[str] | None
    tracking_uri: str | None
    tags: dict[str, str] | None
    inputs: Mapping[str, str] | None
    verbose: bool
    display: Any
    resume: str | None
    retry_failed: bool
    force: bool


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


class SearchOptions(TrialOptions, total=False):
    """What the verbs take besides that optimise a metric."""

    stopper: Any
    report_as: str
    stop_grace: float


class ResumeOptions(TypedDict, total=False):
    """What can be another when a run goes on."""

    parallelism: int | None
    cpus_per_trial: int | None
    gpus_per_trial: int | None
    trial_timeout: float | None
    heartbeat_timeout: float | None
    timeout: float | None
    max_failures: int | None
    max_retries: int
    inputs: Mapping[str, str] | None
    pool: Any
    spark: Any
    tracking_uri: str | None
    verbose: bool
    display: Any


class MemberOptions(RunOptions, total=False):
    """What the verbs take besides that run a single distributed trial."""

    num_workers: int | None
    gpus_per_worker: int
    cpus_per_worker: int | None
    on_failure: str
    max_restarts: int
    forming_timeout: float
    evaluator_grace: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The keywords of all verbs; `experiment.launch` and `experiment.distributed` say what they mean."""

    parallelism: int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: int | None = None
    strategy: str | None = None
    workers_per_trial: int | None = None
    num_workers: int | None = None
    gpus_per_worker: int = 0
    cpus_per_worker: int | None = None
    on_failure: str = "fail"
    max_restarts: int = 3
    forming_timeout: float = 600.0
    evaluator_grace: float = 30.0
    seed: int | None = None
    stopper: Any = None
    report_as: str = "last"
    stop_grace: float = 10.0
    trial_timeout: float | None = None
    heartbeat_timeout: float | None = None
    timeout: float | None = None
    max_failures: int | None = None
    max_retries: int = 2
    isolation: str = "process"
    pool: Any = "spark"
    spark: Any = None
    project: str | os.PathLike[str] | None = None
    tracking_uri: str | None = None
    tags: dict[str, str] | None = None
    inputs: Mapping[str, str] | None = None
    verbose: bool = False
    display: Any = True
    resume: str | None = None
    retry_failed: bool = False
    force: bool = False

    def problems(self) -> list[str]:
        found = []
        for least, optional, each in (
            (1, True, ("parallelism", "cpus_per_trial", "workers_per_trial", "num_workers", "cpus_per_worker")),
            (0, True, ("gpus_per_trial", "seed", "max_failures")),
            (0, False, ("max_retries", "gpus_per_worker", "max_restarts")),
        ):
            for name in each:
                found += _whole(name, getattr(self, name), least, optional)
        for name in ("trial_timeout", "heartbeat_timeout", "timeout"):
            found += _seconds(name, getattr(self, name))
        found += _seconds("stop_grace", self.stop_grace, optional=False)
        if self.report_as not in ("last", "best"):
            found.append(f"report_as={self.report_as!r}; allowed are 'last' and 'best'")
        found += _seconds("forming_timeout", self.forming_timeout, optional=False)
        if not _is_number(self.evaluator_grace) or not self.evaluator_grace >= 0:
            found.append(f"evaluator_grace={self.evaluator_grace!r}; give a number of seconds of at least 0")
        if self.on_failure not in ("fail", "restart"):
            found.append(f"on_failure={self.on_failure!r}; allowed are 'fail' and 'restart'")
        if self.isolation not in ("process", "none"):
            found.append(f"isolation={self.isolation!r}; allowed are 'process' and 'none'")
        found += _pool_problems(self.pool)
        if self.isolation == "none" or self.pool == "inline":
            found += [
                f"{name} works only with isolation='process' on Spark, where a trial can be killed"
                for name in ("trial_timeout", "heartbeat_timeout")
                if getattr(self, name) is not None
            ]
        for name in ("tracking_uri", "project"):
            value = getattr(self, name)
            if value is not None and not _is_path(value):
                found.append(f"{name}={value!r}; give a path or URL as text")
        if self.resume is not None and not (isinstance(self.resume, str) and self.resume.strip()):
            found.append(f"resume={self.resume!r}; give 'auto' or the id of a run, as text")
        for name in ("retry_failed", "force"):
            if not isinstance(getattr(self, name), bool):
                found.append(f"{name}={getattr(self, name)!r}; give True or False")
            elif getattr(self, name) and self.resume is None:
                found.append(f"{name}=True works only with resume=")
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
    methods = ("start", "want", "submit", "wait", "stop", "kill", "close")
    if isinstance(pool, str) and pool not in plugin_names("pool"):
        return [f"pool={pool!r}; known pools are {', '.join(plugin_names('pool'))}"]
    if not isinstance(pool, str) and not _offers(pool, methods):
        return [f"pool={pool!r}; give a pool's name, or an object with {', '.join(methods[:-1])} and {methods[-1]}"]
    return []


def _offers(value: Any, methods: Iterable[str]) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _is_path(value: Any) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str) and bool(os.fspath(value))


def _whole(name: str, value: Any, least: int, optional: bool) -> list[str]:
    """Why this is no whole number of at least so much; nothing when it is."""
    if value is None and optional:
        return []
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return []
    return [f"{name}={value!r}; give a whole number of at least {least}"]


def _seconds(name: str, value: Any, optional: bool = True) -> list[str]:
    """Why this is no time limit; nothing when it is."""
    if (value is None and optional) or (_is_number(value) and value > 0 and math.isfinite(value)):
        return []
    return [f"{name}={value!r}; give a number of seconds above 0" + (", or None for no limit" if optional else "")]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _size_problems(size: Size) -> list[str]:
    found = _whole("num_ps", size.ps, 0, optional=False)
    for name in ("evaluator", "every_member"):
        if not isinstance(getattr(size, name), bool):
            found.append(f"{name}={getattr(size, name)!r}; give True or False")
    return found


def _is_text_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for item in value.items() for part in item)


def with_options(kind: type) -> Callable[[F], F]:
    """A verb as users see it: the keywords of a kind of options in its signature, and errors without our frames."""

    def decorate(verb: F) -> F:
        @functools.wraps(verb)
        def called(*args: Any, **keywords: Any) -> Any:
            try:
                return verb(*args, **keywords)
            except HopsliteError as error:  # its message says all; a fault of ours is no such error
                raise error.with_traceback(None)  # noqa: B904 - it is the same one

        own = inspect.signature(verb)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shared = [p for name, p in inspect.signature(Options).parameters.items() if name in kind.__annotations__]
        called.__signature__ = own.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
        return cast(F, called)

    return decorate


class Call:
    """The checks of one call; problems gather until `settle` raises them together."""

    def __init__(self, verb: str, kind: type, train_fn: Any, name: Any, options: dict[str, Any]) -> None:
        self.verb = verb
        self.problems: list[str] = []
        self.function = getattr(train_fn, "__name__", type(train_fn).__name__)
        self.train_fn = train_fn
        if not callable(train_fn):
            self.problems.append(f"train_fn is {train_fn!r}, which cannot be called; give the training function itself")
        self.problems += _name_problems(name)
        self.problems += [_unknown(key, kind) for key in options if key not in kind.__annotations__]
        self.options = Options(**{key: value for key, value in options.items() if key in kind.__annotations__})
        self.problems += self.options.problems()
        self.seed = self.options.seed if isinstance(self.options.seed, int) else secrets.randbelow(2**31)

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
            if _whole("", options.workers_per_trial, 1, optional=False):
                return None  # noted already
            layout = Layout(options.strategy, Size(options.workers_per_trial))
            self.check(
                options.strategy != "parameter_server",
                "strategy='parameter_server' has members of several kinds; use experiment.distributed() for it",
            )
        wrong_size = _size_problems(layout.size)
        self.problems += wrong_size
        if layout.strategy not in plugin_names("distribute"):
            self.problems.append(f"strategy={layout.strategy!r}; known are {', '.join(plugin_names('distribute'))}")
            return None
        if not wrong_size:
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

    def check_parameters(self, names: Iterable[str], conditional: Iterable[str] = ()) -> None:
        """Whether the function can be called with these hyperparameters, and without the `conditional` ones."""
        given = list(names)
        try:
            parameters = inspect.signature(self.train_fn).parameters.values()
        except (TypeError, ValueError):
            return
        takes = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
        unknown = [name for name in given if name not in {p.name for p in takes} and not any_name]
        needed = [p.name for p in takes if p.default is p.empty]
        missing = [name for name in needed if name not in (*given, REPORTER)]
        if bare := [name for name in needed if name in set(conditional)]:
            self.problems.append(
                f"{self.function}() is called without {', '.join(bare)} where the condition does not hold; give such "
                "an argument a default, for example None"
            )
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


def _unknown(name: str, kind: type) -> str:
    """Why verbs that take this kind of options do not take this one."""
    known = kind.__annotations__
    for other, whose in ((TrialOptions, "searches"), (MemberOptions, "distributed training")):
        if name in other.__annotations__:
            hint = f"use {COUNTERPARTS[name]}" if name in COUNTERPARTS else "leave it out"
            return f"unknown keyword {name}, which is for {whose}; {hint}"
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown keyword {name}; {hint}"


def _name_problems(name: Any) -> list[str]:
    if not isinstance(name, str) or not name.strip():
        return [f"name={name!r}; give a text that is not empty"]
    if any(char in name for char in "/\\") or not name.isprintable() or name in (".", "..") or len(name) > 200:
        return [f"name={name!r}; a name has no path separators, no control characters and at most 200 characters"]
    return []
