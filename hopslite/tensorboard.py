"""For training functions: where to write what TensorBoard shows."""

from __future__ import annotations

from .runtime.context import current

__all__ = ["logdir"]


def logdir() -> str | None:
    """The directory for event files, checkpoints and anything else that the running trial should keep.

    It is the trial's own directory, or with `local_logdir=True` a scratch directory that is copied there at the end;
    None outside of a trial. The run's TensorBoard shows what is written there while the trial runs.
    """
    context = current()
    return context.logdir if context else None
