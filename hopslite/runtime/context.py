"""Which trial this process is running: what `hopslite.report`, `tensorboard` and `devices` answer from."""

from __future__ import annotations

import contextvars
import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import Reporter

__all__ = ["TrialContext", "current", "current_reporter", "entered", "is_for_trials", "keep_for_trials", "restored"]


@dataclasses.dataclass(frozen=True, slots=True)
class TrialContext:
    """Where the running trial, or a member of it, writes, all of it local; and what it was given.

    `project` is the URL of the run's project, and `inputs` has the local path of each input by its name.
    """

    run_id: str
    trial_id: str
    directory: str
    logdir: str
    log: str = ""
    checkpoints: str = ""
    project: str = ""
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tracking_uri: str | None = dataclasses.field(default=None, repr=False)  # as in the run's settings


_Entry = tuple[TrialContext, "Reporter | None"]
_stack: list[_Entry] = []
_kept = False
_local: contextvars.ContextVar[_Entry | None] = contextvars.ContextVar("hopslite_trial", default=None)


def _entry() -> _Entry | None:
    """Threads that a training function starts do not inherit its context variables; they see the process's trial."""
    return _local.get() or (_stack[-1] if _stack else None)


def current() -> TrialContext | None:
    """The trial that runs here; None outside of a trial."""
    entry = _entry()
    return entry[0] if entry else None


def keep_for_trials() -> None:
    """From now on this process, and each that is forked from it, is for trials, and for what they import before."""
    global _kept
    _kept = True


def is_for_trials() -> bool:
    """Whether this is a process in which a trial runs, or one that trials are forked from."""
    return _kept or bool(_stack)


def current_reporter() -> Reporter | None:
    """Who takes the reports of the trial that runs here; None outside of a trial."""
    entry = _entry()
    return entry[1] if entry else None


@contextmanager
def entered(context: TrialContext, reporter: Reporter | None = None) -> Iterator[None]:
    entry = (context, reporter)
    token = _local.set(entry)
    _stack.append(entry)
    try:
        yield
    finally:
        _stack.remove(entry)
        _local.reset(token)


@contextmanager
def restored() -> Iterator[None]:
    """Working directory and environment are afterwards as before: for a trial in a process that others use as well."""
    cwd, environment = os.getcwd(), dict(os.environ)
    try:
        yield
    finally:
        os.chdir(cwd)
        if environment != os.environ:
            os.environ.clear()
            os.environ.update(environment)
