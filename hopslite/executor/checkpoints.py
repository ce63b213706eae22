"""Checkpoints of trials that go on from a copy of another trial's."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

from ..core.types import Spec
from .context import TrialContext

__all__ = ["copy_checkpoints", "why_none", "why_none_to_continue"]


def copy_checkpoints(source: str, target: str) -> None:
    """Copy a local directory of checkpoints to one that appears as a whole; one that is there is left as it is.

    It belongs to an earlier attempt, which may have trained further, or to another member of the trial. Without a
    source nothing is copied.

    Raises:
        OSError: it cannot be read or written.
    """
    if os.path.isdir(target) or not os.path.isdir(source):
        return
    partial = tempfile.mkdtemp(prefix=".checkpoints-", dir=os.path.dirname(target))
    try:
        shutil.copytree(source, partial, symlinks=True, dirs_exist_ok=True)
        _relink(partial, os.path.join(source, ""), target)
        os.rename(partial, target)
    except OSError:
        if not os.path.isdir(target):  # otherwise another member was faster
            raise
    finally:
        if os.path.isdir(partial):
            shutil.rmtree(partial, ignore_errors=True)


def _relink(folder: str, source: str, target: str) -> None:
    """Make absolute links into the source, which is deleted later, links into its copy."""
    for place, folders, files in os.walk(folder):
        for path in (os.path.join(place, name) for name in (*folders, *files)):
            if os.path.islink(path) and (linked := os.readlink(path)).startswith(source):
                os.unlink(path)
                os.symlink(os.path.join(target, linked.removeprefix(source)), path)


def why_none_to_continue(spec: Spec, context: TrialContext) -> str | None:
    """Error of a trial that finds no checkpoints to go on from, or None."""
    if spec.copies is None or _has_files(context.checkpoints):
        return None
    trial_id = os.path.basename(os.path.dirname(spec.copies))
    return f"the checkpoints of trial {trial_id}, which this one goes on from, are gone"


def why_none(context: TrialContext) -> str | None:
    """Error of a trial that has left no checkpoints, or None."""
    if _has_files(context.checkpoints):
        return None
    return (
        "the training function saved nothing in experiment.checkpoint_dir(), and this algorithm goes on from there: "
        "save the state of the training before the function returns, and look for it at the start"
    )


def _has_files(folder: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return any(files for _, _, files in os.walk(folder))
    return False
