"""What every tracker promises: it shows the journal, twice is the same as once, and a killed driver is noticed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from servers import Script, mlflow_client, read_mlflow, sessions, tensorboard, until, whole_run

from hopslite import _plugins, track
from hopslite.store import JournalReader, Project, RunDir

GOOD, BAD = "good", "bad"
SHORT_DRIVER = """
import sys
from hopslite import track
from hopslite.store import RunDir
from servers import whole_run
run = RunDir(sys.argv[1])
handle = track.start(run, [sys.argv[2]], None, print)
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
        metrics = {k: v for k, v in child.data.metrics.items() if k in ("metric", "accuracy", "loss")}
        history = client.get_metric_history(child.info.run_id, "reported")
        params = {name: float(v) if name in ("lr", "units") else v for name, v in child.data.params.items()}
        reported = [(point.step, point.value) for point in history]
        found[trial] = Seen(params, metrics, reported, ends[child.info.status])
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
            points = ask("plugin/scalars/scalars", run=name, tag="reported") if "reported" in tags else []
            reported = [(step, value) for _, step, value in points]
            end = ends[group["sessions"][0]["status"]]
            found[trial] = Seen(group["hparams"], {k: v for k, v in metrics.items() if k != "reported"}, reported, end)
    return found


READERS: dict[str, Callable[[RunDir], dict[str, Seen]]] = {
    "mlflow": seen_by_mlflow,
    "tensorboard": seen_by_tensorboard,
}


@pytest.fixture(params=_plugins.names("track"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def see(name: str) -> Callable[[RunDir], dict[str, Seen]]:
    """How this tracker's own interface shows a run; one of another distribution brings none."""
    if name not in READERS:
        pytest.skip(f"{name} has no reader here")
    return READERS[name]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow_client(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def run(name: str, project: str, empty_database: Path) -> RunDir:
    """A new run, in a project that MLflow knows already."""
    run = Project(project).new_run("digits")[2]
    if name == "mlflow":
        shutil.copy(empty_database, project)
    return run


def deliver(run: RunDir, *names: str) -> subprocess.CompletedProcess[str]:
    trackers = [part for name in names for part in ("--tracker", name)]
    return subprocess.run(
        [sys.executable, "-m", "hopslite.track", run.url, *trackers],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_shows_every_trial_and_twice_is_once(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    whole_run(run)

    first_delivery = deliver(run, name)
    first = see(run)
    second_delivery = deliver(run, name)

    assert (first_delivery.returncode, second_delivery.returncode) == (0, 0), first_delivery.stderr
    assert first == {
        "0000": Seen(
            {"lr": 0.25, "units": 3.0, "act": "relu"},
            {"metric": 0.5, "accuracy": 0.5, "loss": 2.0},
            [(0, 0.0), (1, 0.25), (2, 0.5)],
            GOOD,
        ),
        "0001": Seen(
            {"lr": 0.5, "units": 3.0, "act": "tanh"},
            {"metric": 0.25, "accuracy": 0.25, "loss": 2.0},
            [(0, 0.0), (1, 0.25), (2, 0.5)],
            GOOD,
        ),
        "0002": Seen({"lr": 0.5, "units": 3.0, "act": "relu"}, {}, [], BAD),
    }
    assert see(run) == first


def test_follows_a_run(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    warnings: list[str] = []
    script = Script(run)
    handle = track.start(run, [name], None, warnings.append)
    script.begin()
    script.trial("0000")
    script.end("0000")
    script.trial("0001")

    if name == "mlflow":
        until(lambda: "0000" in see(run) and see(run)["0000"].end == GOOD, "the first trial ended before the run did")
    else:
        until(lambda: list(Path(run.url).glob("trials/0001/*tfevents*")), "event files before the run's end")
    script.end("0001")
    script.finish()
    script.close()

    assert handle.finish(60)
    assert {trial: seen.end for trial, seen in see(run).items()} == {"0000": GOOD, "0001": GOOD}
    assert warnings == []


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


def test_a_driver_may_end_at_once(name: str, run: RunDir, see: Callable[[RunDir], dict[str, Seen]]) -> None:
    subprocess.run([sys.executable, "-c", SHORT_DRIVER, run.url, name], check=True, env=with_helpers(), timeout=120)

    assert {trial: seen.end for trial, seen in see(run).items()} == {"0000": GOOD, "0001": GOOD, "0002": BAD}


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

    handles = [track.start(run, [name], None, warnings.append) for run in runs]

    assert [handle.finish(120) for handle in handles] == [True, True]
    assert warnings == []
    if name == "mlflow":
        parents = {handle.mlflow_run_id for handle in handles}
        client = mlflow_client(f"sqlite:///{project}/mlflow.db")
        assert {client.get_run(str(parent)).info.status for parent in parents} == {"FINISHED"}
        assert len(parents) == 2
    else:
        assert list(see(runs[1])) == ["0001"]


def with_helpers() -> dict[str, str]:
    """The environment of a Python process that imports what this file imports."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[1], Path(__file__).parents[2]))),
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
    handle = track.start(run, [name], None, print)
    assert handle._process is not None
    until(lambda: _has_begun(run, name), "the second trial is known")
    print(handle._process.pid, flush=True)
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
