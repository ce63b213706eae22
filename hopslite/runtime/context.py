"""Which trial this process is running: what `hopslite.tensorboard` and `hopslite.devices` answer from."""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TrialContext", "current", "entered"]


@dataclasses.dataclass(frozen=True, slots=True)
class TrialContext:
    """Where the running trial, or a member of it, writes. All but `checkpoints`, which is in the store, are local."""

    run_id: str
    trial_id: str
    directory: str
    logdir: str
    log: str = ""
    checkpoints: str = ""


_stack: list[TrialContext] = []
_local: contextvars.ContextVar[TrialContext | None] = contextvars.ContextVar("hopslite_trial", default=None)


def current() -> TrialContext | None:
    """The trial that runs here; None outside of a trial.

    Threads that a training function starts do not inherit its context variables; they see the process's trial.
    """
    return _local.get() or (_stack[-1] if _stack else None)


@contextmanager
def entered(context: TrialContext) -> Iterator[None]:
    token = _local.set(context)
    _stack.append(context)
    try:
        yield
    finally:
        _stack.remove(context)
        _local.reset(token)
