"""The command `hopslite` and a run's progress in a real terminal: what is seen there, and what Ctrl-C does."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from hopslite import experiment
from hopslite.errors import HopsliteError
from hopslite.storage.project import Project
from tests.helpers.observe import PATIENCE_S, eventually
from tests.helpers.servers import free_port

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")
HOPSLITE = [sys.executable, "-m", "hopslite.cli"]

WAITS = """
import os, time
from hopslite import experiment

GO, HOLD = "{go}", "{hold}"

def train(n):
    while os.path.exists(HOLD):
        time.sleep(0.1)
    for step in range(100000):
        print(f"trial {n} step {step}", flush=True)
        if n < 2 or os.path.exists(GO):
            return n
        time.sleep(0.1)

experiment.grid_search(train, {"n": [0, 1, 2, 3]}, name="waits", pool="inline")
"""


@contextlib.contextmanager
def terminal(*command: str, columns: int = 100, **environment: str) -> Iterator[Any]:
    child = pexpect.spawn(
        command[0],
        list(command[1:]),
        env={**os.environ, "TERM": "xterm-256color", **environment},
        dimensions=(40, columns),
        encoding="utf-8",
        timeout=PATIENCE_S,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def finished(child: Any) -> tuple[int, str]:
    """What a program that ends has written, without what draws it, and its exit code."""
    child.expect(pexpect.EOF)
    child.wait()
    return (child.exitstatus, ANSI.sub("", child.before))


@pytest.fixture
def waits(tmp_path: Path, project: str) -> Path:
    program = tmp_path / "waits.py"
    program.write_text(WAITS.replace("{go}", str(tmp_path / "go")).replace("{hold}", str(tmp_path / "hold")))
    return program


@pytest.fixture
def finished_run(project: str) -> experiment.Run:
    def train(n: int) -> int:
        return n

    return experiment.grid_search(train, {"n": [1, 2]}, name="digits " + "long " * 10, pool="inline", display=False)


def began(trials: int = 3) -> None:
    """Wait for the first trials; the third waits for the file `go`, and all of them until there is no `hold`."""

    def look() -> bool:
        try:
            return len(experiment.load("waits").trials) == trials
        except HopsliteError:  # there is no such run yet
            return False

    eventually(look, f"{trials} trials")


def test_progress_and_an_interrupt(waits: Path, project: str) -> None:
    with terminal(sys.executable, str(waits)) as child:
        child.expect("waits version 1")
        child.expect(r"25%\|.*best 0")
        began()
        child.sendintr()
        code, _ = finished(child)
    assert code != 0
    [run_id] = Project(project).runs()
    loaded = experiment.load(run_id)
    assert (str(loaded.state), len(loaded.trials), loaded.best_metric) == ("KILLED", 3, 1)


def test_following_a_trial(waits: Path, project: str) -> None:
    go = waits.parent / "go"
    hold = waits.parent / "hold"
    hold.touch()
    with terminal(sys.executable, str(waits)) as running:
        began(1)
        with terminal(*HOPSLITE, "logs", "waits", "2", "-f") as first:
            code, text = finished(first)
            assert (code, "has no trial '2'" in text) == (3, True), text
        hold.unlink()
        began()
        with terminal(*HOPSLITE, "logs", "waits", "2", "-f") as child:
            child.expect("trial 2 step 0")
            child.expect("trial 2 step [3-9]")
            assert str(experiment.load("waits").state) == "RUNNING"
            with terminal(*HOPSLITE, "show", "waits") as shown:
                code, text = finished(shown)
                assert (code, "RUNNING" in text) == (0, True)
            go.touch()
            assert finished(child)[0] == 0
        assert finished(running)[0] == 0


def test_following_is_interrupted(waits: Path, project: str) -> None:
    with terminal(sys.executable, str(waits)) as running:
        began()
        with terminal(*HOPSLITE, "logs", "waits", "2", "-f") as child:
            child.expect("step 1")
            child.sendintr()
            code, text = finished(child)
            assert code == 130
            assert "Traceback" not in text
        running.sendintr()


@pytest.mark.parametrize("columns", [40, 120])
def test_tables_fit_the_terminal(finished_run: experiment.Run, columns: int) -> None:
    with terminal(*HOPSLITE, "ls", columns=columns) as child:
        child.expect(pexpect.EOF)
        assert "\x1b[32mFINISHED" in child.before, "no colours in a terminal"
        lines = ANSI.sub("", child.before).split("\n")
    assert max(map(len, lines)) <= columns
    assert "digits" in lines[1]


def test_no_colours_where_nobody_looks(finished_run: experiment.Run) -> None:
    command = shlex.join([*HOPSLITE, "ls"]) + " | cat"
    with terminal("bash", "-c", command) as child:
        child.expect(pexpect.EOF)
        assert "\x1b[3" not in child.before
        assert finished_run.name in child.before


def test_deleting_asks(finished_run: experiment.Run, project: str) -> None:
    for reply, left in (("n", 1), ("y", 0)):
        with terminal(*HOPSLITE, "rm", finished_run.run_id) as child:
            child.expect(r"Delete 1 run for good\? \[y/N\]")
            child.sendline(reply)
            finished(child)
        assert len(Project(project).runs()) == left


@contextlib.contextmanager
def served(*command: str, **environment: str) -> Iterator[tuple[str, str]]:
    """The address that a command prints, and what it wrote before; after Ctrl-C nothing of it is left."""
    with terminal(*HOPSLITE, *command, "--no-browser", **environment) as child:
        child.expect(r"(http://127\.0\.0\.1:\d+)/?(#\S*)?", timeout=PATIENCE_S)
        url, before = (
            f"{child.match[1]}/{child.match[2]}" if child.match[2] else child.match[1],
            ANSI.sub("", child.before),
        )
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        yield url, before
        child.sendintr()
        code, text = finished(child)
        assert code == 0, text
        _, alive = psutil.wait_procs(family, timeout=15)
        assert not alive, [process.cmdline() for process in alive]


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


@pytest.mark.slow("terminals")
def test_tensorboard_on_several_runs(project: str) -> None:
    def train(n: int) -> int:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        from hopslite import tensorboard

        writer = EventFileWriter(str(tensorboard.logdir()))
        writer.add_event(Event(step=1, summary=Summary(value=[Summary.Value(tag="loss", simple_value=0.5)])))
        writer.close()
        return n

    for _ in range(2):
        experiment.grid_search(train, {"n": [1]}, name="curves", pool="inline", display=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with served("tensorboard", "curves/1", "curves/2", "--port", str(port)) as (url, before):
            assert f"port {port} is in use; taking " in before
            assert not url.endswith(f":{port}")
            for name in ("curves-1/", "curves-2/"):
                eventually(lambda name=name: name in fetched(f"{url}/data/runs"), name)


@pytest.mark.slow("MLflow")
def test_mlflow_on_the_project(project: str) -> None:
    def train(n: int) -> int:
        return n

    uri = f"sqlite:///{project}/mlflow.db"
    run = experiment.grid_search(train, {"n": [1, 2]}, name="seen", pool="inline", display=False, tracking_uri=uri)
    assert run.wait_until_tracked(120)
    port = free_port()
    with served("ui", "--port", str(port), HOPSLITE_TRACKING_URI="") as (page, _):
        url = f"http://127.0.0.1:{port}"
        assert page == f"{url}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=hopslite"
        assert "<title>MLflow</title>" in fetched(url)
        found = fetched(f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=seen")
        assert '"name": "seen"' in found


@pytest.mark.slow("MLflow")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_mlflow_does_not_outlive_a_command_that_is_killed(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with terminal(*HOPSLITE, "ui", "--no-browser", "--port", str(free_port()), HOPSLITE_TRACKING_URI=uri) as child:
        child.expect("http://", timeout=PATIENCE_S)
        family = psutil.Process(child.pid).children(recursive=True)
        assert family
        child.kill(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        assert not alive, [process.cmdline() for process in alive]


@pytest.mark.parametrize(
    ("uri", "message"),
    [("off", "MLflow is off"), ("", "has no MLflow yet")],
)
def test_mlflow_that_is_not_there(finished_run: experiment.Run, uri: str, message: str) -> None:
    with terminal(*HOPSLITE, "ui", HOPSLITE_TRACKING_URI=uri, MLFLOW_TRACKING_URI="") as child:
        code, text = finished(child)
    assert (code, message in text) == (1, True)


def test_a_run_is_resumed(waits: Path, project: str) -> None:
    with terminal(sys.executable, str(waits)) as child:
        began()
        child.sendintr()
        finished(child)
    assert shutil.which("java"), "resuming runs on Spark"
    (waits.parent / "go").touch()
    with terminal(*HOPSLITE, "resume", "waits", "--parallelism", "1") as child:
        code, text = finished(child)
    assert code == 0, text
    assert experiment.load("waits").counts == {"FINISHED": 4}
