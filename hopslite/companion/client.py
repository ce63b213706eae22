"""Handles of the companion process and of the runs that it follows, in the driver."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..storage.run_directory import RunDir
from ..track import boot, command

__all__ = ["Companion", "FollowedRun"]

ID_SECONDS = 15.0  # importing MLflow and making a new database may take this long on a busy machine
RESTARTS = 3  # of a companion that is killed, before a run is delivered; telling the same again changes nothing
BACKLOG = 64  # connections that wait for TensorBoard to come up

Message = Mapping[str, Any]


class FollowedRun:
    """Handle of a run in the companion. Safe from many threads.

    `on_warning` is called from a thread, once for each thing that is worth knowing.
    """

    def __init__(
        self,
        run: RunDir,
        companion: Companion | None,
        trackers: Sequence[str] = (),
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.run, self.trackers, self.on_warning = run, tuple(trackers), on_warning
        self.has_ended = companion is None
        self._companion = companion
        self._owner = os.getpid()
        self._is_delivered = not trackers
        self._is_over = threading.Event()  # delivered, or given up
        self._mlflow_run_id: str | None = None
        self._id_known = threading.Event()
        self._started = time.monotonic()
        if companion is None or "mlflow" not in trackers:
            self._id_known.set()
        if companion is None or not trackers:
            self._is_over.set()

    @property
    def tensorboard_url(self) -> str | None:
        """Address of the run's page in TensorBoard; None without TensorBoard, or when it is gone."""
        root = self._companion.tensorboard_root if self._companion else None
        return f"{root}{os.path.basename(self.run.url)}/" if root else None

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the run in MLflow; waits in a run's first seconds. None without MLflow, or if it is unreachable."""
        if os.getpid() == self._owner:  # a forked child is told nothing
            self._id_known.wait(max(0.0, self._started + ID_SECONDS - time.monotonic()))
        return self._mlflow_run_id

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the trackers have all of the run; False if they have not, or will not."""
        if os.getpid() == self._owner:
            self._is_over.wait(timeout)
        return self._is_delivered

    @property
    def is_over(self) -> bool:
        """True when nothing more will be delivered."""
        return self._is_over.is_set()

    def finish(self, timeout: float = 0.0, has_plots: bool = False) -> bool:
        """Announce that the journal is complete, and wait some seconds for the delivery, which goes on after that.

        Args:
            has_plots: the run's figures are to be drawn.

        Returns:
            Whether all of it is delivered.
        """
        if self._companion is not None and os.getpid() == self._owner:
            self._companion.end(self, has_plots)
        return self.wait(timeout)

    def take(self, message: Message) -> None:
        """Note a status line of the companion."""
        if "warning" in message:
            self.on_warning(str(message["warning"]))
        if "mlflow_run_id" in message:
            self._mlflow_run_id = message["mlflow_run_id"]
        if "mlflow_run_id" in message or message.get("unavailable") == "mlflow":
            self._id_known.set()
        if "delivered" in message:
            self._is_delivered = bool(message["delivered"])
            self._id_known.set()
            self._is_over.set()

    def give_up(self, reason: str) -> None:
        """End this delivery, which the user can repeat."""
        if not self.is_over:
            self.take({"warning": f"{reason}; deliver the run later with: {command(self.run)}", "delivered": False})


class Companion:
    """Handle of a companion process, which is started again when it is killed. Safe from many threads.

    Attributes:
        tensorboard_root: address below which each run has a page; None without TensorBoard.
    """

    def __init__(self, project: str, environment: Mapping[str, str], has_tensorboard: bool) -> None:
        self._project, self._environment = project, dict(environment)
        self._lock = threading.RLock()  # guards all that follows
        self._numbers = itertools.count()
        self._runs: dict[int, FollowedRun] = {}  # that are active or not delivered
        self._to_draw: dict[str, bool] = {}  # runs, with a flag for MLflow
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._is_retired = self._is_closed = False
        self._listener = _listener() if has_tensorboard else None
        port = self._listener.getsockname()[1] if self._listener else None
        self.tensorboard_root = f"http://127.0.0.1:{port}/" if port else None

    @property
    def is_closed(self) -> bool:
        """True when it follows no more runs."""
        return self._is_closed

    def runs(self) -> list[FollowedRun]:
        """Runs that are active or not delivered."""
        with self._lock:
            return list(self._runs.values())

    def follow(self, run: RunDir, trackers: Sequence[str], on_warning: Callable[[str], None]) -> FollowedRun:
        """Follow a run until its end, and deliver it to the trackers.

        Raises:
            OSError: the process cannot be started.
        """
        with self._lock:
            followed = FollowedRun(run, self, trackers, on_warning)
            if self._process is None:
                self._process = self._start()
            number = next(self._numbers)
            self._runs[number] = followed
            self._send(_follow(number, followed))
            return followed

    def end(self, followed: FollowedRun, has_plots: bool) -> None:
        """Announce that a run has ended."""
        with self._lock:
            if followed.has_ended:
                return
            followed.has_ended = True
            if has_plots:
                self._to_draw[followed.run.url] = "mlflow" in followed.trackers
                self._send(_draw(followed.run.url, "mlflow" in followed.trackers))
            for number, run in list(self._runs.items()):
                if run is followed:
                    self._send({"ended": number})
                    if run.is_over:  # given up before
                        del self._runs[number]
            self._close_if_retired()

    def retire(self) -> None:
        """Follow no more runs; the process ends when it has delivered and drawn those that it has."""
        with self._lock:
            self._is_retired = True
            self._close_if_retired()

    def _close_if_retired(self) -> None:
        if self._is_retired and all(run.has_ended for run in self._runs.values()):
            self._close()

    def _close(self) -> None:
        self._is_closed = True
        self.tensorboard_root = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def forget(self) -> None:
        """Close this process's ends of the connections: it is a forked child of the driver."""
        for stream in (self._listener, *((self._process.stdin, self._process.stdout) if self._process else ())):
            if stream is not None:
                stream.close()

    # --- the process

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno() if self._listener else -1
        process = subprocess.Popen(
            boot("hopslite.companion.process", str(descriptor)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=[descriptor] if self._listener else [],
            env=self._environment,
            start_new_session=True,
        )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)  # one that stands still must not hold the driver up
        self._process = process
        self._send({"project": self._project})
        threading.Thread(target=self._listen, args=(process,), name="hopslite-companion", daemon=True).start()
        return process

    def _send(self, message: Message) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdin.closed:
            return
        line = json.dumps(message).encode() + b"\n"
        try:
            is_sent = process.stdin.write(line) == len(line)
        except OSError:  # it is dead; `_listen` starts another one, which is told all of it
            return
        if not is_sent:  # it does not read
            process.kill()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Read the process's status lines until its end, and start another one if that was not wanted."""
        assert process.stdout is not None
        with contextlib.suppress(OSError), io.BufferedReader(process.stdout) as lines:  # type: ignore[type-var]
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:  # incomplete line: the process was killed
                    continue
                if isinstance(message, dict):
                    self._take(message)
        self._on_end(process.wait())

    def _take(self, message: Message) -> None:
        with self._lock:
            followed = self._runs.get(message.get("run", -1))
            self._to_draw.pop(message.get("drawn", ""), None)
            if followed is not None and "delivered" in message:
                self._restarts = 0
                if followed.has_ended:
                    del self._runs[message["run"]]
        if followed is not None:
            followed.take(message)  # without the lock: it calls the user's display

    def _on_end(self, code: int) -> None:
        failure = f"the tracking process ended unexpectedly (status {code})"
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
            if self._is_closed and not self._runs and not self._to_draw:
                return
            if self._restarts < RESTARTS:
                self._restarts += 1
                try:
                    self._start_again()
                    return
                except OSError as error:
                    failure = f"the tracking process cannot be started ({error})"
            self._close()
            given_up, self._runs = list(self._runs.values()), {}
        for followed in given_up:
            followed.give_up(failure)

    def _start_again(self) -> None:
        self._start()
        for number, followed in self._runs.items():
            self._send(_follow(number, followed))
            if followed.has_ended:
                self._send({"ended": number})
        for url, has_mlflow in self._to_draw.items():
            self._send(_draw(url, has_mlflow))
        self._close_if_retired()


def _follow(number: int, followed: FollowedRun) -> Message:
    return {"follow": number, "url": followed.run.url, "trackers": [] if followed.is_over else followed.trackers}


def _draw(url: str, has_mlflow: bool) -> Message:
    return {"draw": url, "mlflow": has_mlflow}


def _listener() -> socket.socket | None:
    """Socket on which TensorBoard is reached; of the driver, so that it outlives a companion that is killed."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as cleanup:
        listener = cleanup.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        cleanup.pop_all()
        return listener
    return None
