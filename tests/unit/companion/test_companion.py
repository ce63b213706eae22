"""One companion per driver: it survives what happens to it, and ends with the driver."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import companion, experiment
from hopslite.companion import client, registry
from hopslite.companion.client import Companion
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import Script, mlflow_client, until, whole_run
from tests.helpers.small_disk import small_disk

DRIVER = """
import os, signal, sys, time
from hopslite import companion
from hopslite.storage.run_directory import RunDir
from tests.helpers.servers import Script

run = RunDir(sys.argv[1])
script = Script(run)
script.begin()
script.trial("0000")
script.writer.close()
followed = companion.follow(run, ["tensorboard"], None, print)
if "fork" in sys.argv:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
print(followed._companion._process.pid, flush=True)
signal.pause()
"""
FORKING = """
import os, sys
from hopslite import companion
from hopslite.storage.project import Project
from tests.helpers.servers import whole_run

def deliver():
    run = Project(sys.argv[1]).new_run("digits")[2]
    followed = companion.follow(run, ["tensorboard"], None, print, has_tensorboard=True)
    whole_run(run)
    assert followed.finish(60)
    return followed

parents = deliver()
if (child := os.fork()) == 0:
    own = deliver()
    print(own._companion._process.pid != parents._companion._process.pid, parents.wait(), parents.mlflow_run_id)
    assert own.tensorboard_url != parents.tensorboard_url
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
deliver()
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[registry._Registry]:
    """The companions of a test, which end with it."""
    own = registry._Registry()
    monkeypatch.setattr(registry, "_of_process", own)
    yield own
    processes = [process for one in own._companions if (process := one._process) is not None]
    for one in own._companions:
        for run in one.runs():
            run.finish()
        one.retire()
    for process in processes:
        process.wait(60)


def new_run(project: str) -> RunDir:
    run_id, version, run = Project(project).new_run("digits")
    run.write_json("run.json", {"run_id": run_id, "name": "digits", "version": version})
    return run


def follow(run: RunDir, *trackers: str, **options: Any) -> companion.FollowedRun:
    return companion.follow(run, trackers or ["tensorboard"], None, print, **options)


def process_of(followed: companion.FollowedRun) -> psutil.Process:
    assert followed._companion is not None
    process = until(lambda: followed._companion and followed._companion._process, "there is a process")
    return psutil.Process(process.pid)


def is_complete(run: RunDir) -> bool:
    return {path.parent.name for path in Path(run.url).glob("trials/*/*tfevents*")} == {"0000", "0001", "0002"}


def test_runs_share_a_companion(project: str) -> None:
    runs = [new_run(project) for _ in range(3)]
    followed = []
    for run in runs:
        followed.append(follow(run))
        whole_run(run)
        followed[-1].finish()
    assert all(one.wait(60) for one in followed)
    assert len({process_of(one).pid for one in followed}) == 1
    assert all(map(is_complete, runs))


