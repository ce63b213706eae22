"""The checks of one call of a verb: all problems at once, before any work starts."""

from __future__ import annotations

import functools
import inspect
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..core import plugins
from ..core.suggestions import did_you_mean
from ..core.types import Direction
from ..distribute import Layout, Size
from ..errors import InvalidArguments, StoreError
from ..executor.define_by_run_trial import TRIAL
from ..pool import ON_SPARK
from ..serialization.values import REPORTER
from . import checks
from .options import completed, problems
from .signatures import keywords_of, unknown_keywords

__all__ = ["Call"]

T = TypeVar("T")


class Call:
    """The checks of one call of a verb; problems are collected until `raise_if_invalid` raises them together."""

    def __init__(self, verb: Callable[..., Any], train_fn: Any, name: Any, options: Mapping[str, Any]) -> None:
        self.verb = verb.__name__
        self.problems: list[str] = []
        self.function = getattr(train_fn, "__name__", type(train_fn).__name__)
        self.train_fn = train_fn
        if not callable(train_fn):
            self.problems.append(f"train_fn is {train_fn!r}, which cannot be called; give the training function itself")
        elif kind_of_function := _deferred(train_fn):
            self.problems.append(
                f"{self.function}() is {kind_of_function}: calling it runs nothing of it and returns no metric; "
                f"{_DEFERRED[kind_of_function]}"
            )
        self.problems += _name_problems(name)
        self.problems += unknown_keywords(verb, options)
        self.options = completed(options, keywords_of(verb))
        self.problems += problems(self.options, keywords_of(verb))
        seed = self.options["seed"]
        self.seed = seed if isinstance(seed, int) else secrets.randbelow(2**31)

    def check(self, right: bool, problem: str) -> None:
        if not right:
            self.problems.append(problem)

    def direction(self, direction: Any) -> Direction:
        """The direction that is meant, or any one if the value is invalid."""
        try:
            return Direction(str(getattr(direction, "value", direction)).upper())
        except ValueError:
            self.problems.append(
                f"direction={direction!r}; allowed are Direction.MAX and Direction.MIN (or 'max', 'min')"
            )
            return Direction.MAX

    def layout(self, layout: Layout | None) -> Layout | None:
        """The layout of distributed trials; None if it is invalid, or trials are not distributed.

        Args:
            layout: that of a distributed verb; None: it follows from the options of a search.
        """
        options = self.options
        layout = layout or self._layout_of_search()
        if layout is None:
            return None
        wrong_size = _size_problems(layout.size)
        self.problems += wrong_size
        if not plugins.is_known("distribute", layout.strategy):
            names = plugins.names("distribute")
            hint = did_you_mean(str(layout.strategy), names, start=". Did you mean")
            self.problems.append(f"strategy={layout.strategy!r}; known are {', '.join(names)}{hint}")
            return None
        if not wrong_size:
            self.problems += plugins.load("distribute", layout.strategy).problems(layout.size)
        self.check(
            options["isolation"] == "process",
            "isolation='none'; each member of a distributed trial needs its own process",
        )
        if layout.per == "trial" and options["gpus_per_trial"] is not None:
            self.problems += checks.gpus_of_member("gpus_per_trial", options["gpus_per_trial"])
        self.check(
            options["pool"] in ON_SPARK,
            f"pool={options['pool']!r}; a distributed trial needs Spark's executors, pool='spark'",
        )
        return layout

    def _layout_of_search(self) -> Layout | None:
        strategy, workers = self.options["strategy"], self.options["workers_per_trial"]
        self.check(
            (strategy is None) == (workers is None),
            f"strategy={strategy!r} and workers_per_trial={workers!r}; give both, for trials of several members, or "
            "none",
        )
        if strategy is None or workers is None or checks.whole_number(1)("workers_per_trial", workers):
            return None
        self.check(
            strategy != "parameter_server",
            "strategy='parameter_server' has members of several kinds; use experiment.distributed() for it",
        )
        return Layout(strategy, Size(workers))

    def attempt(self, make: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """The value of `make(*args, **kwargs)`; None if it raises, with its problems collected."""
        try:
            return make(*args, **kwargs)
        except InvalidArguments as error:
            self.problems += error.problems
        except StoreError as error:
            self.problems.append(str(error))
        return None

    def check_parameters(
        self, names: Iterable[str], conditional: Iterable[str] = (), budget: str | None = None
    ) -> None:
        """Check that the function accepts these hyperparameters, and calls without the `conditional` ones.

        Args:
            budget: the one of them that the algorithm passes, as it says how long to train.
        """
        hyperparameters = list(names)
        try:
            parameters = inspect.signature(self.train_fn).parameters.values()
        except (TypeError, ValueError):
            return
        takes = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
        unknown = [name for name in hyperparameters if name not in {p.name for p in takes} and not any_name]
        needed = [p.name for p in takes if p.default is p.empty]
        missing = [name for name in needed if name not in (*hyperparameters, REPORTER)]
        if bare := [name for name in needed if name in set(conditional)]:
            self.problems.append(
                f"{self.function}() is called without {', '.join(bare)} where the condition does not hold; give such "
                "an argument a default, for example None"
            )
        shown = ", ".join(p.name for p in takes) or "no arguments"
        if budget in unknown:
            unknown.remove(budget)
            self.problems.append(
                f"{self.function}() takes {shown}, and the algorithm passes it how long to train as {budget}; add an "
                f"argument {budget}, and train up to it"
            )
        if TRIAL in missing and self.verb == "search":
            self.problems.append(
                f"{self.function}() has an argument {TRIAL}, of which it asks for its parameters itself: leave out the "
                "space, or the argument"
            )
        elif unknown or missing:
            faults = [
                f"{kind}: {', '.join(listed)}"
                for kind, listed in (("unknown", unknown), ("missing", missing))
                if listed
            ]
            passed = ", ".join(hyperparameters) or "none"
            hint = f". {ASKS}" if TRIAL in missing else ""
            self.problems.append(f"{self.function}() takes {shown}; it was given {passed} ({'; '.join(faults)}){hint}")

    def raise_if_invalid(self) -> None:
        """Raise the problems that were collected.

        Raises:
            InvalidArguments: there are some.
        """
        if self.problems:
            raise InvalidArguments(f"experiment.{self.verb}()", self.problems)


ASKS = f"Functions that ask a {TRIAL} for their parameters are for experiment.search without a space"
_DEFERRED = {
    "an async function": "give a function that runs it, such as lambda **params: asyncio.run(train(**params))",
    "a generator function": "return the metric instead of yielding it, and report each epoch's with hopslite.report()",
}


def _deferred(train_fn: Any) -> str | None:
    """The kind of a function that only returns something to be run later; None: it is an ordinary one."""
    fn = inspect.unwrap(train_fn)
    while isinstance(fn, functools.partial):
        fn = inspect.unwrap(fn.func)
    for function in (fn, getattr(type(fn), "__call__", None)):  # noqa: B004 - the method itself, not whether there is one
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            return "an async function"
        if inspect.isgeneratorfunction(function):
            return "a generator function"
    return None


def _name_problems(name: Any) -> list[str]:
    if not isinstance(name, str) or not name.strip():
        return [f"name={name!r}; give a text that is not empty"]
    if any(char in name for char in "/\\") or not name.isprintable() or name in (".", "..") or len(name) > 200:
        return [f"name={name!r}; a name has no path separators, no control characters and at most 200 characters"]
    return []


def _size_problems(size: Size) -> list[str]:
    return [
        *checks.whole_number(0)("num_ps", size.ps),
        *checks.flag("evaluator", size.evaluator),
        *checks.flag("every_member", size.every_member),
    ]
