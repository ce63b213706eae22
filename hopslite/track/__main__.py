"""`python -m hopslite.track RUN_DIRECTORY`: deliver a run's journal to its trackers."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

from ..core import extras, plugins
from ..errors import HopsliteError
from ..storage.driver_lease import require_no_live_driver
from ..storage.run_directory import RunDir
from ._base import redact
from ._mlflow_client import prepare_environment
from ._run_delivery import deliver
from ._tensorboard_import import disable_tensorflow


def main(argv: list[str] | None = None) -> int:
    """Deliver a run; returns 0 if each of the requested trackers got everything."""
    options = _parser().parse_args(argv)
    prepare_environment()
    disable_tensorflow()
    try:
        run = RunDir(options.run)
        if not run.list("journal"):
            raise HopsliteError(f"there is no journal in {run.url}; give the directory of a run")
        # otherwise open trials would be reported as killed, and runs created twice
        require_no_live_driver(run, lambda line: _show({"warning": line}))
    except (HopsliteError, OSError) as error:
        _show({"warning": redact(f"{type(error).__name__}: {error}", os.environ.get("MLFLOW_TRACKING_URI"))})
        return 1
    over = threading.Event()
    over.set()
    return 0 if deliver(run, options.tracker or _installed(), over, _show) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hopslite.track",
        description="Tell MLflow and TensorBoard of a run. Doing so again changes nothing. "
        "Set MLFLOW_TRACKING_URI to choose the MLflow server; the default is the one that the run was meant for.",
    )
    parser.add_argument("run", metavar="RUN_DIRECTORY", help="a run's directory, or its URL")
    parser.add_argument(
        "--tracker", action="append", choices=plugins.names("track"), help="only this one (may be repeated)"
    )
    return parser


def _show(message: dict[str, Any]) -> None:
    for line in filter(None, (message.get("warning"), message.get("tracked"))):
        sys.stderr.write(f"{line}\n")


def _installed() -> Sequence[str]:
    """The trackers whose packages are installed, with a line for the others; all of them where none is."""
    names = plugins.names("track")
    absent = extras.missing(names)
    if not absent or absent == names:
        return names
    _show({"warning": f"left out, not installed: {', '.join(absent)}; to add: {extras.pip_install(absent)}"})
    return [name for name in names if name not in absent]


if __name__ == "__main__":
    sys.exit(main())
