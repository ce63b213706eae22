"""Programs as users run them, in processes of their own: interrupted, killed, without Java, with another Python."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.conftest import runtime_processes
from tests.helpers.observe import eventually, text_of
from tests.helpers.programs import Program

QUICK_S = 15.0  # "a few seconds", on a machine that does something else, too

HEAD = """
import json, os, sys, threading, time
from hopslite import experiment

def blocks(n, folder):
    import os, subprocess, sys, threading
    print("trial", n)
    if n:
        child = subprocess.Popen(["sleep", "1000"])
        open(f"{folder}/running-{n}.tmp", "w").write(f"{os.getpid()} {child.pid}")
        os.rename(f"{folder}/running-{n}.tmp", f"{folder}/running-{n}")
        threading.Event().wait()
    return n
"""

INTERRUPTED = (
    HEAD
    + """
def look():
    return {"python": "runs " + sys.executable, "prefix": "is " + sys.prefix}

class Slow:
    # a display whose end takes until the test says so: cleaning up can be interrupted here

    def start(self, status): pass
    def update(self, status): pass
    def line(self, text): pass
    def close(self, status, run):
        open(sys.argv[1] + "/closing", "w").close()
        while not os.path.exists(sys.argv[1] + "/go"):
            time.sleep(0.01)

first = experiment.launch(look, display=False)
print("LOOK", json.dumps(first[1]), flush=True)
try:
    experiment.grid_search(blocks, {"n": [0, 1, 2], "folder": [sys.argv[1]]}, parallelism=2, display=Slow())
except KeyboardInterrupt as error:
    alive = [t.name for t in threading.enumerate() if t.name.startswith("hopslite")]
    states = [str(trial.state) for trial in error.result.trials]
    print("CAUGHT", json.dumps([type(error).__name__, str(error), error.logdir, states, alive]), flush=True)
from pyspark import SparkContext
print("JOBS", len(SparkContext._active_spark_context.statusTracker().getActiveJobsIds()), flush=True)
experiment.grid_search(blocks, {"n": [1], "folder": [sys.argv[2]]}, display=False)
print("NEVER", flush=True)
"""
)

KILLED = (
    HEAD
    + """
experiment.grid_search(blocks, {"n": [0, 1, 2], "folder": [sys.argv[1]]}, parallelism=2, display=False)
"""
)


KILLED_WITH_A_GANG = (
    HEAD
    + """
from pyspark.sql import SparkSession

marks = sys.argv[1]
SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false").getOrCreate()
experiment.distributed(
    lambda: blocks(int(os.environ["RANK"]) + 1, marks), strategy="torch", num_workers=2, display=False
)
"""
)

# There is a copy of it under the name of a framework, which trials import, and the processes that they are forked from.
SHADOWS = """
import os, sys
from hopslite import experiment

def train(n):
    import statsmodels
    return n

with open(sys.path[0] + "/begun", "a+") as begun:
    print(__name__, file=begun, flush=True)
    begun.seek(0)
    if len(begun.readlines()) > 20:
        os._exit(1)
experiment.grid_search(train, {"n": [1, 2]}, display=False)
"""


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


def running(folder: Path, *numbers: int) -> None:
    eventually(lambda: all((folder / f"running-{n}").exists() for n in numbers), f"trials {numbers} run", 120)


@pytest.mark.slow("clusters")
def test_interrupts(tmp_path: Path, programs: list[Program]) -> None:
    """A program without a session: its own Python, an interrupt that it catches, and one that ends it."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    program = Program(tmp_path, INTERRUPTED, str(first), str(second))
    programs.append(program)

    look = program.said("LOOK")
    assert look["python"] == f"runs {sys.executable}"
    assert look["prefix"] == f"is {sys.prefix}"

    running(first, 1, 2)
    program.remember_family()
    pids = [int(pid) for n in (1, 2) for pid in (first / f"running-{n}").read_text().split()]
    os.kill(program.process.pid, signal.SIGINT)
    eventually(lambda: not any(map(psutil.pid_exists, pids)), "the trials are gone", QUICK_S)
    eventually((first / "closing").exists, "the run is being completed", QUICK_S)
    os.kill(program.process.pid, signal.SIGINT)  # impatience
    (first / "go").touch()

    kind, message, logdir, states, threads = program.said("CAUGHT")
    assert kind == "RunInterrupted"
    assert logdir in message
    assert states == ["FINISHED", "KILLED", "KILLED"]
    assert threads == []
    assert program.said("JOBS") == 0
    run = RunDir(logdir)
    assert run.read_json("run.json")["state"] == "KILLED"
    ended = {e.trial: e.data["state"] for e in JournalReader(run).new() if e.kind == "ended"}
    assert ended == {"0000": "FINISHED", "0001": "KILLED", "0002": "KILLED"}
    assert [e.kind for e in JournalReader(run).new()][-1] == "run_ended"
    assert len(run.read_json(".summary.json")["combinations"]) == 1
    assert b"trial 1" in run.read_bytes("trials/0001/output.log")

    running(second, 1)
    program.remember_family()
    os.kill(program.process.pid, signal.SIGINT)
    assert program.process.wait(QUICK_S + 15) != 0
    error = text_of(program.err)
    last = program.runs()[-1]
    assert "RunInterrupted" in error.strip().splitlines()[-1]
    assert last.url in error.strip().splitlines()[-1]
    assert last.read_json("run.json")["state"] == "KILLED"
    assert "NEVER" not in text_of(program.out)
    eventually(lambda: not program.survivors(), f"no process is left of {program.survivors()}", QUICK_S)


