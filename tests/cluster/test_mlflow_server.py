"""A real `mlflow server`: late, hanging, and with a password in its address."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hopslite import companion
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import MlflowServer, Script, mlflow_client, read_mlflow, until, whole_run

pytestmark = pytest.mark.slow("MLflow")  # all of it: the first test starts the server

SECRET = "s3cr3t+word"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Not started: the first test does that."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture
def run(project: str) -> RunDir:
    return Project(project).new_run("digits")[2]


def process_of(followed: companion.FollowedRun) -> psutil.Process:
    """The companion's process."""
    assert followed._companion is not None
    assert followed._companion._process is not None
    return psutil.Process(followed._companion._process.pid)


def test_a_server_that_comes_up_during_the_run(server: MlflowServer, run: RunDir, project: str) -> None:
    warnings: list[str] = []
    uri = server.uri.replace("//", f"//ada:{SECRET}@")
    handle = companion.follow(run, ["mlflow"], uri, warnings.append)
    script = Script(run, name="late")
    script.begin()
    script.trial("0000")

    until(lambda: warnings, "a warning that there is no server")
    arguments = process_of(handle).cmdline()
    server.start()
    script.end("0000", outputs={"accuracy": float("nan"), "loss": float("inf")})
    script.finish()
    script.close()

    assert handle.finish(90)
    mlflow_runs = read_mlflow(server.uri, "late")
    assert mlflow_runs[None].info.run_id == handle.mlflow_run_id
    assert mlflow_runs["0000"].info.status == "FINISHED"
    history = mlflow_client(server.uri).get_metric_history(mlflow_runs["0000"].info.run_id, "accuracy")
    assert [point.step for point in history] == [0, 1, 2]
    assert len(warnings) == 1
    assert f"MLflow at {server.uri} cannot be reached" in warnings[0]
    written = [path.read_bytes() for path in Path(project).rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in content for content in written)
    assert SECRET not in "".join((*warnings, *arguments))


def test_a_server_that_hangs_holds_nobody_up(
    server: MlflowServer, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    warnings: list[str] = []
    server.signal(signal.SIGSTOP)
    try:
        handle = companion.follow(run, ["mlflow"], server.uri, warnings.append)
        whole_run(run, name="hanging")
        until(lambda: warnings, "a warning that the server does not answer")
        known, in_time = handle.mlflow_run_id, handle.finish(0.0)
    finally:
        server.signal(signal.SIGCONT)

    assert (known, in_time) == (None, False)
    assert "no answer in time" in warnings[0]
    assert handle.finish(90)
    mlflow_runs = read_mlflow(server.uri, "hanging")
    assert {trial: child.info.status for trial, child in mlflow_runs.items()} == {
        None: "FINISHED",
        "0000": "FINISHED",
        "0001": "KILLED",  # it was stopped, as its tag says
        "0002": "FAILED",
    }


def test_delivered_later_to_the_server_that_was_down(server: MlflowServer, run: RunDir) -> None:
    whole_run(run, name="later")
    # what a run leaves whose server was down until its end
    run.write_json("mlflow.json", {"run_id": None, "experiment_id": None, "tracking_uri": server.uri})

    for _ in range(2):
        command = [sys.executable, "-m", "hopslite.track", run.url, "--tracker", "mlflow"]
        subprocess.run(command, check=True, timeout=PATIENCE_S)

    mlflow_runs = read_mlflow(server.uri, "later")
    assert set(mlflow_runs) == {None, "0000", "0001", "0002"}
    client = mlflow_client(server.uri)
    assert {file.path for file in client.list_artifacts(mlflow_runs["0000"].info.run_id)} == {
        ".outputs.json",
        "output.log",
        "plot.png",
    }
