"""A real `mlflow server`: late, hanging, and with a password in its address."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from servers import MlflowServer, Script, mlflow_client, read_mlflow, until, whole_run

from hopslite import track
from hopslite.store import Project, RunDir

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


def test_a_server_that_comes_up_during_the_run(server: MlflowServer, run: RunDir, project: str) -> None:
    warnings: list[str] = []
    uri = server.uri.replace("//", f"//ada:{SECRET}@")
    handle = track.start(run, ["mlflow"], uri, warnings.append)
    assert handle._process is not None
    script = Script(run, name="late")
    script.begin()
    script.trial("0000")

    until(lambda: warnings, "a warning that there is no server")
    arguments = psutil.Process(handle._process.pid).cmdline()
    server.start()
    script.end("0000", outputs={"accuracy": float("nan"), "loss": float("inf")})
    script.finish()
    script.close()

    assert handle.finish(90)
    found = read_mlflow(server.uri, "late")
    assert found[None].info.run_id == handle.mlflow_run_id
    assert found["0000"].info.status == "FINISHED"
    history = mlflow_client(server.uri).get_metric_history(found["0000"].info.run_id, "reported")
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
        handle = track.start(run, ["mlflow"], server.uri, warnings.append)
        whole_run(run, name="hanging")
        until(lambda: warnings, "a warning that the server does not answer")
        known, in_time = handle.mlflow_run_id, handle.finish(0.0)
    finally:
        server.signal(signal.SIGCONT)

    assert (known, in_time) == (None, False)
    assert "no answer in time" in warnings[0]
    assert handle.finish(90)
    found = read_mlflow(server.uri, "hanging")
    assert {trial: child.info.status for trial, child in found.items()} == {
        None: "FINISHED",
        "0000": "FINISHED",
        "0001": "FINISHED",
        "0002": "FAILED",
    }


def test_delivered_later_to_the_server_that_was_down(server: MlflowServer, run: RunDir) -> None:
    whole_run(run, name="later")
    # what a run leaves whose server was down until its end
    run.write_json("mlflow.json", {"run_id": None, "experiment_id": None, "tracking_uri": server.uri})

    for _ in range(2):
        command = [sys.executable, "-m", "hopslite.track", run.url, "--tracker", "mlflow"]
        subprocess.run(command, check=True, timeout=120)

    found = read_mlflow(server.uri, "later")
    assert set(found) == {None, "0000", "0001", "0002"}
    client = mlflow_client(server.uri)
    assert {file.path for file in client.list_artifacts(found["0000"].info.run_id)} == {
        ".outputs.json",
        "output.log",
        "plot.png",
    }
