"""Real MLflow and TensorBoard programs for tests, journals to deliver, and how to read what was delivered."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hopslite.core.types import Event, Result, State
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.run_directory import RunDir
from hopslite.track import TensorBoardServer
from tests.helpers import ROOT

START_S = 600.0
T0 = 1_700_000_000.0
SPACE = {
    "lr": {"type": "uniform", "low": 0.1, "high": 1.0},
    "units": {"type": "integer", "low": 1, "high": 8},
    "act": {"type": "choice", "values": ["relu", "tanh"]},
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition: Callable[[], Any], description: str, seconds: float = 180.0) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"in {seconds:.0f} s it did not happen: {description}"
        time.sleep(0.05)
    return value


def empty_database(path: Path) -> str:
    """Put MLflow's tables, which take seconds to make, into a new SQLite database; its URI."""
    kept = ROOT / ".cache" / f"mlflow-{importlib.metadata.version('mlflow')}.db"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        made = kept.with_suffix(f".{os.getpid()}")
        mlflow_client(f"sqlite:///{made}").search_experiments()
        made.replace(kept)
    shutil.copy(kept, path)
    return f"sqlite:///{path}"


class MlflowServer:
    """`mlflow server` on 127.0.0.1 with artifacts behind it, over SQLite or the database at the URI `backend`."""

    def __init__(self, folder: Path, backend: str | None = None) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._backend = backend or empty_database(folder / "server.db")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", self._backend, "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with open(self._folder / "server.log", "wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until(self._answers, f"mlflow server answers; see {self._folder / 'server.log'}", START_S)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "server.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self._process.wait()


class Script:
    """Writes the journal of a run, step by step."""

    def __init__(self, run: RunDir, **data: Any) -> None:
        self.run = run
        self.writer = JournalWriter(run)
        self.time = T0
        self.data: dict[str, Any] = {
            "run_id": run.url.rpartition("/")[2],
            "name": "digits",
            "version": 1,
            "verb": "grid_search",
            "direction": "MAX",
            "optimization_key": "accuracy",
            "space": SPACE,
            "seed": 7,
            "user": "ada",
            "tags": {"team": "vision"},
            "description": "a search",
            "project": "p",
            "logdir": run.url,
            "parallelism": 2,
            "started": T0,
            **data,
        }

    def add(self, kind: str, trial: str | None = None, **data: Any) -> None:
        self.time += 0.25
        self.writer.append(Event(kind, self.time, trial, data))

    def begin(self) -> None:
        self.add("run_started", **self.data)

    def trial(self, trial: str, reports: int = 3, **params: Any) -> None:
        """A trial that has started and reported."""
        params = {"lr": 0.5, "units": 3, "act": "relu", **params}
        self.add("asked", trial, params=params, generation=1)
        self.add("started", trial, host="worker", attempt=0, gpus=[])
        for step in range(reports):
            self.add("report", trial, step=step, value=step / 4)
        self.add("sample", trial, cpu_percent=50.0, memory_mb=100.0)

    def end(self, trial: str, state: State = State.FINISHED, metric: float | None = 0.5, **result: Any) -> None:
        values = {"outputs": {"accuracy": metric, "loss": 2.0} if metric is not None else None, **result}
        done = Result(trial, state, metric, started=self.time - 1, duration=1.25, host="worker", **values)
        self.add("ended", trial, **done.to_json())

    def finish(self, state: State = State.FINISHED, best: str | None = "0000", metric: float | None = 0.5) -> None:
        self.add("run_ended", state=state.value, best_trial=best, metric=metric, duration=1.0, error=None)

    def close(self) -> None:
        assert self.writer.close() is None


def whole_run(run: RunDir, **data: Any) -> None:
    """A journal with a trial of each kind of end, and the files of one."""
    script = Script(run, **data)
    run.makedirs("trials/0000")
    run.write_bytes("trials/0000/output.log", b"epoch 1\n")
    run.write_bytes("trials/0000/.outputs.json", b'{"accuracy": 0.5}\n')
    run.write_bytes("trials/0000/plot.png", b"\x89PNG")
    script.begin()
    script.trial("0000", lr=0.25)
    script.end("0000", artifacts=("plot.png",))
    script.trial("0001", act="tanh")
    script.end("0001", State.STOPPED, 0.25)
    script.trial("0002", reports=0)
    script.end("0002", State.FAILED, None, error="ValueError: no", cause="exception")
    script.finish()
    script.close()


def read_mlflow(uri: str, name: str = "digits") -> dict[str | None, Any]:
    """MLflow's runs of an experiment, by trial; the parent under None. Fails when a trial has more than one."""
    client = mlflow_client(uri)
    experiment = client.get_experiment_by_name(name)
    runs_by_trial: dict[str | None, Any] = {}
    for run in client.search_runs([experiment.experiment_id]) if experiment else ():
        trial = run.data.tags.get("hopslite.trial_id")
        assert trial not in runs_by_trial, f"trial {trial} is there twice"
        runs_by_trial[trial] = run
    return runs_by_trial


def mlflow_client(uri: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def tensorboard(logdir: str) -> Iterator[Callable[..., Any]]:
    """The real program over a directory; the value asks its HTTP API."""
    server = TensorBoardServer(logdir)
    try:
        url = server.url(START_S)
        assert url is not None

        def ask(path: str, body: Any = None, **query: str) -> Any:
            data = None if body is None else json.dumps(body).encode()
            address = f"{url}data/{path}?{urllib.parse.urlencode(query)}"
            request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        yield ask
    finally:
        server.close()


def sessions(ask: Callable[..., Any]) -> dict[str, Any]:
    """HParams' session groups, by trial."""
    statuses = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
    body = {"experimentName": "", "allowedStatuses": statuses, "colParams": [], "startIndex": 0, "sliceSize": 100}
    try:
        answer = ask("plugin/hparams/session_groups", body)
    except urllib.error.HTTPError:  # nothing loaded yet
        return {}
    return {group["name"]: group for group in answer.get("sessionGroups", [])}
