"""Directory for TensorBoard's event files, for training functions.

`tensorboard.local_logdir_bool`, as in HopsML, is true if this is a scratch directory, as with `local_logdir=True`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .executor.context import current
from .predecessors import absent_name

__all__ = ["logdir"]


def logdir() -> str | None:
    """The directory for event files, checkpoints and anything else that the running trial should keep.

    It is the trial's own directory, or with `local_logdir=True` a scratch directory that is copied there at the end;
    None outside of a trial. The run's TensorBoard shows what is written there while the trial runs.
    """
    context = current()
    return context.logdir if context else None


if TYPE_CHECKING:
    local_logdir_bool: bool
else:

    def __getattr__(name: str) -> Any:
        """HopsML's other names; `local_logdir_bool` is whether `logdir()` is a scratch directory of the trial."""
        if name == "local_logdir_bool":
            context = current()
            return context is not None and context.logdir != context.directory
        return absent_name(__name__, name)
