"""`hopslite run` on executors that are processes of their own: what travels, what comes back, what is said."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.storage.fs.urls import forget_connections
from hopslite.storage.run_directory import RunDir
from tests.helpers.spark_cluster import StandaloneCluster

TRAIN = """
import argparse, json, os, sys, time
import psutil
from parts import model

options = argparse.ArgumentParser()
options.add_argument("--lr", type=float)
options.add_argument("--kind")
options.add_argument("--batch-size", type=int)
options.add_argument("--fast", action="store_true")
options.add_argument("--layers", nargs="*")
options = options.parse_args()
if options.lr == 0:
    print("lr must not be 0", file=sys.stderr)
    sys.exit(3)

# Until a trial runs on each executor.
open(os.path.join(os.environ["MEETING"], str(options.lr)), "w").close()
until = time.monotonic() + 90
while len(os.listdir(os.environ["MEETING"])) < int(os.environ["TOGETHER"]) and time.monotonic() < until:
    time.sleep(0.05)

losses = [model.loss(options.lr, step) for step in range(3)]
for step, loss in enumerate(losses):
    print(json.dumps({"metric": "loss", "value": loss, "step": step}), flush=True)
if options.lr == 0.25 and not options.fast:  # once: these imports cost seconds
    import mlflow
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    writer = EventFileWriter("logs")
    with mlflow.start_run():
        for step, loss in enumerate(losses):
            mlflow.log_metric("by_mlflow", loss * 2, step=step)
            value = Summary.Value(tag="by_event", simple_value=step)
            writer.add_event(Event(step=step, summary=Summary(value=[value])))
        mlflow.log_text(options.kind, "kind.txt")
    writer.close()
told = {
    "files": sorted(os.path.relpath(os.path.join(place, name)) for place, _, names in os.walk(".") for name in names),
    "data": open(os.environ["HOPSLITE_INPUT_DATA"]).read(),
    "token": os.environ["TOKEN"],
    "java": next(each.pid for each in psutil.Process().parents() if "java" in each.name()),
    "above": [each.pid for each in psutil.Process().parents()],
    "kind": options.kind,
    "typed": sys.argv[1:],
}
with open(os.path.join(os.environ["HOPSLITE_OUTPUT"], "told.json"), "w") as file:
    json.dump(told, file)
