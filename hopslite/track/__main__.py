"""`python -m hopslite.track RUN_DIRECTORY`: tell a run's trackers what its journal holds."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from .. import _plugins
from ..errors import HopsliteError
from ..store import RunDir
from ..store.sessions import refuse_if_at_work
from ._deliver import Delivery
from ._mlflow_client import prepare_environment
from ._tracker import Context, redact

NICE = 19  # trials come first; what is left over is delivered when they have ended
REMOTE_POLL_SECONDS = 2.0
LOCAL_POLL_SECONDS = 0.25


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when everything was delivered, to each tracker that was asked for."""
    options = _parser().parse_args(argv)
    prepare_environment()
    _without_tensorflow()
    tell = _status_lines(_own_stdout()) if options.follow else _plain_lines
    try:
        run = RunDir(options.run)
        if not run.list("journal") and not options.follow:
            raise HopsliteError(f"there is no journal in {run.url}; give the directory of a run")
        if not options.follow:  # what is open would be told as killed, and a driver's own process makes the same runs
            refuse_if_at_work(run, lambda line: tell({"warning": line}))
        with _only_one(run, wait=options.follow):
            delivered = _deliver(run, options, tell)
    except (HopsliteError, OSError) as error:
        tell({"warning": redact(f"{type(error).__name__}: {error}", os.environ.get("MLFLOW_TRACKING_URI"))})
        delivered = False
    tell({"delivered": delivered})
    return 0 if delivered else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hopslite.track",
        description="Tell MLflow and TensorBoard of a run. Doing so again changes nothing. "
        "Set MLFLOW_TRACKING_URI to choose the MLflow server; the default is the one that the run was meant for.",
    )
    parser.add_argument("run", metavar="RUN_DIRECTORY", help="a run's directory, or its URL")
    parser.add_argument(
        "--tracker", action="append", choices=_plugins.names("track"), help="only this one (may be repeated)"
    )
    parser.add_argument("--follow", action="store_true", help="go on until the run ends or standard input does")
    return parser


def _without_tensorflow() -> None:
    # TensorBoard looks for this module to learn that it must not load TensorFlow
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


def _own_stdout() -> TextIO:
    """Standard output for status lines alone: what libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def _status_lines(stream: TextIO) -> Callable[[dict[str, Any]], None]:
    lock = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with lock, contextlib.suppress(OSError, ValueError):  # the driver may be gone
            stream.write(json.dumps(message) + "\n")
            stream.flush()

    return tell


def _plain_lines(message: dict[str, Any]) -> None:
    for line in filter(None, (message.get("warning"), message.get("tracked"))):
        sys.stderr.write(f"{line}\n")


@contextlib.contextmanager
def _only_one(run: RunDir, wait: bool) -> Iterator[None]:
    """One process delivers a run at a time, so that two cannot both find it missing and make it; local runs only."""
    if not run.is_local:
        yield
        return
    with open(run.path(".tracking.lock"), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise HopsliteError(f"another process is telling the trackers of {run.url} just now") from None
        yield


def _deliver(run: RunDir, options: argparse.Namespace, tell: Callable[[dict[str, Any]], None]) -> bool:
    ending = threading.Event()
    uri = os.environ.get("MLFLOW_TRACKING_URI")

    def warn(line: str) -> None:
        tell({"warning": redact(line, uri)})

    context = Context(run, uri, tell, warn)
    interval = LOCAL_POLL_SECONDS if run.is_local else REMOTE_POLL_SECONDS
    names = dict.fromkeys(options.tracker or _plugins.names("track"))
    deliveries = [Delivery(name, context, ending, interval) for name in names]
    if options.follow:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.nice(NICE)
        threading.Thread(target=_watch_driver, args=(ending,), daemon=True).start()
    else:
        ending.set()
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join()
    return all(delivery.delivered for delivery in deliveries)


def _watch_driver(ending: threading.Event) -> None:
    """Standard input ends when the driver lets go of it, or dies; a child of the driver's may hold it open longer."""
    parent = os.getppid()
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 4096):
            break
    ending.set()


if __name__ == "__main__":
    sys.exit(main())
