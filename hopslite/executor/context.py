"""The trial that runs in this process, for `hopslite.report`, `tensorboard` and `devices`."""

from __future__ import annotations

import contextvars
import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ..core.process_role import is_kept_for_trials
from .reporter import Reporter

__all__ = [
    "TrialContext",
    "current",
    "current_reporter",
    "in_trial",
    "is_for_trials",
    "restored_cwd_and_environ",
    "trial_context",
]


@dataclasses.dataclass(frozen=True, slots=True)
class TrialContext:
    """Identity, local directories and inputs of the running trial, or of a member of it.

    `project` is the URL of the run's project, `program` the working directory of a program of `hopslite run`, and
    `inputs` has the local path of each input by its name.
    """

    run_id: str
    trial_id: str
    directory: str
    logdir: str
    log: str = ""
    checkpoints: str = ""
    project: str = ""
    program: str = ""
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tracking_uri: str | None = dataclasses.field(default=None, repr=False)  # as in the run's settings
    in_driver: bool = False  # the trial is code of the driver's program, in `start_run`


_Entry = tuple[TrialContext, Reporter | None]
_stack: list[_Entry] = []
_local: contextvars.ContextVar[_Entry | None] = contextvars.ContextVar("hopslite_trial", default=None)


def _entry() -> _Entry | None:
    """The innermost entry that is still active.

    Threads that a training function starts do not inherit its context variables; they get the process's trial. A
    context variable may outlive its trial, if that ended in another thread or in another notebook cell.
    """
    own = _local.get()
    return own if any(entry is own for entry in _stack) else (_stack[-1] if _stack else None)


def current() -> TrialContext | None:
    """The trial that runs here; None outside of a trial."""
    entry = _entry()
    return entry[0] if entry else None


def is_for_trials() -> bool:
    """True in a process in which a trial runs, or from which trials are forked."""
    return is_kept_for_trials() or any(not context.in_driver for context, _ in _stack)


def in_trial() -> bool:
    """True if a trial runs here, except code of the driver in `start_run`."""
    context = current()
    return context is not None and not context.in_driver


def current_reporter() -> Reporter | None:
    """The reporter of the trial that runs here; None outside of a trial."""
    entry = _entry()
    return entry[1] if entry else None


@contextmanager
def trial_context(context: TrialContext, reporter: Reporter | None = None) -> Iterator[None]:
    """Make a trial the current one."""
    entry = (context, reporter)
    token = _local.set(entry)
    _stack.append(entry)
    try:
        yield
    finally:
        _stack[:] = [other for other in _stack if other is not entry]
        with suppress(ValueError):  # it began in another thread or notebook cell
            _local.reset(token)


@contextmanager
def restored_cwd_and_environ() -> Iterator[None]:
    """Restore the working directory and the environment afterwards, for a trial in a process with other users."""
    cwd, environment = os.getcwd(), dict(os.environ)
    try:
        yield
    finally:
        os.chdir(cwd)
        if environment != os.environ:
            os.environ.clear()
            os.environ.update(environment)
