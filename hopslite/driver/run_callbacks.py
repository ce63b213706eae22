"""Callbacks of a run: objects of the user that are called in the driver when something happens."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from ..core.types import State
from ..result import Trial
from .open_trial import OpenTrial

log = logging.getLogger(__name__)

__all__ = ["RunCallbacks"]


class RunCallbacks:
    """Calls that are due are collected by `add`, while events are handled, and made by `deliver`.

    So free slots have their next trials before, and an interrupt that is raised in a callback comes between two steps
    of the run.
    """

    def __init__(self, callbacks: Sequence[Any] | None) -> None:
        self._callbacks = tuple(callbacks or ())
        self._due: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._failed: set[tuple[int, str]] = set()  # callbacks, by position, with the hooks that have raised

    def add(self, hook: str, *args: Any) -> None:
        """Have a hook of all callbacks called; an open trial among its arguments becomes a `Trial`."""
        if self._callbacks:
            self._due.append((hook, tuple(_running(arg) if isinstance(arg, OpenTrial) else arg for arg in args)))

    def deliver(self) -> None:
        """Make all calls that are due, in the order of their events."""
        while self._due:
            hook, args = self._due.popleft()
            for position, callback in enumerate(self._callbacks):
                self._call(position, callback, hook, args)

    def _call(self, position: int, callback: Any, hook: str, args: tuple[Any, ...]) -> None:
        try:
            method = getattr(callback, hook, None)
            if method is not None:
                method(*args)
        except Exception as error:
            if (position, hook) not in self._failed:
                self._failed.add((position, hook))
                label = f"{type(callback).__name__}.{hook}()"
                log.warning(
                    "%s raised %s: %s; it is still called, and further errors of it are not shown",
                    label,
                    type(error).__name__,
                    error,
                    exc_info=error,
                )


def _running(trial: OpenTrial) -> Trial:
    """A trial that has not ended, as callbacks get it."""
    spec = trial.spec
    return Trial(
        trial.id,
        trial.params,
        State.RUNNING,
        started_at=trial.started,
        logdir=spec.logdir,
        generation=spec.generation,
    )