@pytest.mark.slow("clusters")
def test_a_driver_that_is_killed_leaves_no_process_and_keeps_its_journal(
    tmp_path: Path, programs: list[Program]
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    program = Program(tmp_path, KILLED, str(marks))
    programs.append(program)
    running(marks, 1, 2)
    [run] = program.runs()

    def durable() -> bool:
        events = JournalReader(run).new()
        return {("ended", "0000"), ("started", "0001"), ("started", "0002")} <= {(e.kind, e.trial) for e in events}

    eventually(durable, "what has happened is in the journal", 5)
    program.remember_family()
    assert runtime_processes()
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    eventually(lambda: not program.survivors(), "no process is left", 30)
    events = list(JournalReader(run).new())
    assert [e.trial for e in events if e.kind == "ended"] == ["0000"]
    assert {e.trial for e in events if e.kind == "started"} == {"0000", "0001", "0002"}
    assert run.read_json("run.json")["state"] == "RUNNING"


@pytest.mark.slow("clusters")
def test_a_driver_that_is_killed_leaves_no_member_of_a_gang(tmp_path: Path, programs: list[Program]) -> None:
    """Its executors are not the driver itself: they have to notice."""
    marks = tmp_path / "marks"
    marks.mkdir()
    program = Program(tmp_path, KILLED_WITH_A_GANG, str(marks), PYSPARK_PYTHON=sys.executable)
    programs.append(program)
    running(marks, 1, 2)
    program.remember_family()
    members = {int(pid) for n in (1, 2) for pid in (marks / f"running-{n}").read_text().split()}
    assert len(members) == 4  # two, each with a process that it has started
    assert members <= program.family.keys()
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    eventually(lambda: not program.survivors(), "no process is left", 30)
    [run] = program.runs()
    assert run.read_json("run.json")["state"] == "RUNNING"


@pytest.mark.parametrize("java_home", [None, "/nowhere"])
def test_without_java_one_line_says_so(tmp_path: Path, programs: list[Program], java_home: str | None) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "uname", "dirname", "basename", "git", "env"):  # everything but java
        with contextlib.suppress(StopIteration):
            path = next(p for folder in os.environ["PATH"].split(":") if (p := Path(folder, name)).exists())
            (tools / name).symlink_to(path)
    program = Program(tmp_path, KILLED, str(tmp_path), PATH=str(tools), JAVA_HOME=java_home)
    programs.append(program)
    assert program.process.wait(60) == 1
    last = text_of(program.err).strip().splitlines()[-1]
    assert "SparkUnavailable" in last
    assert "needs Java" in last
    assert "openjdk-17" in last
    assert "JAVA_HOME" in last
    assert not (tmp_path / "hopslite_project").exists()


@pytest.mark.slow("clusters")
def test_a_program_named_like_a_framework_is_not_run_again_by_its_trials(
    tmp_path: Path, programs: list[Program]
) -> None:
    (tmp_path / "statsmodels.py").write_text(SHADOWS.replace("sys.path[0]", repr(str(tmp_path))))
    programs.append(Program(tmp_path, SHADOWS))
    assert programs[0].process.wait(120) == 1
    assert "SparkUnavailable: a trial cannot start trials on Spark" in text_of(programs[0].err)
    first, *others = (tmp_path / "begun").read_text().split()
    assert (first, set(others)) == ("__main__", {"statsmodels"})
    assert 2 < len(others) < 10  # both trials, and a process that they were forked from


@pytest.mark.slow("clusters")
def test_spark_starts_without_a_word(tmp_path: Path, programs: list[Program]) -> None:
    source = HEAD + "experiment.grid_search(lambda n: n, {'n': [1]}, display=False)\n"
    programs.append(Program(tmp_path, source, SPARK_LOCAL_IP=None, SPARK_CONF_DIR=None))
    assert programs[0].process.wait(120) == 0, text_of(programs[0].err)
    assert text_of(programs[0].err) == ""


