"""Early stopping: stoppers, one file each, without Spark, threads or IO.

A stopper receives the reports of trials and decides which of them end early. Its decisions depend only on these, so
that replaying a journal restores its state.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from ..core import plugins
from ..core.suggestions import did_you_mean
from ..core.types import Direction, Result
from ..errors import InvalidArguments, UnknownPlugin
from ._optuna_pruner import OptunaPruner, is_pruner
from .asha import Asha
from .median import Median
from .patience import Patience
from .threshold import Threshold

__all__ = ["Asha", "Median", "OptunaPruner", "Patience", "Pruner", "Stopper", "StopperName", "Threshold", "make"]

StopperName = Literal["asha", "median", "patience", "threshold"]
"""The stoppers that hopslite has, by name."""

METHODS = ("begin", "started", "report", "ended")


class Stopper(Protocol):
    """Interface of rules for early stopping. All calls come from one thread; one object serves one run at a time.

    NaN is a value worse than all others.
    """

    def begin(self, direction: Direction) -> None:
        """Reset all state at the beginning of a run. Called first, once for each run."""

    def started(self, trial_id: str) -> None:
        """Begin an attempt at a trial; reports of an earlier attempt are discarded."""

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        """Process a report of a running trial; `value` may be NaN or infinite, steps increase.

        Returns:
            The reason to end the trial, or None to let it continue. True (end without a reason) and False (continue)
            are accepted, too.
        """

    def ended(self, result: Result) -> None:
        """Process the end of a trial: FINISHED, STOPPED, FAILED or KILLED."""


class Pruner(Protocol):
    """A pruner object of Optuna's, for type checkers."""

    def prune(self, study: Any, trial: Any) -> bool:
        """See `optuna.pruners.BasePruner`."""


def make(stopper: Any) -> Stopper:
    """Create a stopper from a name, a class or an Optuna pruner; another object is returned unchanged.

    >>> make("median")
    Median(interval=1, min_trials=5, warmup_steps=0)

    Raises:
        InvalidArguments: no stopper has this name, or the object is not a stopper.
    """
    if is_pruner(stopper):
        return OptunaPruner(stopper)
    if isinstance(stopper, str):
        stopper = _named(stopper)
    if isinstance(stopper, type):
        try:
            stopper = stopper()
        except TypeError as error:
            raise InvalidArguments(
                "stopper", [f"{stopper.__name__}() cannot be created without arguments ({error}); give an object"]
            ) from error
    missing = [name for name in METHODS if not callable(getattr(stopper, name, None))]
    if missing:
        known = ", ".join(map(repr, plugins.names("stop")))
        raise InvalidArguments(
            "stopper",
            [
                f"stopper={stopper!r:.80} has no method {', '.join(missing)}; give a known name ({known}) or an object "
                f"with {', '.join(METHODS[:-1])} and {METHODS[-1]}"
            ],
        )
    made: Stopper = stopper
    return made


def _named(name: str) -> Any:
    try:
        return plugins.load("stop", name.strip().lower())
    except UnknownPlugin:
        known = plugins.names("stop")
        hint = did_you_mean(name.strip().lower(), known, start=" Did you mean")
        raise InvalidArguments("stopper", [f"no stopper named {name!r}; known: {', '.join(known)}.{hint}"]) from None
