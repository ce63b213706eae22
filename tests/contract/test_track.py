"""What every tracker promises: it shows the journal, twice is the same as once, and a killed driver is noticed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import companion
from hopslite.companion import client
from hopslite.core import plugins
from hopslite.storage.journal import JournalReader
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.track import _interpreter
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import (
    Script,
    empty_database,
    mlflow_client,
    read_mlflow,
    sessions,
    tensorboard,
    until,
    whole_run,
)

GOOD, BAD = "good", "bad"
SHORT_DRIVER = """
import sys
from hopslite import companion
from hopslite.storage.run_directory import RunDir
from tests.helpers.servers import whole_run
run = RunDir(sys.argv[1])
handle = companion.follow(run, [sys.argv[2]], None, print)
whole_run(run)
handle.finish(0.0)
"""


@dataclasses.dataclass
class Seen:
    """A trial as a tracker's own interface shows it."""

    params: dict[str, Any]
    metrics: dict[str, float]
    reported: list[tuple[int, float]]
    end: str | None


def seen_by_mlflow(run: RunDir) -> dict[str, Seen]:
    uri = f"sqlite:///{Path(run.url).parent.parent}/mlflow.db"
    client = mlflow_client(uri)
    ends = {"FINISHED": GOOD, "FAILED": BAD, "KILLED": BAD, "RUNNING": None}
    found = {}
    for trial, child in read_mlflow(uri).items():
        if trial is None:
            continue
        metrics = {k: v for k, v in child.data.metrics.items() if k in ("metric", "reported", "accuracy", "loss")}
        history = client.get_metric_history(child.info.run_id, "accuracy")
        params = {name: float(v) if name in ("lr", "units") else v for name, v in child.data.params.items()}
        reported = list({point.step: point.value for point in history}.items())  # TensorBoard shows one for each step
        is_stopped = child.data.tags.get("hopslite.state") == "STOPPED"  # which MLflow has as killed
        found[trial] = Seen(params, metrics, reported, GOOD if is_stopped else ends[child.info.status])
    return found


def seen_by_tensorboard(run: RunDir) -> dict[str, Seen]:
    ends = {"STATUS_SUCCESS": GOOD, "STATUS_FAILURE": BAD, "STATUS_RUNNING": None, "STATUS_UNKNOWN": None}
    found = {}
    with tensorboard(run.url) as ask:
        groups = until(lambda: sessions(ask), "TensorBoard has loaded the run")
        for trial, group in groups.items():
            metrics = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
            name = f"trials/{trial}"
            tags = ask("plugin/scalars/tags").get(name, {})
            points = ask("plugin/scalars/scalars", run=name, tag="accuracy") if "accuracy" in tags else []
            reported = [(step, value) for _, step, value in points]
            end = ends[group["sessions"][0]["status"]]
            found[trial] = Seen(group["hparams"], metrics, reported, end)
    return found


READERS: dict[str, Callable[[RunDir], dict[str, Seen]]] = {
    "mlflow": seen_by_mlflow,
    "tensorboard": seen_by_tensorboard,
}