FOR_HOPSML = """
from maggy import experiment, Searchspace
from hops import featurestore, hdfs, util
import hops.experiment as e

class Scaled:
    def __init__(self, factor):
        self.factor = factor

def train(kernel, reporter):
    from hops import devices, tensorboard
    reporter.broadcast(metric=kernel, step=0)
    open(tensorboard.logdir() + "/kernel.txt", "w").write(str(kernel))
    return kernel * Scaled(2).factor + devices.get_num_gpus()

def uses_what_is_gone():
    return featurestore.get_training_dataset_path("iris")

if __name__ == "__main__":
    result = experiment.lagom(map_fun=train, searchspace=Searchspace(kernel=("INTEGER", [2, 4])), num_trials=2,
                              optimizer="randomsearch", direction="max", name="hp", display=False)
    files = hdfs.glob(result.run.logdir + "/trials/*/kernel.txt")
    e.launch(map_fun=util.num_param_servers, display=False)
    try:
        e.launch(uses_what_is_gone, display=False)
    except Exception as error:
        print("COUNTS", util.num_executors(), result["num_trials"], len(files), type(error).__name__, error)
"""


@pytest.mark.slow("frameworks")
def test_a_program_for_hopsml_and_maggy_runs_after_migrate(tmp_path: Path, programs: list[Program]) -> None:
    path = tmp_path / "old.py"
    path.write_text(FOR_HOPSML)
    migrate = subprocess.run(
        [sys.executable, "-m", "hopslite.cli", "migrate", "--write", path], capture_output=True, text=True, check=False
    )
    assert migrate.stdout.splitlines()[-1] == "1 file: 4 imports changed, 3 lines need a look", migrate.stderr
    programs.append(Program(tmp_path, path.read_text()))
    assert programs[0].process.wait(200) == 0, text_of(programs[0].err)
    printed = text_of(programs[0].out)
    assert "COUNTS 1 2 2 TrialFailed " in printed
    assert "hopslite has no featurestore.get_training_dataset_path: it has no feature store" in printed
    lines = [line for line in text_of(programs[0].err).splitlines() if "DeprecationWarning" in line]
    assert [line.split(": ", 2)[2] for line in lines] == [
        "experiment.lagom(): map_fun= is now train_fn=",
        "experiment.launch(): map_fun= is now train_fn=",
    ]


OWN_SESSION = """
import json, os, sys, threading
from pyspark.sql import SparkSession
from hopslite import experiment

def train(n):
    import sys
    return {"metric": n, "python": "runs " + sys.executable}

builder = SparkSession.builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
spark = builder.master(sys.argv[1]).getOrCreate()
spark.sparkContext.setLogLevel("WARN")
if not sys.argv[1].startswith("local["):
    from hopslite.pool import _python_check
    _python_check.START_SECONDS = _python_check.QUEUE_SECONDS = 120.0  # executors of a busy machine
    check, errors = _python_check.check, []
    def no_executor_yet(context):
        _python_check.check = check
    for first_check in (check, no_executor_yet):
        print("FIRST CHECK", first_check.__name__, file=sys.stderr, flush=True)
        assert not os.path.exists("hopslite_project/Experiments")
        _python_check.check = first_check
        try:
            experiment.grid_search(train, {"n": [1, 2]}, display=False)
        except Exception as error:
            errors.append([type(error).__name__, str(error)])
    print("ERRORS", json.dumps(errors), flush=True)
    sys.exit()
run = experiment.grid_search(train, {"n": [1, 2]}, display=False)
print("PYTHONS", json.dumps([trial.outputs["python"] for trial in run.trials]), flush=True)
assert spark.sparkContext.pythonExec == "python3"  # for the user's own jobs

threading.Thread(target=spark.stop).start()
run = experiment.grid_search(train, {"n": [1, 2]}, display=False)
print("AFTER", json.dumps(run.best_metric), flush=True)
"""


@pytest.mark.slow("clusters")
@pytest.mark.parametrize("master", ["local[2]", "local-cluster[1,1,1024]"])
def test_a_session_of_the_users_takes_any_python_from_the_path(
    master: str, tmp_path: Path, programs: list[Program]
) -> None:
    """On a local master trials run this one, and a session being stopped is waited for; elsewhere it is named."""
    program = Program(tmp_path, OWN_SESSION, master, PYSPARK_PYTHON=None)
    programs.append(program)
    if master.startswith("local["):
        assert program.said("PYTHONS") == [f"runs {sys.executable}"] * 2
        assert program.said("AFTER") == 2.0
        return
    before, late = program.said("ERRORS")
    assert late == before, "an executor that comes too late for the check is checked when slots do not start"
    kind, message = before
    assert kind == "SparkUnavailable"
    assert "python3 on" in message
    assert "does not run (this is another python)" in message
    assert f"this is {sys.executable}, Python {platform.python_version()}" in message
    assert "PYSPARK_PYTHON is not set" in message
    assert program.process.wait(60) == 0
    printed = text_of(program.err)
    assert "Traceback" not in printed
    checked_before, marker, _ = printed.partition("FIRST CHECK no_executor_yet")
    assert marker and "\tat " not in checked_before  # Spark itself prints Java's frames when slots fail
