"""The program that draws a run which has just ended, when all else has been done, and adds the plots to its MLflow."""

from __future__ import annotations

import os
import sys

from .. import plots
from ..store import RunDir

__all__ = ["main"]

NICE = 19


def main() -> int:
    """Arguments: the run's directory, and "mlflow" where that is told of the run."""
    os.nice(NICE)
    run, *trackers = sys.argv[1:]
    files = plots.save(run)
    if trackers:
        from ..track._mlflow_client import prepare_environment
        from ..track.mlflow import attach

        prepare_environment()
        attach(RunDir(run), files, os.environ.get("MLFLOW_TRACKING_URI"))
    return 0
