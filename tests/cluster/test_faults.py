"""Searches during real faults, and the outcome of their trials."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import hopslite
from hopslite import experiment
from hopslite.errors import RunDeleted, StorageUnavailable
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.conftest import spark_session
from tests.helpers.fault_run import DECK, Outcome, carry_out
from tests.helpers.observe import Lines, eventually, in_background
from tests.helpers.programs import ROOT, Program
from tests.helpers.small_disk import SmallDisk, small_disk
from tests.helpers.spark_cluster import StandaloneCluster
from tests.helpers.storage_faults import fill
from tests.helpers.stub_strategy import stub_strategy

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HANGS_S = 250.0  # `timeout` of a run: many times what it takes
FAULTS = 40
HOUR_S = 3600.0


def events(run: experiment.Run | RunDir) -> list[Any]:
    directory = run if isinstance(run, RunDir) else RunDir(run.logdir)
    return list(JournalReader(directory).new())


def assert_each_ended_once(run: experiment.Run, trials: int) -> None:
    ids = [f"{number:04d}" for number in range(trials)]
    assert [trial.id for trial in run.trials] == ids
    assert Counter(e.trial for e in events(run) if e.kind == "ended") == Counter(ids)


@pytest.mark.slow("soak")
class TestEveryFewHundredMilliseconds:
    """Two executors of two slots each. Servers, slots and executors are killed, slots stopped, the network is cut."""

    @pytest.fixture(scope="class")
    @classmethod
    def outcome(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
        folder = tmp_path_factory.mktemp("faults")
        with spark_session("local-cluster[2,2,1024]", {}):
            yield carry_out(folder, trials=200, seed=4, at_least=FAULTS, timeout=HANGS_S)

    def test_every_trial_is_accounted_for_exactly_once(self, outcome: Outcome) -> None:
        assert outcome.faults.total() >= FAULTS
        assert {"fork_server", "warm_server", "slot", "pause", "cut", "outage"} <= outcome.faults.keys() <= DECK.keys()
        assert outcome.lost == []
        assert outcome.run.counts == {"FINISHED": 200}
        assert_each_ended_once(outcome.run, 200)
        assert [trial.metric for trial in outcome.run.trials] == [float(n) for n in range(200)]

    def test_no_finished_trial_is_run_again(self, outcome: Outcome) -> None:
        assert outcome.twice == []
        assert outcome.attempts > 200  # of those that were lost

    def test_reports_of_the_last_attempt_are_complete_and_in_order(self, outcome: Outcome) -> None:
        assert outcome.disordered == []

    def test_the_record_says_the_same(self, outcome: Outcome) -> None:
        record = json.loads(Path(outcome.run.logdir, "run.json").read_text())
        assert (record["state"], record["counts"]) == ("FINISHED", {"FINISHED": 200})
        for trial in outcome.run.trials:
            assert json.loads(Path(trial.logdir, ".outputs.json").read_text())["metric"] == trial.metric


class TestOnOneMachine:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def local(cls) -> Iterator[None]:
        with spark_session("local[2]", {}):
            yield

    @pytest.mark.slow("soak")
    def test_a_thousand_trials_cost_the_driver_no_more_than_ten(self, project: str) -> None:
        """A trial's parameters and result stay, some KB; a thread, a buffer or a socket for each would be far more."""
        process = psutil.Process()
        seen: dict[int, tuple[int, int, int]] = {}

        class Measure(Lines):
            def update(self, status: Any) -> None:
                done = status.counts.get("FINISHED", 0)
                seen[done] = (process.memory_info().rss, threading.active_count(), process.num_fds())

        run = experiment.launch(
            lambda x: x,
            {"x": [float(n) for n in range(1010)]},
            isolation="none",
            project=project,
            timeout=HANGS_S,
            display=Measure(),
        )
        assert run.counts == {"FINISHED": 1010}
        few = seen[min(done for done in seen if done >= 10)]
        many = seen[max(done for done in seen if done < 1010)]
        assert min(done for done in seen if done >= 10) < 100
        assert max(done for done in seen if done < 1010) > 900
        assert (many[0] - few[0]) / 1000 < 16 << 10  # bytes a trial; measured are about 2 KB
        assert many[1] <= few[1]
        assert many[2] <= few[2] + 2

    def test_a_full_disk_is_waited_for(self, full_disk: Path, tmp_path: Path) -> None:
        """Reports of trials are kept meanwhile, and written when there is room again."""

        def train(n: int) -> float:
            step = 0
            while not os.path.exists(f"{tmp_path}/room"):
                hopslite.report(float(step), step)
                step += 1
                time.sleep(0.05)
            return float(step)

        def search() -> experiment.Run:
            return experiment.grid_search(
                train, {"n": [0, 1, 2]}, project=full_disk / "project", timeout=HANGS_S, display=display
            )

        display = Lines()
        with in_background(search) as running:
            try:
                eventually(display.started.is_set, "the run has begun")
                run = RunDir(display.logdir)
                reporting = lambda: {e.trial for e in events(run) if e.kind == "report" and e.data["step"] > 2}  # noqa: E731
                eventually(lambda: len(reporting()) == 2, "reports of both slots are in the journal")
                ballast = full_disk / "ballast"
                fill(str(ballast))
                size = journal_size(run)
                eventually(lambda: journal_size(run) == size and not time.sleep(1.5), "nothing more can be written")
                here = len(events(run))
                time.sleep(2.0)
                assert len(events(run)) == here
                ballast.unlink()
            finally:
                (tmp_path / "room").touch()
            result = running.result(HANGS_S)
        assert result.counts == {"FINISHED": 3}, [trial.error for trial in result.trials]
        assert_each_ended_once(result, 3)
        for trial in result.trials:
            steps = [e.data["step"] for e in events(result) if e.kind == "report" and e.trial == trial.id]
            assert steps == list(range(int(trial.metric or 0)))
        assert json.loads(Path(result.logdir, "run.json").read_text())["state"] == "FINISHED"

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_full_disk_costs_no_trial(self, disk: SmallDisk, tmp_path: Path, workers: int) -> None:
        """Also one of two members each: no trial fails, and what had finished is not run again."""
        display = Lines()
        many = {"strategy": "torch", "workers_per_trial": 2} if workers == 2 else {}
        trials = 24 // workers

        def train(n: int) -> float:
            if os.environ.get("RANK", "0") != "0":
                return 0.0
            with open(f"{tmp_path}/began", "a") as began:
                began.write(f"{n} ")
            while n == trials - 1 and not os.path.exists(f"{tmp_path}/freed"):
                time.sleep(0.05)
            hopslite.report(float(n), 0)
            logdir = hopslite.tensorboard.logdir()
            with open(f"{logdir}/model", "wb") as model:
                model.write(b"m" * 20_000)
            return float(n)

        class Fill(Lines):
            filled = False

            def update(self, status: Any) -> None:
                if status.counts.get("FINISHED", 0) >= 6 and not self.filled:
                    self.filled = True
                    disk.fill()

            def line(self, text: str) -> None:
                display.line(text)

        def search() -> experiment.Run:
            return experiment.grid_search(
                train,
                {"n": list(range(trials))},
                project=disk.path / "project",
                timeout=HANGS_S,
                display=Fill(),
                max_failures=0,
                max_retries=0,
                **many,
            )

        with in_background(search) as running:
            try:
                eventually(lambda: any("cannot be recorded" in line for line in display.lines), "the user is told")
                time.sleep(1.0)
                before = (tmp_path / "began").read_text()
                time.sleep(1.5)
                assert (tmp_path / "began").read_text() == before, "nothing is started meanwhile"
                disk.free()
            finally:
                (tmp_path / "freed").touch()
            run = running.result(HANGS_S)
        assert run.counts == {"FINISHED": trials}, [trial.error for trial in run.trials]
        assert_each_ended_once(run, trials)
        began = Counter((tmp_path / "began").read_text().split())
        assert began.keys() == {str(n) for n in range(trials)}
        assert sum(count - 1 for count in began.values()) <= 4, began  # those that ran when it became full
        assert sum("cannot be recorded" in line for line in display.lines) == 1
        record = json.loads(Path(run.logdir, "run.json").read_text())
        assert (record["state"], record["counts"]) == ("FINISHED", {"FINISHED": trials})
        for trial in run.trials:
            assert json.loads(Path(trial.logdir, ".outputs.json").read_text())["metric"] == trial.metric
            assert Path(trial.logdir, "model").stat().st_size == 20_000

    def test_a_disk_that_stays_full_ends_the_run_which_can_be_resumed(self, disk: SmallDisk, tmp_path: Path) -> None:
        def train(n: int) -> float:
            with open(f"{tmp_path}/began", "a") as began:
                began.write(f"{n} ")
            logdir = hopslite.tensorboard.logdir()
            with open(f"{logdir}/model", "wb") as model:
                model.write(b"m" * 20_000)
            return float(n)

        class Fill(Lines):
            def update(self, status: Any) -> None:
                if len([e for e in events(RunDir(self.logdir)) if e.kind == "ended"]) >= 4:
                    disk.fill()

        project = disk.path / "project"
        grid = {"n": list(range(40))}
        with pytest.raises(StorageUnavailable, match="storage_patience") as caught:
            experiment.grid_search(
                train, grid, project=project, timeout=HANGS_S, display=Fill(), storage_patience=2, max_failures=0
            )
        error = caught.value
        kept = Counter(e.trial for e in events(RunDir(error.logdir)) if e.kind == "ended")
        finished = {trial.id for trial in error.result.trials if trial.state == "FINISHED"}
        assert len(finished) >= 4
        assert finished <= set(kept)
        assert experiment.load(error.run_id, project=str(project)).state == "KILLED"
        disk.free()
        run = experiment.resume(error.run_id, project=project, timeout=HANGS_S, display=False)
        assert run.counts == {"FINISHED": 40}
        began = Counter((tmp_path / "began").read_text().split())
        assert [name for name in finished if began[str(int(name))] != 1] == []

    def test_a_project_that_is_deleted_ends_the_run(self, tmp_path: Path) -> None:
        project = tmp_path / "project"

        class Delete(Lines):
            def update(self, status: Any) -> None:
                if status.counts.get("FINISHED", 0) >= 4 and project.exists():
                    shutil.rmtree(project, ignore_errors=True)

        with pytest.raises(RunDeleted, match="deleted or moved while the run went on"):
            experiment.grid_search(
                lambda n: time.sleep(0.05) or float(n),
                {"n": list(range(400))},
                project=project,
                timeout=HANGS_S,
                display=Delete(),
            )
        assert not list(project.glob("Experiments/*/run.json"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small disk") as disk:
        yield disk


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, to be filled."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a file system that is small enough to fill")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def journal_size(run: RunDir) -> int:
    return sum(path.stat().st_size for path in Path(run.path("journal")).iterdir())


CLOCK = """
import mmap, os, struct, time

if "CLOCK" in os.environ:
    with open(os.environ["CLOCK"], "r+b") as file:
        shift = mmap.mmap(file.fileno(), 8)
    real = time.time
    time.time = lambda: real() + struct.unpack("d", shift)[0]
"""

JUMPING = """
import json, os, sys, time
import hopslite
from hopslite import experiment

def train(n):
    ahead = []
    for step in range(6):
        hopslite.report(n, step)
        time.sleep(0.05)
        ahead.append(time.time() - time.clock_gettime(time.CLOCK_REALTIME))
    return {"metric": n, "most": max(ahead), "least": min(ahead)}

run = experiment.grid_search(
    train, {"n": list(range(20))}, trial_timeout=100, heartbeat_timeout=60, timeout=250, max_retries=0,
    stopper="threshold", display=False,
)
print("RUN", json.dumps([run.run_id, run.duration, [[t.id, str(t.state), t.duration, t.outputs] for t in run.trials]]),
      flush=True)
"""


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


@pytest.mark.slow("soak")
def test_a_clock_that_jumps_ends_nothing(tmp_path: Path, programs: list[Program]) -> None:
    """The time of day of driver and slots goes back and forth by hours; all limits and durations go by another one."""
    clock, site = tmp_path / "clock", tmp_path / "site"
    site.mkdir()
    clock.write_bytes(struct.pack("d", 0.0))
    (site / "sitecustomize.py").write_text(CLOCK)
    began = time.monotonic()
    program = Program(tmp_path, JUMPING, CLOCK=str(clock), PYTHONPATH=f"{site}{os.pathsep}{ROOT}", OMP_NUM_THREADS="1")
    programs.append(program)
    over = threading.Event()

    def jump() -> None:
        while True:
            for hours in (5, -7, 0, 300, -0.5):
                with clock.open("r+b") as file:
                    file.write(struct.pack("d", hours * HOUR_S))
                if over.wait(0.15):
                    return

    jumping = threading.Thread(target=jump)
    jumping.start()
    try:
        _, duration, trials = program.said("RUN")
    finally:
        over.set()
        jumping.join()
    limit = time.monotonic() - began
    assert [trial[1] for trial in trials] == ["FINISHED"] * 20
    assert 0 < duration < limit
    assert all(0 <= trial[2] < limit for trial in trials)
    outputs = [trial[3] for trial in trials]
    assert max(out["most"] for out in outputs) > 250 * HOUR_S
    assert min(out["least"] for out in outputs) < -6 * HOUR_S
    [run] = program.runs()
    journal = events(run)
    assert Counter(e.trial for e in journal if e.kind == "ended") == Counter(trial[0] for trial in trials)
    times = [event.time for event in journal]
    assert times != sorted(times)
    record = run.read_json("run.json")
    assert record["state"] == "FINISHED"
    assert 0 < record["duration"] < limit


FLAKY = """
import os

import fsspec
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem


class Flaky(DirFileSystem):
    # a directory of this machine as a store of another kind: of the writes to a path, one in two fails

    protocol = "flaky"
    tries = {}

    def __init__(self, **options):
        super().__init__(path="/", fs=LocalFileSystem(), **options)

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("flaky://").rstrip("/") or "/"

    def _fail_now_and_then(self, path):
        count = self.tries[path] = self.tries.get(path, 0) + 1
        if count % 2 and os.path.exists(os.environ["FAILS"]):
            with open(os.environ["FAILS"], "a") as file:
                file.write(f"{path}\\n")
            raise OSError(5, "the store is busy", path)

    def pipe_file(self, path, value, **options):
        self._fail_now_and_then(path)
        mode = "xb" if options.get("mode") == "create" else "wb"
        with open(self._join(path), mode) as file:
            file.write(value)

    def put_file(self, local, remote, **options):
        self._fail_now_and_then(remote)
        return super().put_file(local, remote, **options)

    def invalidate_cache(self, path=None):
        pass


fsspec.register_implementation("flaky", Flaky, clobber=True)
"""

ON_A_STORE = """
import json, os, sys, time
import hopslite
from hopslite import experiment

def train(n):
    open(os.environ["FAILS"], "a").close()
    for step in range(4):
        hopslite.report(n, step)
        time.sleep(0.1)
    return n

run = experiment.grid_search(
    train, {"n": list(range(16))}, project=sys.argv[1], timeout=250, max_retries=0, display=False
)
print("RUN", json.dumps([run.run_id, [[t.id, str(t.state), t.metric, t.error] for t in run.trials]]), flush=True)
"""


@pytest.mark.slow("faults")
def test_a_store_that_fails_now_and_then_costs_no_trial(tmp_path: Path, programs: list[Program]) -> None:
    site, fails, project = tmp_path / "site", tmp_path / "fails", tmp_path / "store"
    site.mkdir()
    (site / "sitecustomize.py").write_text(FLAKY)
    program = Program(
        tmp_path,
        ON_A_STORE,
        f"flaky://{project}",
        FAILS=str(fails),
        PYTHONPATH=f"{site}{os.pathsep}{ROOT}",
    )
    programs.append(program)
    run_id, trials = program.said("RUN")
    assert [trial[1:3] for trial in trials] == [["FINISHED", n] for n in range(16)], trials
    failed = {Path(path).relative_to(project / "Experiments" / run_id).parts[0] for path in fails.read_text().split()}
    assert {"journal", "trials", ".summary.json"} <= failed
    run = RunDir(str(project / "Experiments" / run_id))
    assert Counter(e.trial for e in events(run) if e.kind == "ended") == Counter(trial[0] for trial in trials)
    for trial, *_ in trials:
        steps = [e.data["step"] for e in events(run) if e.kind == "report" and e.trial == trial]
        assert steps == [0, 1, 2, 3]
        assert json.loads(run.read_bytes(f"trials/{trial}/.outputs.json"))["metric"] == int(trial)
    assert events(run)[-1].kind == "run_ended"
    assert run.read_json("run.json")["state"] == "FINISHED"


def gated(folder: Path, waits: Callable[[int, int], bool]) -> Callable[[int], float]:
    """A training function whose attempts are noted, and wait for the test where `waits(n, attempt)`."""

    def train(n: int) -> float:
        import psutil

        attempt = len(list(folder.glob(f"{n}-*")))
        partial = folder / f".{n}-{attempt}"
        fork_server, *_ = psutil.Process().parents()
        partial.write_text(fork_server.cwd())  # the executor's
        partial.rename(folder / f"{n}-{attempt}")
        until = time.monotonic() + HANGS_S
        while waits(n, attempt) and not (folder / "go").exists() and time.monotonic() < until:
            time.sleep(0.02)
        return float(n)

    return train


DYNAMIC = {
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.shuffleTracking.enabled": "true",
    "spark.dynamicAllocation.initialExecutors": "0",
    "spark.dynamicAllocation.minExecutors": "0",
    "spark.dynamicAllocation.maxExecutors": "2",
    "spark.dynamicAllocation.executorIdleTimeout": "2s",
    "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
}


def executors(spark: SparkSession) -> int:
    assert spark.sparkContext._jsc is not None
    return int(spark.sparkContext._jsc.sc().statusStore().executorList(True).size()) - 1  # the driver is one of them


def outputs_of(run: experiment.Run, name: str) -> list[Any]:
    return [trial.outputs[name] for trial in run.trials if trial.outputs]


class TestOnAStandaloneCluster:
    @pytest.fixture
    def cluster(self) -> Iterator[StandaloneCluster]:
        with StandaloneCluster(workers=2, cores=1, gpus_per_worker=0) as cluster:
            yield cluster

    @pytest.mark.slow("faults")
    def test_a_machine_that_is_lost_costs_its_trial_an_attempt(
        self, cluster: StandaloneCluster, project: str, tmp_path: Path
    ) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        train = gated(marks, lambda n, attempt: n == 0)

        def search() -> experiment.Run:
            return experiment.grid_search(train, {"n": [0, 1, 2, 3]}, project=project, timeout=HANGS_S, display=False)

        with spark_session(cluster.url, {}), in_background(search) as running:
            eventually((marks / "0-0").exists, "the trial runs", 120)
            where = (marks / "0-0").read_text()
            cluster.kill_worker(1 if "/work1/" in where else 2)
            eventually((marks / "0-1").exists, "it runs again, on the other machine", 120)
            assert ("/work1/" in (marks / "0-1").read_text()) != ("/work1/" in where)
            (marks / "go").touch()
            run = running.result(HANGS_S)
        assert run.counts == {"FINISHED": 4}
        assert_each_ended_once(run, 4)
        assert Counter(name[0] for name in os.listdir(marks) if name != "go") == Counter("00123")

    @pytest.mark.slow("faults")
    def test_executors_that_spark_adds_are_used_and_idle_ones_given_back(
        self, cluster: StandaloneCluster, project: str, tmp_path: Path
    ) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        train = gated(marks, lambda n, attempt: n == 0 or not (marks / "0-0").exists() or not (marks / "1-0").exists())

        def search() -> experiment.Run:
            return experiment.grid_search(train, {"n": [0, 1, 2]}, project=project, timeout=HANGS_S, display=False)

        with spark_session(cluster.url, DYNAMIC) as spark:
            assert executors(spark) == 0
            with in_background(search) as running:
                eventually((marks / "2-0").exists, "two slots have run trials side by side", 150)
                assert (marks / "0-0").read_text() != (marks / "1-0").read_text()
                eventually(lambda: executors(spark) == 1, "the idle executor is given back", 120)
                (marks / "go").touch()
                run = running.result(HANGS_S)
            assert run.counts == {"FINISHED": 3}
            eventually(lambda: executors(spark) == 0, "all are given back", 120)
        assert Counter(name[0] for name in os.listdir(marks) if name != "go") == Counter("012")

    @pytest.mark.slow("faults")
    def test_executors_with_gpus_are_added_for_a_gang_and_for_trials(
        self, standalone_cluster: StandaloneCluster, project: str
    ) -> None:
        """By a profile, in executors that Spark starts for it and ends afterwards."""
        make = stub_strategy()

        def member() -> dict[str, Any]:
            import os

            make()()
            return {"metric": 1, "gpus": os.environ["CUDA_VISIBLE_DEVICES"]}

        def train(n: int) -> dict[str, Any]:
            import os

            return {"metric": n, "gpus": os.environ["CUDA_VISIBLE_DEVICES"]}

        call: dict[str, Any] = {"project": project, "timeout": HANGS_S, "display": False}
        with spark_session(standalone_cluster.url, DYNAMIC | {"spark.executor.resource.gpu.amount": "2"}) as spark:
            assert executors(spark) == 0
            gang = experiment.mirrored(member, num_workers=2, gpus_per_worker=2, **call)
            assert outputs_of(gang, "gpus") in (["10,11"], ["20,21"])
            eventually(lambda: executors(spark) == 0, "those of the gang are given back", 120)
            run = experiment.grid_search(train, {"n": [0, 1, 2]}, gpus_per_trial=1, **call)
            assert {*outputs_of(run, "gpus")} <= {"10", "11", "20", "21"}
            assert len(outputs_of(run, "gpus")) == 3
            eventually(lambda: executors(spark) == 0, "those of the trials are given back", 120)