@pytest.fixture(params=plugins.names("track"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def see(name: str) -> Callable[[RunDir], dict[str, Seen]]:
    """How this tracker's own interface shows a run; one of another distribution brings none."""
    if name not in READERS:
        pytest.skip(f"{name} has no reader here")
    return READERS[name]


@pytest.fixture
def run(name: str, project: str) -> RunDir:
    """A new run, in a project that MLflow knows already."""
    run = Project(project).new_run("digits")[2]
    if name == "mlflow":
        empty_database(Path(project, "mlflow.db"))
    return run


def deliver(run: RunDir, *names: str) -> subprocess.CompletedProcess[str]:
    trackers = [part for name in names for part in ("--tracker", name)]
    return subprocess.run(
        [sys.executable, "-m", "hopslite.track", run.url, *trackers],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.slow("MLflow")
def test_shows_every_trial_and_twice_is_once(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    whole_run(run)

    first_delivery = deliver(run, name)
    first = see(run)
    second_delivery = deliver(run, name)

    assert (first_delivery.returncode, second_delivery.returncode) == (0, 0), first_delivery.stderr
    assert first == {
        "0000": Seen(
            {"lr": 0.25, "units": 3.0, "act": "relu"},
            {"accuracy": 0.5, "loss": 2.0},
            [(0, 0.0), (1, 0.25), (2, 0.5)],
            GOOD,
        ),
        "0001": Seen(
            {"lr": 0.5, "units": 3.0, "act": "tanh"},
            {"accuracy": 0.25, "loss": 2.0},
            [(0, 0.0), (1, 0.25), (2, 0.25)],  # the result, which is not what it reported last
            GOOD,
        ),
        "0002": Seen({"lr": 0.5, "units": 3.0, "act": "relu"}, {}, [], BAD),
    }
    assert see(run) == first


@pytest.mark.slow("MLflow")
def test_all_metrics_of_a_report_are_curves(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    script = Script(run, optimization_key="loss")
    script.begin()
    script.trial("0000", reports=0)
    for step in range(3):
        script.add("report", "0000", step=step, value=None, metrics={"accuracy": step / 4})
    script.add("report", "0000", step=3, value=2.0, metrics={"loss": 2.0, "accuracy": 0.5})
    script.end("0000", metric=2.0, outputs={"loss": 2.0, "accuracy": 0.75})
    script.finish()
    script.close()

    assert deliver(run, name).returncode == 0
    trial = see(run)["0000"]
    assert trial.reported == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]  # at the end its result
    assert trial.metrics == {"loss": 2.0, "accuracy": 0.75}


@pytest.mark.slow("MLflow")
def test_follows_a_run(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    warnings: list[str] = []
    script = Script(run)
    handle = companion.follow(run, [name], None, warnings.append)
    script.begin()
    script.trial("0000")
    script.end("0000")
    script.trial("0001")

    if name == "mlflow":
        until(lambda: "0000" in see(run) and see(run)["0000"].end == GOOD, "the first trial ended before the run did")
    else:
        until(lambda: list(Path(run.url).glob("trials/0001/*tfevents*")), "event files before the run's end")
    script.end("0001")
    process_of(handle).kill()  # another one goes on
    script.finish()
    script.close()

    assert handle.finish(60)
    assert {trial: seen.end for trial, seen in see(run).items()} == {"0000": GOOD, "0001": GOOD}
    assert warnings == []


def test_a_tracking_process_that_is_killed_again_and_again_is_given_up(
    name: str, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RESTARTS", 1)
    monkeypatch.setattr(_interpreter, "BOOT", "print('[half a line', flush=True); import os; os.kill(os.getpid(), 9)")
    warnings: list[str] = []
    handle = companion.follow(run, [name], None, warnings.append)
    assert not handle.finish(60)
    [line] = warnings
    assert line.startswith("the tracking process ended unexpectedly (status -9); deliver the run later with: ")
    assert line.endswith(f"-m hopslite.track {run.url}")


@pytest.mark.slow("MLflow")
def test_a_killed_driver_leaves_nothing_running(
    name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]
) -> None:
    driver = subprocess.Popen(
        [sys.executable, __file__, run.url, name],
        stdout=subprocess.PIPE,
        text=True,
        env=with_helpers(),
        start_new_session=True,
    )
    assert driver.stdout is not None
    tracking = psutil.Process(int(driver.stdout.readline()))
    tracking.send_signal(signal.SIGINT)  # Ctrl-C is the driver's affair

    driver.kill()
    driver.wait()
    driver.stdout.close()
    until(lambda: not tracking.is_running() or tracking.status() == psutil.STATUS_ZOMBIE, "the tracking process ends")

    assert {trial: seen.end for trial, seen in see(run).items()} == {"0000": GOOD, "0001": BAD}
    kinds = [event.kind for event in JournalReader(run).new()]
    assert "run_ended" not in kinds  # only the driver writes the journal


@pytest.mark.slow("MLflow")
def test_a_driver_may_end_at_once(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    subprocess.run(
        [sys.executable, "-c", SHORT_DRIVER, run.url, name], check=True, env=with_helpers(), timeout=PATIENCE_S
    )

    assert {trial: seen.end for trial, seen in see(run).items()} == {"0000": GOOD, "0001": GOOD, "0002": BAD}


@pytest.mark.slow("MLflow")
def test_two_first_runs_at_once(name: str, project: str, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    runs = [Project(project).new_run("digits")[2] for _ in range(2)]
    warnings: list[str] = []
    for number, run in enumerate(runs):
        script = Script(run)
        script.begin()
        script.trial(f"{number:04d}")
        script.end(f"{number:04d}")
        script.finish(best=f"{number:04d}")
        script.close()

    handles = [companion.follow(run, [name], None, warnings.append) for run in runs]

    assert [handle.finish(120) for handle in handles] == [True, True]
    assert warnings == []
    if name == "mlflow":
        parents = {handle.mlflow_run_id for handle in handles}
        client = mlflow_client(f"sqlite:///{project}/mlflow.db")
        assert {client.get_run(str(parent)).info.status for parent in parents} == {"FINISHED"}
        assert len(parents) == 2
    else:
        assert list(see(runs[1])) == ["0001"]


def process_of(followed: companion.FollowedRun) -> subprocess.Popen[bytes]:
    """The companion's process."""
    assert followed._companion is not None
    assert followed._companion._process is not None
    return followed._companion._process


def with_helpers() -> dict[str, str]:
    """The environment of a Python process that imports what this file imports."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
    }


def be_a_driver(url: str, name: str) -> None:
    """Follow a run that never ends; say the tracking process's id when the last event is delivered."""
    run = RunDir(url)
    script = Script(run)
    script.begin()
    script.trial("0000")
    script.end("0000")
    script.trial("0001")
    script.writer.close()
    handle = companion.follow(run, [name], None, print)
    until(lambda: _has_begun(run, name), "the second trial is known")
    print(process_of(handle).pid, flush=True)
    signal.pause()


def _has_begun(run: RunDir, name: str) -> bool:
    if name != "mlflow":
        return bool(list(Path(run.url).glob("trials/0001/*tfevents*")))
    if not run.exists("mlflow.json") or run.read_json("mlflow.json")["run_id"] is None:
        return False
    with contextlib.closing(sqlite3.connect(Path(run.url).parent.parent / "mlflow.db")) as database:
        known = database.execute("SELECT value FROM tags WHERE key = 'hopslite.trial_id'").fetchall()
    return ("0001",) in known


if __name__ == "__main__":
    be_a_driver(*sys.argv[1:])
