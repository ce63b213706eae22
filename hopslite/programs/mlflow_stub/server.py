"""Server of the MLflow stub, and delivery of the metrics that it received."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from ...executor.outputs import write_json
from .runs import LoggedMetric, Runs

__all__ = ["MetricReceiver", "MlflowCalls"]

HOST = "127.0.0.1"
RUNS = "runs.json"
ENDS_SECONDS = 5.0  # for a connection's thread, once its connection is closed
FULL_SECONDS = 0.05  # before the next try, when no more connections can be taken


class MetricReceiver(Protocol):
    """Receiver of metrics."""

    values: dict[str, float]

    def take(self, name: str, value: float, step: int | None) -> None: ...


class MlflowCalls:
    """MLflow server of one trial, for this machine only; a context manager.

    Metrics wait until `tell` is called, in the trial's own thread; `fileno` is readable when there are any. A program
    that does not use MLflow costs one port and one thread that sleeps.

    Args:
        folder: where artifacts are kept, and what the runs were; it is made when something is.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._told: deque[LoggedMetric] = deque()
        self._nested: dict[str, float] = {}
        self._runs = Runs(folder, self._hear)
        self._prefix = f"/{secrets.token_urlsafe(12)}"  # others on this machine reach the port, too
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._listens = socket.create_server((HOST, 0), backlog=128)
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="hopslite-mlflow-calls", daemon=True)
        self._thread.start()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Environment that directs a program's MLflow calls to this server."""
        exempt = [base.get("no_proxy", ""), base.get("NO_PROXY", "")]
        exempt = ["*"] if "*" in exempt else [*dict.fromkeys(filter(None, exempt)), HOST]
        return {
            **{name: value for name, value in base.items() if name != "MLFLOW_RUN_ID"},  # a run of another server
            "MLFLOW_TRACKING_URI": f"http://{HOST}:{self._listens.getsockname()[1]}{self._prefix}",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # cannot be opened
            "no_proxy": ",".join(exempt),
            "NO_PROXY": ",".join(exempt),
        }

    def fileno(self) -> int:
        return self._bell.fileno()

    def tell(self, metrics: MetricReceiver) -> None:
        """Deliver logged metrics; those of nested runs only if no other run has them, see `told_all`."""
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(1 << 12):
                pass
        while self._told:
            logged = self._told.popleft()
            if logged.nested:
                self._nested[logged.name] = logged.value
            else:
                metrics.take(logged.name, logged.value, logged.step)

    def told_all(self, metrics: MetricReceiver) -> None:
        """Deliver the remaining metrics after the program's end, also those that only nested runs have."""
        self.tell(metrics)
        for name, value in self._nested.items():
            metrics.values.setdefault(name, value)

    def __enter__(self) -> MlflowCalls:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed.set()
            threads = dict(self._open)
        with contextlib.suppress(OSError):
            self._listens.shutdown(socket.SHUT_RDWR)
        self._listens.close()
        for connection in threads.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *threads):
            thread.join(ENDS_SECONDS)
        self._bell.close()
        self._rope.close()
        if kept := self._runs.record():
            os.makedirs(self.folder, exist_ok=True)
            write_json(os.path.join(self.folder, RUNS), kept)

    def _hear(self, logged: list[LoggedMetric]) -> None:
        self._told.extend(logged)
        with contextlib.suppress(OSError):  # full, which rings as well, or the trial is over
            self._rope.send(b".")

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, peer = self._listens.accept()
            except OSError:
                self._closed.wait(FULL_SECONDS)
                continue
            thread = threading.Thread(target=self._serve, args=(connection, peer), daemon=True)
            with self._lock:
                if self._closed.is_set():
                    connection.close()
                    return
                self._open[thread] = connection
            try:
                thread.start()
            except RuntimeError:  # no more threads; the client tries again
                with self._lock:
                    del self._open[thread]
                connection.close()

    def _serve(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        from .http import serve  # http.server takes its time; most programs never call

        try:
            with contextlib.suppress(OSError), connection:
                serve(connection, peer, self._prefix, self._runs)
        finally:
            with self._lock:
                del self._open[threading.current_thread()]
