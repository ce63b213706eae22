"""When to give up on a trial: stoppers, one file each, without Spark, threads or IO.

A stopper is told what trials report and says which of them are to end early. It decides from what it was told and from
nothing else, so that replaying a journal restores it.
"""

from __future__ import annotations

import difflib
from typing import Any, Protocol

from .. import _plugins
from .._trial import Direction, Result
from ..errors import InvalidArguments, UnknownPlugin
from .asha import Asha
from .median import Median
from .patience import Patience
from .threshold import Threshold

__all__ = ["Asha", "Median", "Patience", "Stopper", "Threshold", "make"]

METHODS = ("begin", "started", "report", "ended")


class Stopper(Protocol):
    """A rule for ending trials early. All calls come from one thread; one object serves one run at a time.

    NaN is a value worse than all others.
    """

    def begin(self, direction: Direction) -> None:
        """A run begins: whatever was known is forgotten. Comes first, once for each run."""

    def started(self, trial_id: str) -> None:
        """An attempt at a trial begins; what an earlier attempt has reported counts no more."""

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        """A running trial has reported `value`, which may be NaN or infinite; steps grow from report to report.

        Returns:
            Why the trial is to end, or None: it goes on. True and False are taken as well, for no reason and for None.
        """

    def ended(self, result: Result) -> None:
        """A trial is FINISHED, STOPPED, FAILED or KILLED."""


def make(stopper: Any) -> Stopper:
    """The stopper that is meant by a name, by a class, or by an object, which is returned as it is.

    >>> make("median")
    Median(interval=1, min_trials=5, warmup_steps=0)

    Raises:
        InvalidArguments: there is none of that name, or this is no stopper.
    """
    if isinstance(stopper, str):
        stopper = _named(stopper)
    if isinstance(stopper, type):
        try:
            stopper = stopper()
        except TypeError as error:
            raise InvalidArguments(
                "stopper", [f"{stopper.__name__}() cannot be made without arguments ({error}); give an object"]
            ) from error
    missing = [name for name in METHODS if not callable(getattr(stopper, name, None))]
    if missing:
        known = ", ".join(map(repr, _plugins.names("stop")))
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
        return _plugins.load("stop", name.strip().lower())
    except UnknownPlugin:
        known = _plugins.names("stop")
        near = difflib.get_close_matches(name.strip().lower(), known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidArguments("stopper", [f"no stopper named {name!r}; known: {', '.join(known)}.{hint}"]) from None
