"""Detached runs and the queue: they survive terminals and each other's deaths, first in, first out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.core.types import State
from hopslite.driver.reservation import Turn, with_turn
from hopslite.errors import RunInterrupted, SparkUnavailable
from hopslite.runs.lookup import find
from hopslite.storage.driver_lease import has_live_driver, newest_session
from hopslite.storage.fs.urls import forget_connections
from hopslite.storage.project import Project
from hopslite.storage.run_queue import take_ticket
from hopslite.submission.detached import start_detached
from tests.helpers.observe import PATIENCE_S

PROGRAM = """
import os, sys, time
print("begun", flush=True)
for _ in range(1200):
    if os.path.exists(sys.argv[1]):
        break
    time.sleep(0.05)
print("done", flush=True)
"""
HOPSLITE = [sys.executable, "-m", "hopslite.cli"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without a queue, and a program that ends when a file is there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    yield tmp_path
    home = Project(os.environ["HOPSLITE_PROJECT"])
    for run_id in home.runs():
        if has_live_driver(find(home, run_id)):
            os.killpg(pid(run_id), signal.SIGKILL)
    forget_connections()


def detached(*options: str, until_there: str = "go") -> str:
    """Start a run and return its id."""
    words = [*HOPSLITE, "run", "--detach", "--pool", "inline", *options, "program.py", os.path.abspath(until_there)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert "goes on by itself" in done.stderr
    return done.stdout.strip()


def state(run_id: str) -> State:
    return experiment.load(run_id).state


def pid(run_id: str) -> int:
    record = json.loads(find(Project(os.environ["HOPSLITE_PROJECT"]), run_id).read_bytes("detached.json"))
    return int(record["pid"])


def until(condition: Callable[[], Any]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to it")


def kill(run_id: str) -> None:
    os.killpg(pid(run_id), signal.SIGKILL)
    until(lambda: state(run_id) is State.KILLED)


def test_it_survives_the_terminal_and_shows_its_output_as_if_started_here(folder: Path) -> None:
    words = [*HOPSLITE, "run", "--detach", "--pool", "inline", "--name", "mine", "program.py", str(folder / "go")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as command:
        assert command.stdout is not None
        run_id = command.stdout.readline().strip()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGHUP)
    until(lambda: experiment.load(run_id).trials)
    os.kill(pid(run_id), signal.SIGHUP)
    assert os.getsid(pid(run_id)) == pid(run_id)

    attached = subprocess.Popen([*HOPSLITE, "attach", "mine"], stdout=subprocess.PIPE, text=True)
    assert attached.stdout is not None
    assert "run directory" in attached.stdout.readline()
    attached.send_signal(signal.SIGINT)
    assert attached.wait(30) == 0
    assert state(run_id) is State.RUNNING

    follows = subprocess.Popen([*HOPSLITE, "logs", "-f", "mine"], stdout=subprocess.PIPE, text=True)
    (folder / "go").touch()
    done = subprocess.run(
        [*HOPSLITE, "attach", run_id], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine version 1: FINISHED" in done.stdout
    assert state(run_id) is State.FINISHED
    assert follows.communicate(timeout=PATIENCE_S)[0] == "begun\ndone\n"


def test_nothing_is_left_in_a_process_that_has_started_one_and_goes_on(folder: Path) -> None:
    """A dashboard starts many runs: each leaves neither a process that waits for its parent, nor descriptors."""
    before = len(os.listdir("/proc/self/fd"))
    words = ["run", "--detach", "--pool", "inline", "program.py", str(folder / "go")]
    reserved = start_detached(words).reserved
    assert reserved is not None
    assert len(os.listdir("/proc/self/fd")) == before
    started = pid(str(reserved["run_id"]))
    (folder / "go").touch()
    until(lambda: not os.path.exists(f"/proc/{started}"))


def test_descriptors_are_closed_where_no_process_can_be_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopslite.submission.detached.boot", lambda *words: [str(folder / "no-such-program")])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        start_detached(["run"])
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow("soak")
def test_a_queue_goes_on_when_its_members_are_killed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, second, third = (detached("--queue") for _ in range(3))
    until(lambda: state(first) is State.RUNNING)
    assert (state(second), state(third)) == (State.QUEUED, State.QUEUED)
    assert cli.main(["ls", "--state", "queued", "--json"]) == 0
    assert {run["run_id"] for run in json.loads(capfd.readouterr().out)} == {second, third}
    queue = next((folder / "state/hopslite").glob("*/queue"))
    for name in ("00000000-12345678.ticket", "x", "00000001-00000000.ticket.tmp"):
        (queue / name).write_bytes(b"\xff{")
    (queue / "00000000-00000000.ticket").mkdir()
    kill(second)  # that waits
    time.sleep(1.5)
    assert state(third) is State.QUEUED
    kill(first)  # that works
    until(lambda: state(third) is State.RUNNING)
    fourth = detached("--queue")
    assert cli.main(["stop", fourth]) == 0
    assert (state(fourth), experiment.load(fourth).trials) == (State.STOPPED, ())
    error = experiment.load(fourth).error
    assert error is not None
    assert "while it waited" in error
    (folder / "go").touch()
    until(lambda: state(third) is State.FINISHED)
    (folder / "go").unlink()

    # a run that never had its turn has everything that another driver needs
    (folder / "go").touch()
    assert experiment.resume(second, pool="inline", display=False).state is State.FINISHED
    assert [trial.state for trial in experiment.load(second).trials] == [State.FINISHED]


def test_the_code_is_that_of_the_moment_in_which_the_run_was_queued(folder: Path) -> None:
    ticket = take_ticket("this test")
    run_id = detached("--queue")
    (folder / "program.py").write_text("raise SystemExit('another program')")
    (folder / "go").touch()
    assert ticket.ahead() == 0
    ticket.release()
    ticket.release()
    until(lambda: state(run_id).final)
    assert state(run_id) is State.FINISHED


def test_a_run_that_is_stopped_has_had_time_to_save(folder: Path) -> None:
    (folder / "program.py").write_text(
        "import signal, sys, time\n"
        "def save(*_):\n    open('saved.txt', 'w').close()\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\nprint('begun', flush=True)\ntime.sleep(60)\n"
    )
    run_id = detached()
    until(lambda: [trial for trial in experiment.load(run_id).trials if trial.state is State.RUNNING])
    until(lambda: "begun" in Path(experiment.load(run_id).trials[0].logdir, "output.log").read_text())
    assert cli.main(["stop", run_id]) == 0
    run = experiment.load(run_id)
    assert run.state is State.STOPPED
    assert Path(run.trials[0].logdir, "saved.txt").exists()
    assert cli.main(["attach", run_id]) == 130


def test_mistakes_are_shown_by_the_command_and_nothing_goes_on(folder: Path, project: str) -> None:
    for words, code, message in (
        (["nothing.py"], 1, "there is no program nothing.py"),
        (["--pool", "inlin", "program.py"], 2, "Did you mean 'inline'?"),
        (["--metric", "loss", "program.py"], 2, "a metric compares"),
    ):
        command = [*HOPSLITE, "run", "--detach", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not Path(project).exists()
    assert not list(folder.glob("state/hopslite/*/starting-*"))


def test_runs_without_output_here(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = experiment.launch(lambda: 1, name="plain", pool="inline", display=False)
    assert cli.main(["attach", "plain"]) == 1
    assert (
        "was not started with --detach: its output is where it was started; hopslite logs -f" in capfd.readouterr().err
    )
    Path(run.logdir, "detached.json").write_text('{"host": "another.example"}')
    assert cli.main(["attach", "plain"]) == 1
    assert "is on another.example, where it was started, until it ends" in capfd.readouterr().err
    Path(run.logdir, "detached.json").write_bytes(b"\xff")
    assert cli.main(["attach", "plain"]) == 1


def test_spark_that_does_not_start_is_recorded(project: str) -> None:
    def broken() -> Any:
        raise SparkUnavailable("no Java")

    with pytest.raises(SparkUnavailable), with_turn(Turn()):
        experiment.launch(lambda: 1, spark=broken, display=False)
    run = experiment.load(Project(project).runs()[0])
    assert run.state is State.FAILED
    assert run.error == "SparkUnavailable: no Java"


def test_verbs_in_the_queue_wait_and_are_interrupted(project: str) -> None:
    with take_ticket_released() as ticket:
        assert ticket.ahead() == 0

        def interrupt(reservation: Any) -> None:
            assert reservation.record["state"] is State.QUEUED
            assert newest_session(reservation.directory) == 1
            signal.setitimer(signal.ITIMER_REAL, 0.3)

        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            with pytest.raises(RunInterrupted, match="interrupted while it waited"), with_turn(Turn(True, interrupt)):
                experiment.launch(lambda: 1, pool="inline", display=False)
        finally:
            signal.signal(signal.SIGALRM, before)
    run = experiment.load(Project(project).runs()[0])
    assert (run.state, run.trials) == (State.KILLED, ())


@contextlib.contextmanager
def take_ticket_released() -> Iterator[Any]:
    ticket = take_ticket("this test")
    try:
        yield ticket
    finally:
        ticket.release()


@pytest.mark.slow("stores")
def test_a_project_on_a_store(folder: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    project = s3.fresh()
    monkeypatch.setenv("HOPSLITE_PROJECT", project)
    run_id = detached("--name", "far")
    until(lambda: [trial for trial in experiment.load(run_id).trials if trial.state is State.RUNNING])
    run = find(Project(project), run_id)
    assert not run.exists("driver.log")
    run.write_json("detached.json", {**run.read_json("detached.json"), "host": "another.example"})
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(folder / "another machine"))
        done = subprocess.run(
            [*HOPSLITE, "attach", "far"], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "is on another.example, where it was started, until it ends" in done.stderr
        stopped = subprocess.run(
            [*HOPSLITE, "stop", "far"], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert stopped.stdout == f"run {run_id} is STOPPED\n"
        until(lambda: run.exists("driver.log"))
        done = subprocess.run(
            [*HOPSLITE, "attach", "far"], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    assert done.returncode == 130
    assert "far version 1: STOPPED" in done.stdout


def test_configurations_and_resumed_runs_are_detached_and_queued_as_well(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cycle = {
        "datasets": {"hopslite.configured.datasets.digits": {}},
        "model": {"hopslite.configured.OneHeadNet": {"num_outputs": 10}},
        "loss": {"keras.losses.SparseCategoricalCrossentropy": {"from_logits": True}},
    }
    (folder / "one.json").write_text(json.dumps([cycle]))

    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as caught:
        experiment.launch(interrupted, pool="inline", display=False)
    killed = caught.value.result.run_id  # type: ignore[attr-defined]
    ticket = take_ticket("the run before them")
    try:
        for words in (["train", "one.json"], ["resume", killed]):
            capfd.readouterr()
            assert cli.main([*words, "--detach", "--queue"]) == 0
            said = capfd.readouterr()
            run_id = said.out.strip()
            assert "goes on by itself after the run before it in the queue" in said.err
            assert run_id == killed or words[0] == "train"
            assert state(run_id) is State.QUEUED and pid(run_id) != os.getpid()
            assert cli.main(["stop", run_id]) == 0
            until(lambda waiting=run_id: state(waiting) is State.STOPPED)
    finally:
        ticket.release()
    capfd.readouterr()
    assert cli.main(["train", "none.json", "--detach"]) == 1
    assert "there is no configuration none.json" in capfd.readouterr().err
