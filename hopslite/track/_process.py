"""The driver's side of tracking: the process that follows a run's journal, started, heard and let go."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..store import RunDir
from ._tracker import command

__all__ = ["Handle", "boot", "environment", "start"]

# Not `python -m`: that would put the current directory, with whatever modules it has, before installed packages.
BOOT = """
import sys
root = sys.argv.pop(1)
sys.path[:] = [*([] if root in sys.path else [root]), *filter(None, sys.path)]
from {module} import main
sys.exit(main())
"""
ROOT = str(Path(__file__).resolve().parents[2])
ID_SECONDS = 15.0  # importing MLflow and making a new database may take this long on a busy machine
EXIT_SECONDS = 60.0


def boot(module: str, *arguments: str) -> list[str]:
    """The command line that runs `main` of one of our modules in a new interpreter."""
    return [sys.executable, "-c", BOOT.format(module=module), ROOT, *arguments]


def environment(tracking_uri: str | None) -> dict[str, str]:
    """That of a process which speaks to MLflow; the URI may hold a password, which `ps` must not show."""
    of_this = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return of_this if tracking_uri is None else {**of_this, "MLFLOW_TRACKING_URI": tracking_uri}


def start(run: RunDir, trackers: Sequence[str], tracking_uri: str | None, on_warning: Callable[[str], None]) -> Handle:
    """Follow a run's journal from a process of its own and tell the trackers of it.

    The process ends by itself when the run has ended and all is delivered, or soon after the driver's death; it takes
    no part in a Ctrl-C. `on_warning` is called from a thread, once for each thing that is worth knowing.
    """
    if not trackers:
        return Handle(run, None, on_warning)
    if "memory" in _protocols(run):
        on_warning(f"{run.url} is in this process's memory, which {' and '.join(trackers)} cannot read")
        return Handle(run, None, on_warning)
    chosen = [part for name in trackers for part in ("--tracker", name)]
    try:
        process = subprocess.Popen(
            boot("hopslite.track.__main__", run.url, "--follow", *chosen),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(tracking_uri),
            start_new_session=True,
        )
    except OSError as error:
        on_warning(f"tracking could not be started ({error}); deliver the run later with: {command(run)}")
        return Handle(run, None, on_warning)
    return Handle(run, process, on_warning, has_mlflow="mlflow" in trackers)


def _protocols(run: RunDir) -> tuple[str, ...]:
    protocol = run.fs.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


class Handle:
    """A run's tracking process, as the driver sees it. Safe from many threads."""

    def __init__(
        self,
        run: RunDir,
        process: subprocess.Popen[bytes] | None,
        on_warning: Callable[[str], None],
        has_mlflow: bool = False,
    ) -> None:
        self._run = run
        self._process = process
        self._on_warning = on_warning
        self._mlflow_run_id: str | None = None
        self._id_known = threading.Event()
        self._ended = threading.Event()
        self._started = time.monotonic()
        self._delivered = process is None
        if not has_mlflow:
            self._id_known.set()
        if process is None:
            self._ended.set()
            return
        self._thread = threading.Thread(target=self._listen, args=(process,), name="hopslite-track", daemon=True)
        self._thread.start()

    @property
    def mlflow_run_id(self) -> str | None:
        """The run's id in MLflow; waits for it in a run's first seconds. None: no MLflow, or it cannot be reached."""
        self._id_known.wait(max(0.0, self._started + ID_SECONDS - time.monotonic()))
        return self._mlflow_run_id

    def finish(self, timeout: float = 0.0) -> bool:
        """Say that the journal is complete, and wait some seconds until all of it is delivered.

        Delivery goes on after that; a driver that ends meanwhile waits for it (`EXIT_SECONDS` at most), so that nothing
        is cut off in a container that ends with it.

        Returns:
            Whether all of it is delivered.
        """
        if self._process is None:
            return True
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # end of file: no more events will come
        if not self._ended.wait(timeout):
            atexit.register(self._at_exit)
            return False
        return self._delivered

    def _at_exit(self) -> None:
        if not self._ended.wait(EXIT_SECONDS):
            self._on_warning(
                f"MLflow or TensorBoard have not been told all of the run yet; this goes on in the background. "
                f"Should it not come to an end, repeat it with: {command(self._run)}"
            )

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        said_goodbye = False
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                message = json.loads(line)
                self._take(message)
                said_goodbye = said_goodbye or "delivered" in message
        code = process.wait()
        if not said_goodbye:
            self._on_warning(
                f"the tracking process ended unexpectedly (status {code}); "
                f"deliver the run later with: {command(self._run)}"
            )
        self._id_known.set()
        self._ended.set()
        atexit.unregister(self._at_exit)

    def _take(self, message: dict[str, Any]) -> None:
        if "warning" in message:
            self._on_warning(message["warning"])
        if "mlflow_run_id" in message:
            self._mlflow_run_id = message["mlflow_run_id"]
        if "mlflow_run_id" in message or message.get("unavailable") == "mlflow":
            self._id_known.set()
        if "delivered" in message:
            self._delivered = message["delivered"]