"""


@pytest.fixture
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A project that is on another machine."""
    server = request.getfixturevalue("s3")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    yield str(server.fresh())
    forget_connections()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    files = {
        "train.py": TRAIN,
        "parts/__init__.py": "",
        "parts/model.py": "def loss(lr, step):\n    return lr / (step + 1)\n",
        ".hopsliteignore": "*.csv\nprivate/\n",
        "large.csv": "1",
        "private/key.txt": "1",
        ".env": "TOKEN=s3cret-token",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Runs:
    """The command, as a user gives it in the program's folder."""

    def __init__(self, code: Path, environment: Mapping[str, str], options: list[str]) -> None:
        self._code, self._environment, self._options = code, environment, options

    def __call__(self, *words: str) -> tuple[int, int, str]:
        """The exit code, the number of its process, and all that it says."""
        with subprocess.Popen(
            [sys.executable, "-m", "hopslite.cli", "run", *self._options, *words],
            cwd=self._code,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            said, _ = process.communicate(timeout=250)
            return process.returncode, process.pid, said


@pytest.fixture
def hopslite_run(code: Path, tmp_path: Path, standalone_cluster: StandaloneCluster, store: str) -> Runs:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    (tmp_path / "data.txt").write_text("the data")
    (code / "my.env").write_text(f"TOKEN=s3cret-token\nMEETING={meeting}\nTOGETHER=2\n")
    environment = {**os.environ, "HOPSLITE_PROJECT": store}
    options = ["--master", standalone_cluster.url, "--env", "my.env"]
    return Runs(code, environment, [*options, "--input", f"data={tmp_path / 'data.txt'}"])


def describe(trial: Any) -> Any:
    return json.loads(RunDir(trial.logdir).read_bytes("output/told.json"))


def archive(run: Any) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(RunDir(run.logdir).read_bytes("code.zip")))


@pytest.mark.slow("clusters")
def test_a_program_with_its_folder(hopslite_run: Runs, code: Path, store: str) -> None:
    metric = ["--metric", "loss", "--direction", "min", "-m", "three"]
    status, driver, said = hopslite_run(*metric, "train.py", "--lr", "[0.5, 0.25, 0]", "--kind", "a b")
    assert status == 1, said
    for unwanted in ("Traceback", "Exception", "[Stage", "s3cret-token"):
        assert unwanted not in said
    assert "trial 0002 failed: train.py ended with exit status 3: lr must not be 0" in said
    assert "best parameters: lr=0.25, kind='a b'" in said

    run = experiment.load("train", project=store)
    assert (run.version, run.description, run.tags) == (1, "three", {"command": "train.py"})
    assert [str(trial.state) for trial in run.trials] == ["FINISHED", "FINISHED", "FAILED"]
    assert (run.best_params, run.best_metric) == ({"lr": 0.25, "kind": "a b"}, 0.25 / 3)
    assert (run.trials[2].error, run.trials[2].cause) == ("train.py ended with exit status 3: lr must not be 0", "exit")
    assert [(trial.outputs or {})["loss"] for trial in run.trials[:2]] == [0.5 / 3, 0.25 / 3]
    assert (run.best_outputs["by_mlflow"], run.best_outputs["by_event"]) == (0.5 / 3, 2.0)
    files = RunDir(run.best_logdir)
    [artifact] = [name for name in files.sizes() if name.endswith("kind.txt")]
    assert artifact.startswith("output/mlflow/")
    assert files.read_bytes(artifact) == b"a b"
    reports = run.reports().query("metric == 'loss'")
    assert reports[reports["trial"] == "0000"][["step", "value"]].values.tolist() == [[0, 0.5], [1, 0.25], [2, 0.5 / 3]]

    descriptions = [describe(trial) for trial in run.trials[:2]]
    assert len({description["java"] for description in descriptions}) == 2, "one executor has run both"
    for description, trial in zip(descriptions, run.trials, strict=False):
        assert driver not in description["above"]
        assert [name for name in description["files"] if "tfevents" not in name and ".pyc" not in name] == [
            ".hopsliteignore",
            "parts/__init__.py",
            "parts/model.py",
            "train.py",
        ]
        assert (description["data"], description["token"], description["kind"]) == ("the data", "s3cret-token", "a b")
        assert b'{"metric": "loss"' in RunDir(trial.logdir).read_bytes("output.log")
    kept = RunDir(run.logdir)
    assert [name for name in kept.sizes() if b"s3cret-token" in kept.read_bytes(name)] == [
        f"trials/{trial.id}/output/told.json" for trial in run.trials[:2]
    ]

    (code / "parts" / "model.py").write_text("def loss(lr, step):\n    return 7\n")
    typed = ["--kind=x", "--batch-size", "8", "--fast", "--layers", "64", "32"]
    status, _, said = hopslite_run("train.py", "--lr", "[5e-1, 0.250]", *typed)
    assert status == 0, said
    second = experiment.load("train", project=store)
    assert second.version == 2
    assert [(trial.outputs or {})["loss"] for trial in second.trials] == [7.0, 7.0]
    assert [describe(trial)["typed"] for trial in second.trials] == [["--lr", lr, *typed] for lr in ("5e-1", "0.250")]
    assert b"return 7" in archive(second).read("parts/model.py")
    assert b"return lr" in archive(run).read("parts/model.py")
    assert sorted(archive(run).namelist()) == [".hopsliteignore", "parts/__init__.py", "parts/model.py", "train.py"]
