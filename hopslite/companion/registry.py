"""The companion of this process: found or started for a run, left behind by forks, and waited for at exit."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ..storage.fs.urls import access_variables, scheme_of
from ..storage.run_directory import RunDir
from ..track import command, environment
from .client import Companion, FollowedRun

__all__ = ["follow"]

QUIET_SECONDS = 1.0  # of waiting at exit without a message
EXIT_SECONDS = 60.0
NAMED = 3  # runs in a message
# The environment by which MLflow, the stores' packages and Python work; what MLflow sets for its own active run changes
# all the time and does not count, since the companion names experiments and runs itself.
PREFIXES = ("MLFLOW_", "PYTHON", "SSL_", "REQUESTS_", "CURL_")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
NAMES = ("TMPDIR", "PATH", *PROXIES, *map(str.upper, PROXIES))
OF_ACTIVE_RUNS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ACTIVE_MODEL_ID")


def follow(
    run: RunDir,
    trackers: Sequence[str],
    tracking_uri: str | None,
    on_warning: Callable[[str], None],
    has_tensorboard: bool = False,
) -> FollowedRun:
    """Have the companion follow a run's journal and deliver it to the trackers.

    The companion ends by itself when the driver has ended and all is delivered and drawn; it takes no part in a Ctrl-C.
    When it is killed another one takes its place.

    Args:
        on_warning: is called from a thread, once for each thing that is worth knowing.
        has_tensorboard: the run has a page in TensorBoard, which comes up when it is opened.
    """
    if scheme_of(run.url) == "memory":
        if trackers:
            on_warning(f"{run.url} is in this process's memory, which {' and '.join(trackers)} cannot read")
        return FollowedRun(run, None, trackers)
    return _of_process.follow(run, trackers, tracking_uri, on_warning, has_tensorboard)


class _Registry:
    """Companions of one process: the current one, and earlier ones that have not delivered everything."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._key: object = None
        self._companions: list[Companion] = []  # the current one is the last

    def follow(
        self,
        run: RunDir,
        trackers: Sequence[str],
        tracking_uri: str | None,
        on_warning: Callable[[str], None],
        has_tensorboard: bool,
    ) -> FollowedRun:
        project = run.url.rsplit("/", 2)[0]
        its_environment = environment(tracking_uri)
        key = (project, has_tensorboard, _relevant(its_environment), _folder(tracking_uri))
        with self._lock:
            companion = self._current(key) or self._new(key, Companion(project, its_environment, has_tensorboard))
            if has_tensorboard and companion.tensorboard_root is None:
                on_warning("TensorBoard is not served: no port of 127.0.0.1 could be bound")
            try:
                return companion.follow(run, trackers, on_warning)
            except OSError as error:
                on_warning(f"tracking could not be started ({error}); deliver the run later with: {command(run)}")
                return FollowedRun(run, None, trackers)

    def _current(self, key: object) -> Companion | None:
        return self._companions[-1] if self._key == key and not self._companions[-1].is_closed else None

    def _new(self, key: object, companion: Companion) -> Companion:
        for earlier in self._companions:
            earlier.retire()
        self._companions = [*(earlier for earlier in self._companions if earlier.runs()), companion]
        self._key = key
        return companion

    def wait_at_exit(self) -> None:
        """Wait for deliveries; Ctrl-C leaves them to the companion, which goes on."""
        runs = [run for companion in self._companions for run in companion.runs() if run.has_ended]
        if not runs:
            return
        try:
            if _wait(runs, QUIET_SECONDS):
                return
            runs[-1].on_warning(
                f"waiting for up to {EXIT_SECONDS:g} s until MLflow and TensorBoard have been told all of "
                f"{_named(runs)}; with Ctrl-C this goes on in the background"
            )
            is_delivered = _wait(runs, EXIT_SECONDS - QUIET_SECONDS)
        except KeyboardInterrupt:
            return
        if not is_delivered:
            runs = [run for run in runs if not run.is_over]
            commands = "; ".join(command(run.run) for run in runs[:NAMED])
            runs[-1].on_warning(
                f"MLflow or TensorBoard have not been told all of {_named(runs)} yet; this goes on in the background. "
                f"Should it not come to an end, repeat it with: {commands}"
            )

    def forget(self) -> None:
        """Start anew in a forked child: the companion is its parent's, and a thread may have held the lock."""
        for companion in self._companions:
            companion.forget()
        self._begin()


def _wait(runs: Sequence[FollowedRun], seconds: float) -> bool:
    until = time.monotonic() + seconds
    for run in runs:
        run.wait(max(0.0, until - time.monotonic()))
    return all(run.is_over for run in runs)


def _named(runs: Sequence[FollowedRun]) -> str:
    names = [os.path.basename(run.run.url) for run in runs]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{'run' if len(names) == 1 else 'runs'} {', '.join(names[:NAMED])}{more}"


def _relevant(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Environment variables that make a difference to the companion."""
    chosen = {name: value for name, value in variables.items() if name.startswith(PREFIXES) or name in NAMES}
    chosen |= access_variables(variables)
    return {name: value for name, value in chosen.items() if name not in OF_ACTIVE_RUNS}


def _folder(tracking_uri: str | None) -> str | None:
    """Working directory, if the tracking URI is relative to it."""
    scheme, separator, place = (tracking_uri or "").partition("://")
    is_relative = not os.path.isabs(scheme) if not separator else scheme.startswith("sqlite") and place[:2] != "//"
    return os.getcwd() if tracking_uri and is_relative else None


# Of the whole process, because what it bounds is: a notebook with a hundred runs must not keep a hundred programs.
_of_process = _Registry()
atexit.register(_of_process.wait_at_exit)
os.register_at_fork(after_in_child=_of_process.forget)
