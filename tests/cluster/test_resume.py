"""Drivers that are killed for real, at any moment, and other drivers that go on with their runs."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import experiment
from hopslite.errors import RunIsRunning
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import Lines, eventually, text_of
from tests.helpers.programs import Program
from tests.helpers.servers import mlflow_client

DELIVERED_S = 250.0  # MLflow is told by a process that gives way to all others
LATE_S = 3.0  # "a second", on a machine that does something else, too
SPACE = {"x": [0.0, 1.0], "n": [1, 50]}
TRIALS = 12

HEAD = """
import json, os, signal, sys, time
import hopslite
from hopslite import experiment

FOLDER = sys.argv[1]
GATE = int(os.environ.get("GATE", "1000000"))

def note(what, line):
    # what is noted has a place among what others have noted
    line = f"{line} {os.getpid()} {time.monotonic()!r}\\n"
    out = os.open(f"{FOLDER}/{what}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(out, line.encode())  # one write: lines do not mix
    os.close(out)
    return open(f"{FOLDER}/{what}").readlines().index(line)

def train(x, n):
    place = note("began", f"{x},{n}")
    while place >= GATE and not os.path.exists(f"{FOLDER}/go"):
        time.sleep(0.02)
    for step in range(3):
        hopslite.report(x * step, step)
        time.sleep(0.02)
    note("ended", f"{x},{n}")
    return x * n

def tell(run):
    print("RUN", json.dumps([run.run_id, [[t.id, t.params, t.metric, str(t.state)] for t in run.trials]]), flush=True)
"""

SEARCH = (
    HEAD
    + """
def killed_at(moment):
    # this driver kills itself there
    from hopslite.driver import recorder
    from hopslite.storage.run_directory import RunDir

    write, emit, write_json, ends = os.write, recorder.Recorder.emit, RunDir.write_json, []

    def torn_write(descriptor, data):
        if "/journal/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            if any(ends):  # the end of a trial was written before
                write(descriptor, data[: len(data) - 20])
                os.kill(os.getpid(), signal.SIGKILL)
            ends.append(b'"kind": "ended"' in bytes(data))
        return write(descriptor, data)

    def last_emit(self, kind, *rest, **more):
        if kind == "run_ended":
            os.kill(os.getpid(), signal.SIGKILL)
        emit(self, kind, *rest, **more)

    def last_write(self, name, value):
        if name == ".summary.json":
            os.kill(os.getpid(), signal.SIGKILL)
        write_json(self, name, value)

    if moment == "while the journal is written":
        os.write = torn_write
    elif moment == "when all trials have ended":
        recorder.Recorder.emit = last_emit
    elif moment == "when the journal is complete":
        RunDir.write_json = last_write

killed_at(os.environ.get("MOMENT"))
tell(experiment.search(train, {"x": [0.0, 1.0], "n": [1, 50]}, seed=7, name="killed", resume="auto",
                       **json.loads(os.environ["OPTIONS"])))
"""
)

RESUME = (
    HEAD
    + """
from hopslite.errors import RunIsRunning, RunTakenOver
from hopslite.storage import driver_lease
from pyspark.sql import SparkSession

if "ELSEWHERE" in os.environ:  # process ids mean nothing to this driver
    place = driver_lease._pid_scope
    driver_lease._pid_scope = lambda: {**place(), "host": "elsewhere"}

SparkSession.builder.master("local[2]").getOrCreate()
open(f"{FOLDER}/ready-{os.getpid()}", "w").close()
while not os.path.exists(f"{FOLDER}/race"):
    time.sleep(0.001)
try:
    tell(experiment.resume(sys.argv[2], display=False))
except RunIsRunning as error:
    print("REFUSED", json.dumps(error.pid), flush=True)
"""
)

TAKEN_OVER = (
    HEAD
    + """
from hopslite.errors import RunTakenOver

try:
    experiment.search(train, {"x": [0.0, 1.0], "n": [1, 50]}, seed=7, num_trials=8, display=False)
except RunTakenOver as error:
    print("TAKEN", json.dumps([error.host, error.pid]), flush=True)
"""
)


def optimised(x: float, n: int) -> float:
    """The return value of the programs' function."""
    return x * n


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


def noted(folder: Path, kind: str) -> list[tuple[str, int, float]]:
    """Trials (by their parameters) that began or ended, with process and time."""
    lines = [line.split() for line in text_of(folder / kind).splitlines()]
    return [(params, int(pid), float(moment)) for params, pid, moment in lines]


def began(folder: Path) -> Counter[str]:
    return Counter(params for params, _, _ in noted(folder, "began"))


def under_way(folder: Path, trials: int, gate: int) -> None:
    """Wait until so many trials have ended, and the rest may not go on."""
    eventually(
        lambda: (len(noted(folder, "ended")), len(noted(folder, "began"))) == (gate, gate + trials),
        f"{gate} trials have ended, {trials} are under way",
        120,
    )


def recorded(run: RunDir, started: int) -> None:
    """Wait until the journal holds so many beginnings of attempts."""

    def look() -> bool:
        return sum(event.kind == "started" for event in JournalReader(run).new()) == started

    eventually(look, f"{started} attempts are in the journal")


def kill(program: Program) -> None:
    """And wait until its trials have noticed."""
    program.remember_family()
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    eventually(lambda: not program.survivors(), "nothing of it is left", 60)


def ends(run: RunDir) -> Counter[str]:
    """The number of ends of each trial, from the journal."""
    return Counter(str(event.trial) for event in JournalReader(run).new() if event.kind == "ended")


def search(folder: Path, programs: list[Program], name: str = "", **environment: str) -> Program:
    program = Program(folder, SEARCH, str(folder), name=name, **environment)
    programs.append(program)
    return program


def resuming(folder: Path, programs: list[Program], run_id: str, name: str, **environment: str) -> Program:
    """A program that goes on with a run once the file `race` is there."""
    python = {"PYSPARK_PYTHON": sys.executable}
    program = Program(folder, RESUME, str(folder), run_id, name=name, GATE="3", **python, **environment)
    programs.append(program)
    return program


def resumed_by(
    how: str, folder: Path, programs: list[Program], run: RunDir, display: Lines, **environment: str
) -> list[Any]:
    """The run's id and its trials, after a new process or this one has gone on with it."""
    if how == "auto":
        return list(search(folder, programs, name="second-", **environment).said("RUN"))
    result = experiment.resume(Path(run.url).name, project=folder / "hopslite_project", display=display)
    return [result.run_id, [[t.id, t.params, t.metric, str(t.state)] for t in result.trials]]


MOMENTS = [
    ("when few have ended", "auto", "random"),
    ("while the journal is written", "id", "random"),
    *(
        pytest.param(*moment, marks=pytest.mark.slow("matrix"))
        for moment in (
            ("in the middle", "id", "differential_evolution"),
            ("when all trials have ended", "id", "random"),
            ("when the journal is complete", "id", "random"),
        )
    ),
]


@pytest.mark.slow("killed drivers")
@pytest.mark.parametrize(("moment", "how", "algorithm"), MOMENTS)
def test_a_driver_that_is_killed_loses_nothing(
    local_spark: Any, tmp_path: Path, programs: list[Program], moment: str, how: str, algorithm: str
) -> None:
    """The end is that of a run that nobody killed, and what had finished is not run again."""
    options: dict[str, Any] = {"algorithm": algorithm, "num_trials": TRIALS}
    slots = 2
    if algorithm == "differential_evolution":  # what it suggests depends on the order in which trials end
        slots, options["algorithm_options"] = 1, {"population": 6}
    environment = {"OPTIONS": json.dumps({**options, "parallelism": slots})}
    gate = {"when few have ended": 2, "in the middle": TRIALS // 2}.get(moment)
    first = search(tmp_path, programs, MOMENT=moment, **environment, **({"GATE": str(gate)} if gate else {}))
    if gate:
        under_way(tmp_path, slots, gate)
        time.sleep(LATE_S)
        finished = {params for params, _, late in noted(tmp_path, "ended") if late < time.monotonic() - LATE_S}
        assert len(finished) >= gate
        kill(first)
    else:
        finished = set()
        first.process.wait(120)
    assert first.process.returncode == -signal.SIGKILL
    [run] = first.runs()
    assert run.read_json("run.json")["state"] == "RUNNING"
    in_journal = ends(run)
    assert in_journal

    (tmp_path / "go").touch()
    display = Lines()
    run_id, trials = resumed_by(how, tmp_path, programs, run, display, **environment)

    assert run_id == Path(run.url).name
    unbroken = experiment.search(
        optimised, SPACE, seed=7, pool="inline", project=tmp_path / "unbroken", display=False, **options
    )
    assert trials == [[t.id, t.params, t.metric, "FINISHED"] for t in unbroken.trials]
    assert ends(run) == Counter({trial.id: 1 for trial in unbroken.trials})
    assert unbroken.best_trial is not None
    record = run.read_json("run.json")
    assert (record["state"], record["session"]) == ("FINISHED", 2)
    assert (record["best_trial"], record["metric"]) == (unbroken.best_trial.id, unbroken.best_metric)
    assert JournalReader(run).damage is None
    ran = began(tmp_path)
    params_of = {t.id: f"{t.params['x']},{t.params['n']}" for t in unbroken.trials}
    assert set(ran) == set(params_of.values())
    finished |= {params_of[name] for name in in_journal}
    assert {params: ran[params] for params in finished if ran[params] > 1} == {}
    if gate:
        assert sorted(ran.values()) == [1] * (TRIALS - slots) + [2] * slots
    if moment == "while the journal is written":
        assert any("torn" in line for line in display.lines)
    if moment == "when the journal is complete":
        assert len(in_journal) == TRIALS


@pytest.mark.slow("killed drivers")
def test_mlflow_shows_a_resumed_run_once(local_spark: Any, tmp_path: Path, programs: list[Program]) -> None:
    database = f"sqlite:///{tmp_path}/mlflow.db"
    first = search(
        tmp_path,
        programs,
        OPTIONS='{"num_trials": 6}',
        GATE="3",
        HOPSLITE_TRACKING_URI=database,
    )
    under_way(tmp_path, 2, 3)
    [run] = first.runs()
    told_of = lambda: run.exists("mlflow.json") and run.read_json("mlflow.json")["run_id"]  # noqa: E731
    eventually(told_of, "the database is made", DELIVERED_S)  # two cannot make it at once
    client = mlflow_client(database)

    def mlflow_runs() -> list[Any]:
        experiments = client.search_experiments(filter_string="name = 'killed'")
        return list(client.search_runs([experiments[0].experiment_id])) if experiments else []

    eventually(lambda: len(mlflow_runs()) >= 4, "MLflow knows of it", DELIVERED_S)
    kill(first)
    (tmp_path / "go").touch()
    result = experiment.resume(
        Path(run.url).name, project=tmp_path / "hopslite_project", tracking_uri=database, display=False
    )
    parents = eventually(
        lambda: [run for run in mlflow_runs() if run.info.status == "FINISHED" and is_parent(run)],
        "all is delivered",
        DELIVERED_S,
    )
    assert len(parents) == 1
    assert parents[0].data.tags["hopslite.state"] == "FINISHED"
    trials = [mlflow_run for mlflow_run in mlflow_runs() if mlflow_run.info.run_id != parents[0].info.run_id]
    assert sorted(mlflow_run.data.tags["hopslite.trial_id"] for mlflow_run in trials) == [t.id for t in result.trials]
    assert {mlflow_run.info.status for mlflow_run in trials} == {"FINISHED"}
    assert {mlflow_run.data.tags["mlflow.parentRunId"] for mlflow_run in trials} == {parents[0].info.run_id}


def is_parent(run: Any) -> bool:
    return "hopslite.trial_id" not in run.data.tags


@pytest.mark.slow("killed drivers")
def test_one_driver_at_a_time(tmp_path: Path, programs: list[Program]) -> None:
    """Nobody can resume a run while its driver lives; of two who try when it is dead, one can."""
    first = search(tmp_path, programs, OPTIONS='{"num_trials": 8}', GATE="3")
    under_way(tmp_path, 2, 3)
    [run] = first.runs()
    run_id = Path(run.url).name
    with pytest.raises(RunIsRunning, match=run_id) as refused:
        experiment.resume(run_id, project=tmp_path / "hopslite_project", pool="inline", display=False)
    assert refused.value.pid == first.process.pid
    assert run.read_json("run.json")["session"] == 1
    recorded(run, 5)
    kill(first)
    at_kill = began(tmp_path)

    rivals = [resuming(tmp_path, programs, run_id, name) for name in ("a-", "b-")]
    eventually(lambda: len(list(tmp_path.glob("ready-*"))) == 2, "both are ready", 120)
    (tmp_path / "race").touch()
    loser = eventually(lambda: next((r for r in rivals if "REFUSED" in text_of(r.out)), None), "one is refused")
    [winner] = [rival for rival in rivals if rival is not loser]
    assert loser.said("REFUSED") == winner.process.pid
    (tmp_path / "go").touch()
    _, trials = winner.said("RUN")
    assert [trial[3] for trial in trials] == ["FINISHED"] * 8
    assert ends(run) == Counter({f"{number:04d}": 1 for number in range(8)})
    assert (began(tmp_path) - at_kill).total() == 8 - 3
    assert run.read_json("run.json")["session"] == 2


@pytest.mark.slow("killed drivers")
def test_a_driver_that_stood_still_finds_its_run_taken_over(tmp_path: Path, programs: list[Program]) -> None:
    """It writes nothing more, and leaves the other's trials alone."""
    first = Program(tmp_path, TAKEN_OVER, str(tmp_path), name="first-", GATE="3")
    programs.append(first)
    under_way(tmp_path, 2, 3)
    [run] = first.runs()
    recorded(run, 5)
    first.process.send_signal(signal.SIGSTOP)
    before = len(noted(tmp_path, "began"))
    (tmp_path / "race").touch()
    second = resuming(tmp_path, programs, Path(run.url).name, "second-", ELSEWHERE="yes")
    eventually(lambda: len(noted(tmp_path, "began")) == before + 2, "the other driver's trials run", 120)
    theirs = [pid for _, pid, _ in noted(tmp_path, "began")[before:]]

    def written() -> tuple[Any, ...]:
        events = [event.to_line() for event in JournalReader(run).new() if event.kind != "sample"]
        return events, run.read_bytes("run.json"), sorted(run.list())

    recorded(run, 5 + 2)
    there = written()
    first.remember_family()
    first.process.send_signal(signal.SIGCONT)
    assert first.said("TAKEN") == ["elsewhere", second.process.pid]
    assert first.process.wait(60) == 0
    eventually(lambda: not first.survivors(), "nothing of it is left", 30)
    assert written() == there
    assert all(map(psutil.pid_exists, theirs))
    (tmp_path / "go").touch()
    _, trials = second.said("RUN")
    assert [trial[3] for trial in trials] == ["FINISHED"] * 8
    assert ends(run) == Counter({f"{number:04d}": 1 for number in range(8)})
    assert len(noted(tmp_path, "ended")) == 8
    assert run.read_json("run.json")["state"] == "FINISHED"


GANG = (
    HEAD
    + """
def members():
    import torch, torch.distributed as dist
    dist.init_process_group("gloo")
    path = experiment.checkpoint_dir() + "/state.pt"
    first = torch.load(path)["epoch"] + 1 if os.path.exists(path) else 0
    for epoch in range(first, 4):
        together = torch.ones(1)
        dist.all_reduce(together)
        if dist.get_rank() == 0:
            torch.save({"epoch": epoch}, path)
        dist.barrier()
        note("ended", epoch)
        while epoch == 2 and not os.path.exists(f"{FOLDER}/go"):
            time.sleep(0.02)
    dist.destroy_process_group()
    return {"first": first, "together": together.item()}

experiment.distributed(members, strategy="torch", num_workers=2, name="gang", display=False)
"""
)


@pytest.mark.slow("killed drivers")
def test_a_distributed_run_goes_on_from_its_checkpoint(
    local_spark: Any, tmp_path: Path, programs: list[Program]
) -> None:
    first = Program(tmp_path, GANG, str(tmp_path))
    programs.append(first)
    eventually(lambda: len(noted(tmp_path, "ended")) == 6, "both members wait after three epochs", 200)
    kill(first)
    (tmp_path / "go").touch()
    [run] = first.runs()
    _, outputs = experiment.resume(Path(run.url).name, project=tmp_path / "hopslite_project", display=False)
    assert outputs is not None
    assert (outputs["first"], outputs["together"]) == (3, 2.0)
    assert sorted(int(epoch) for epoch, _, _ in noted(tmp_path, "ended")) == [0, 0, 1, 1, 2, 2, 3, 3]


CONTINUED = (
    HEAD
    + """
def train(x, budget):
    if budget > 1:  # nobody is promoted before the driver has died
        note("promoted", x)
        while not os.path.exists(f"{FOLDER}/go"):
            time.sleep(0.02)
    folder = experiment.checkpoint_dir()
    path = f"{folder}/epochs"
    epochs = int(open(path).read()) if os.path.exists(path) else 0
    note("from", f"{x} {epochs} {budget}")
    open(path + ".new", "w").write(str(budget))
    os.replace(path + ".new", path)
    return x

options = {
    "hyperband": {"min_budget": 1, "max_budget": 4, "reduction_factor": 2},
    "pbt": {"population": 5, "max_budget": 4},
}
algorithm = sys.argv[2]
tell(experiment.search(train, {"x": [0.0, 1.0]}, algorithm=algorithm, seed=3, name="continued", resume="auto",
                       algorithm_options=options[algorithm]))
"""
)


@pytest.mark.slow("killed drivers")
@pytest.mark.parametrize("algorithm", ["hyperband", "pbt"])
def test_a_promoted_trial_finds_the_checkpoint_of_the_one_it_continues(
    local_spark: Any, tmp_path: Path, programs: list[Program], algorithm: str
) -> None:
    first = Program(tmp_path, CONTINUED, str(tmp_path), algorithm)
    programs.append(first)

    def lines(kind: str) -> list[str]:
        return text_of(tmp_path / kind).splitlines()

    eventually(lambda: len(lines("promoted")) == 2, "both slots have trials that may not go on", 120)
    [run] = first.runs()
    eventually(lambda: ends(run).total() == len(lines("from")), "the ends of all others are in the journal")
    kill(first)
    (tmp_path / "go").touch()
    experiment.resume(Path(run.url).name, project=tmp_path / "hopslite_project", display=False)
    asked = {str(event.trial): event.data for event in JournalReader(run).new() if event.kind == "asked"}
    expected = Counter(
        (
            data["params"]["x"],
            asked[data["continues"]]["params"]["budget"] if data["continues"] else 0,
            data["params"]["budget"],
        )
        for data in asked.values()
    )
    assert any(start for _, start, _ in expected)
    made = Counter((float(x), int(start), int(budget)) for x, start, budget, *_ in map(str.split, lines("from")))
    assert made == expected
    assert set(ends(run).values()) == {1}