def test_threads_that_begin_runs_at_once_share_it(project: str) -> None:
    followed: list[companion.FollowedRun] = []
    runs = [new_run(project) for _ in range(6)]
    together = threading.Barrier(len(runs))

    def begin(run: RunDir) -> None:
        together.wait()
        one = follow(run)
        whole_run(run)
        one.finish()
        followed.append(one)

    threads = [threading.Thread(target=begin, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one.wait(60) for one in followed)
    assert len({process_of(one).pid for one in followed}) == 1
    assert all(map(is_complete, runs))


def test_killed_between_runs_it_is_replaced(project: str) -> None:
    first = follow(new_run(project), has_tensorboard=True)
    whole_run(first.run)
    assert first.finish(60)
    killed, url = process_of(first), first.tensorboard_url
    killed.kill()
    second = follow(new_run(project), has_tensorboard=True)
    whole_run(second.run)
    assert second.finish(60)
    assert process_of(second).pid != killed.pid
    assert first.tensorboard_url == url
    assert second.tensorboard_url is not None
    assert url is not None
    assert second.tensorboard_url.rsplit("/", 2)[0] == url.rsplit("/", 2)[0]


def test_killed_while_it_delivers_it_is_replaced(project: str) -> None:
    runs = [new_run(project) for _ in range(2)]
    followed = [follow(run) for run in runs]
    for run, one in zip(runs, followed, strict=True):
        whole_run(run)
        one.finish()
    process_of(followed[0]).kill()
    assert [one.wait(60) for one in followed] == [True, True]
    assert all(map(is_complete, runs))


def test_killed_again_and_again_it_is_given_up_and_the_next_run_has_another(
    project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    followed = companion.follow(new_run(project), ["tensorboard"], None, warnings.append)
    for _ in range(client.RESTARTS + 1):
        process = process_of(followed)
        process.kill()
        until(lambda killed=process: not killed.is_running() or followed.is_over, "it is gone")
    assert not followed.wait(60)
    [line] = warnings
    assert "ended unexpectedly (status -9); deliver the run later with: " in line
    assert line.endswith(f"-m hopslite.track {followed.run.url}")
    another = follow(new_run(project))
    whole_run(another.run)
    assert another.finish(60)


def test_garbage_on_its_input_changes_nothing(project: str) -> None:
    followed = follow(new_run(project))
    assert followed._companion is not None
    process = followed._companion._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.write(b'garbage\n[1]\n{"follow": "x"}\n{"follow": 7}\n\xff\xfe\n{"ended": {}}\n{"draw": 1}\n')
    whole_run(followed.run)
    assert followed.finish(60)
    assert followed._companion._process is process


def test_one_that_does_not_read_holds_nobody_up(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = follow(new_run(project))
    stopped = process_of(followed)
    stopped.suspend()
    assert followed._companion is not None
    began = time.monotonic()
    until(
        lambda: (
            (followed._companion and followed._companion._send({"fill": "x" * 4000}))
            or not stopped.is_running()
            or stopped.status() == psutil.STATUS_ZOMBIE
            or None
        ),
        "it is killed",
    )
    assert time.monotonic() - began < 30
    whole_run(followed.run)
    assert followed.finish(60)


def test_another_project_gets_another_one(tmp_path: Path, own_registry: registry._Registry) -> None:
    first = follow(new_run(str(tmp_path / "a")))
    earlier = process_of(first)
    second = follow(new_run(str(tmp_path / "b")))
    assert process_of(second).pid != earlier.pid
    assert earlier.is_running(), "its run goes on"
    whole_run(first.run)
    assert first.finish(60)
    until(lambda: not earlier.is_running() or earlier.status() == psutil.STATUS_ZOMBIE, "it has ended")
    whole_run(second.run)
    assert second.finish(60)
    assert len(own_registry._companions) == 2


@pytest.mark.parametrize(
    ("uri", "is_relative"),
    [
        (None, False),
        ("http://host", False),
        ("sqlite:////data/mlflow.db", False),
        ("postgresql://ada@host/db", False),
        ("file:///data", False),
        ("/data/mlruns", False),
        ("sqlite:///mlflow.db", True),
        ("mlruns", True),
    ],
)
def test_a_working_directory_matters_for_a_relative_uri(uri: str | None, is_relative: bool) -> None:
    assert (registry._folder(uri) == os.getcwd()) is is_relative


def test_its_environment_matters_and_mlflows_active_run_does_not() -> None:
    variables = {"AWS_PROFILE": "a", "MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_RUN_ID": "1", "HOME": "/root"}
    assert registry._relevant(variables) == {"AWS_PROFILE": "a", "MLFLOW_TRACKING_TOKEN": "t"}


def start_driver(project: str, *options: str) -> tuple[subprocess.Popen[str], psutil.Process, RunDir]:
    run = new_run(project)
    command = [sys.executable, "-c", DRIVER, run.url, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert driver.stdout is not None
    return driver, psutil.Process(int(driver.stdout.readline())), run


@pytest.mark.parametrize("options", [[], ["fork"]])
def test_a_driver_that_is_killed_leaves_none(project: str, options: list[str]) -> None:
    driver, process, run = start_driver(project, *options)
    try:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "the companion ends")
        assert list(Path(run.url).glob("trials/0000/*tfevents*"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        assert driver.stdout is not None
        driver.stdout.close()


def test_a_driver_that_forks_shares_it_with_no_child(project: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FORKING, project]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "True True None\n"


def test_a_full_disk_does_not_end_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        followed = follow(new_run(str(disk.path / "project")))
        process = process_of(followed)
        script = Script(followed.run)
        script.begin()
        script.trial("0000")
        script.end("0000")
        until(lambda: list(Path(followed.run.url).glob("trials/*/*tfevents*")), "it is being delivered")
        script.trial("0001", act="relu" * 1000)
        script.finish()
        script.close()
        disk.fill()
        full = follow(new_run_of_a_full_disk(followed.run))
        time.sleep(2)
        disk.free()
        assert followed.finish(60)
        full.finish(60)
        assert process_of(followed).pid == process.pid


def new_run_of_a_full_disk(run: RunDir) -> RunDir:
    """A run directory that could not be made."""
    return RunDir(f"{os.path.dirname(run.url)}/another")


def noop(x: float) -> float:
    return x


class TestRuns:
    """Of a real driver, on SQLite."""

    @pytest.fixture(autouse=True)
    def settings(self, project: str, monkeypatch: pytest.MonkeyPatch) -> str:
        uri = f"sqlite:///{project}/mlflow.db"
        monkeypatch.setenv("HOPSLITE_TRACKING_URI", uri)
        return uri

    def search(self) -> Any:
        return experiment.grid_search(noop, {"x": [1.0, 2.0, 3.0]}, pool="inline", display=False, name="noop")

    @pytest.mark.slow("MLflow")
    def test_a_run_that_was_waited_for_is_in_mlflow_with_its_trials(self, settings: str) -> None:
        run = self.search()
        assert run.wait_until_tracked(120)
        client = mlflow_client(settings)
        assert client.get_run(run.mlflow_run_id).info.status == "FINISHED"
        experiments = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(experiments, "tags.`hopslite.trial_id` != ''")
        assert sorted(trial.data.tags["hopslite.trial_id"] for trial in found) == ["0000", "0001", "0002"]
        assert {trial.info.status for trial in found} == {"FINISHED"}

    @pytest.mark.slow("companion")
    def test_the_id_is_given_when_the_run_is_there(self, settings: str) -> None:
        run = self.search()
        run_id = until(lambda: run.mlflow_run_id, "the id is known")
        assert mlflow_client(settings).get_run(run_id).info.run_id == run_id
        assert run.wait_until_tracked(120)

    @pytest.mark.slow("companion")
    def test_many_short_runs_leave_one_companion(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOPSLITE_TENSORBOARD", "1")
        monkeypatch.setenv("HOPSLITE_PLOTS", "1")
        before = set(psutil.Process().children(recursive=True))
        runs = [self.search() for _ in range(8)]
        assert all(run.wait_until_tracked(240) for run in runs)
        commands = [" ".join(one.cmdline()) for one in {*psutil.Process().children(recursive=True)} - before]
        companions = [command for command in commands if "hopslite.companion.process" in command]
        drawing = [command for command in commands if "hopslite.companion.drawing_process" in command]
        assert len(companions) == 1
        assert len(drawing) <= 1
        assert len(commands) <= 2, commands

    def test_a_loaded_or_pickled_run_knows_nothing_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOPSLITE_TRACKING_URI", "off")
        run = self.search()
        assert run.wait_until_tracked(0), "there is nothing to tell"
        assert not experiment.load(run.run_id).wait_until_tracked(0)


def test_a_message_is_a_line_of_json(project: str) -> None:
    """What the driver sends can be read in one piece: a pipe takes up to 4096 bytes at once or nothing."""
    run = new_run(project)
    followed = companion.FollowedRun(run, Companion(project, {}, False), ["mlflow", "tensorboard"])
    assert len(json.dumps(client._follow(1, followed))) < 4096
