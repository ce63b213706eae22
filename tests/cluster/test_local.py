"""The verbs end to end on `local[2]`: what they return, what they record, and what they leave as it was."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments, NotSerializable, SparkUnavailable, TrialFailed
from hopslite.pool import Resources
from hopslite.pool.spark import Spark
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S, Lines, eventually, files_below, in_background

SCALE = 2


@pytest.fixture(scope="module")
def spark_conf() -> Mapping[str, str]:
    return {"spark.ui.enabled": "true", "spark.ui.port": "0"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One project for the runs of this module."""
    return str(tmp_path_factory.mktemp("local") / "project")


def by_reference(a: float, b: float = 1.0) -> float:
    """Found again by importing this module where the trial runs."""
    return a * b * SCALE


@pytest.fixture(scope="module")
def grid(local_spark: Any, shared: str) -> experiment.Run:
    def train(a: float, b: float) -> dict[str, Any]:
        import os

        print(f"training with {a} and {b}")
        return {"loss": a + b, "note": "a/b", "empty": "", "ml_id": os.environ["ML_ID"]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)  # whoever runs this test
        return experiment.grid_search(
            train,
            {"a": [-1, 1.5], "b": [-1.5, 1]},
            direction="min",
            name="the grid",
            description="a test",
            tags={"team": "blue"},
            optimization_key="loss",
            seed=7,
            project=shared,
            display=False,
        )


class TestGridSearch:
    def test_it_unpacks_as_hopsml_did(self, grid: experiment.Run) -> None:
        logdir, params, outputs = grid
        assert params == {"a": -1, "b": -1.5}
        assert type(params["a"]) is int
        assert (outputs["loss"], outputs["note"], outputs["empty"]) == (-2.5, "a/b", "")
        assert json.loads(Path(logdir, ".outputs.json").read_text()) == outputs
        assert (grid.best_logdir, grid.best_params, grid.best_outputs) == (logdir, params, outputs)

    def test_the_last_key_is_fastest(self, grid: experiment.Run) -> None:
        combinations = [(t.params["a"], t.params["b"]) for t in grid.trials]
        assert combinations == [(-1, -1.5), (-1, 1), (1.5, -1.5), (1.5, 1)]
        assert [t.id for t in grid.trials] == ["0000", "0001", "0002", "0003"]

    def test_every_trial_is_described(self, grid: experiment.Run) -> None:
        for trial in grid.trials:
            assert trial.state == "FINISHED"
            assert trial.error is trial.cause is trial.traceback is None
            assert trial.metric == trial.params["a"] + trial.params["b"]
            assert trial.started is not None
            assert trial.duration is not None and 0 <= trial.duration < 60
            assert trial.logdir == f"{grid.logdir}/trials/{trial.id}"
            assert trial.outputs is not None and trial.outputs["ml_id"] == grid.run_id

    def test_every_trial_has_its_files(self, grid: experiment.Run) -> None:
        for trial in grid.trials:
            folder = Path(trial.logdir)
            assert files_below(folder) == {".hparams.json", ".outputs.json", ".metric", "output.log"}
            assert json.loads((folder / ".hparams.json").read_text()) == trial.params
            assert json.loads((folder / ".outputs.json").read_text()) == trial.outputs
            assert trial.outputs is not None
            assert trial.outputs["log"] == f"Experiments/{grid.run_id}/trials/{trial.id}/output.log"
            assert float((folder / ".metric").read_text()) == trial.metric
            assert f"training with {trial.params['a']} and {trial.params['b']}" in (folder / "output.log").read_text()

    def test_the_summary_is_hopsmls(self, grid: experiment.Run) -> None:
        summary = json.loads(Path(grid.logdir, ".summary.json").read_text())
        assert summary == {"combinations": [{"parameters": t.params, "outputs": t.outputs} for t in grid.trials]}

    def test_the_run_is_described(self, grid: experiment.Run, local_spark: Any, shared: str) -> None:
        record = json.loads(Path(grid.logdir, "run.json").read_text())
        expected = {
            "run_id": grid.run_id,
            "name": "the grid",
            "version": 1,
            "verb": "grid_search",
            "state": "FINISHED",
            "description": "a test",
            "tags": {"team": "blue"},
            "direction": "MIN",
            "optimization_key": "loss",
            "seed": 7,
            "total": 4,
            "project": shared,
            "logdir": grid.logdir,
            "best_trial": "0000",
            "metric": -2.5,
            "application_id": local_spark.sparkContext.applicationId,
            "error": None,
        }
        assert {key: record[key] for key in expected} == expected
        assert record["space"].keys() == {"a", "b"}
        assert record["user"]
        assert 0 < record["duration"] < 300
        assert record["finished"] - record["started"] == pytest.approx(record["duration"], abs=5)

    def test_the_journal_tells_everything(self, grid: experiment.Run) -> None:
        events = list(JournalReader(RunDir(grid.logdir)).new())
        assert (events[0].kind, events[-1].kind) == ("run_started", "run_ended")
        assert events[-1].data["state"] == "FINISHED"
        assert [e.time for e in events] == sorted(e.time for e in events)
        for trial in grid.trials:
            mine = [e for e in events if e.trial == trial.id]
            assert [e.kind for e in mine if e.kind != "sample"] == ["asked", "started", "ended"]
            assert mine[0].data["params"] == trial.params
            assert mine[-1].data["metric"] == trial.metric

    def test_the_program_and_its_environment_are_kept(self, grid: experiment.Run) -> None:
        assert Path(grid.logdir, "program.py").read_bytes() == Path(__file__).read_bytes()
        assert "pyspark==" in Path(grid.logdir, "environment.txt").read_text()
        assert json.loads(Path(grid.logdir, "spark.json").read_text())["conf"]["spark.master"] == "local[2]"

    def test_nothing_else_is_there(self, grid: experiment.Run) -> None:
        top = {name for name in files_below(grid.logdir) if "/" not in name}
        top -= {"git.json", "code.zip"}  # where the program is in a repository, or its neighbours have been imported
        assert top == {
            *("run.json", "journal", "sessions", "plan.pkl", "trials", ".summary.json"),
            *("program.py", "environment.txt", "spark.json"),
        }

    def test_spark_shows_the_run_under_its_name(self, grid: experiment.Run, local_spark: Any) -> None:
        context = local_spark.sparkContext
        url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/jobs"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            jobs = json.load(answer)
        mine = [job["description"] for job in jobs if "the grid" in job.get("description", "")]
        assert mine
        for description in mine:
            assert "v1" in description or "version 1" in description
            assert "grid" in description.replace("the grid", "").lower()


class TestLaunch:
    def test_no_arguments(self, local_spark: Any, shared: str) -> None:
        def nothing() -> None:
            pass

        logdir, outputs = experiment.launch(nothing, project=shared, display=False)
        assert Path(logdir).is_dir()
        assert outputs["metric"] is None

    def test_columns_are_zipped(self, local_spark: Any, shared: str) -> None:
        def train(a: int, b: int, *, c: int = 7, **rest: Any) -> dict[str, Any]:
            return {"sum": a + b, "c": c, "rest": rest}

        run = experiment.launch(
            train, {"a": [1, 2], "b": [5, 3], "z": ["x", None]}, metric_key="sum", project=shared, display=False
        )
        logdir, outputs = run
        assert outputs is None
        found = [(t.params, t.metric, t.outputs["c"], t.outputs["rest"]) for t in run.trials if t.outputs]
        assert found == [
            ({"a": 1, "b": 5, "z": "x"}, 6, 7, {"z": "x"}),
            ({"a": 2, "b": 3, "z": None}, 5, 7, {"z": None}),
        ]
        assert (logdir, run.state) == (run.logdir, "FINISHED")

    def test_a_missing_metric_key_fails(self, local_spark: Any, shared: str) -> None:
        def train() -> dict[str, Any]:
            return {"loss": 1.0}

        with pytest.raises(TrialFailed, match="'accuracy'"):
            experiment.launch(train, metric_key="accuracy", project=shared, display=False)


class TestSearches:
    def test_random_search_finds_the_corners(self, local_spark: Any, shared: str) -> None:
        def train(a: int, b: int) -> float:
            return a * b

        display = Lines()
        run = experiment.random_search(
            train, {"a": [-2, 2], "b": [5, 1]}, direction="min", samples=100, project=shared, display=display
        )
        _, params, outputs = run
        assert params == {"a": -2, "b": 5}
        assert outputs["metric"] == -10
        combinations = [tuple(t.params.values()) for t in run.trials]
        assert len(set(combinations)) == len(combinations) == 25
        assert any("25" in line for line in display.lines)  # it says that there are no more
        assert len({t.id for t in run.trials}) == 25

    def test_differential_evolution(self, local_spark: Any, shared: str) -> None:
        def train(a: int, b: int) -> float:
            return a * 10 + b

        display = Lines()
        run = experiment.differential_evolution(
            train, {"a": [4, 5], "b": [1, 2]}, generations=2, population=4, seed=1, project=shared, display=display
        )
        logdir, params, outputs = run
        assert params == {"a": 5, "b": 2}
        assert json.loads(Path(logdir, ".outputs.json").read_text()) == outputs
        combinations = [tuple(t.params.values()) for t in run.trials]
        assert len(set(combinations)) == len(combinations) <= 4  # none is run twice
        assert any(line.startswith("Generation ") and "best metric: 52" in line for line in display.lines)

    def test_one_at_a_time(self, local_spark: Any, shared: str) -> None:
        def train(n: int) -> dict[str, Any]:
            import time

            began = time.time()
            while time.time() < began + 0.05:
                pass
            return {"metric": n, "began": began, "ended": time.time()}

        run = experiment.grid_search(train, {"n": list(range(6))}, parallelism=1, project=shared, display=False)
        times = sorted((t.outputs["began"], t.outputs["ended"]) for t in run.trials if t.outputs)
        assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times))

    def test_two_at_a_time(self, local_spark: Any, shared: str, tmp_path: Path) -> None:
        """Neither can end before the other has begun."""

        def train(n: int, folder: str) -> int:
            import pathlib
            import time

            pathlib.Path(folder, str(n)).touch()
            until = time.monotonic() + 60
            while len(list(pathlib.Path(folder).iterdir())) < 2:
                if time.monotonic() > until:
                    raise TimeoutError("alone")
            return n

        run = experiment.grid_search(train, {"n": [1, 2], "folder": [str(tmp_path)]}, project=shared, display=False)
        assert [str(t.state) for t in run.trials] == ["FINISHED"] * 2

    def test_versions_count_per_name(self, grid: experiment.Run, shared: str) -> None:
        runs = [
            experiment.launch(by_reference, {"a": [3]}, name=name, project=shared, display=False)
            for name in ("the grid", "another")
        ]
        assert [run.version for run in runs] == [2, 1]
        assert [run[1]["metric"] for run in runs] == [6.0, 6.0]
        assert len({run.run_id for run in runs}) == 2


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_many_short_trials(local_spark: Any, shared: str, isolation: str) -> None:
    """The end of a trial's process may come after the next has begun; each keeps its own result."""

    def train(n: int) -> int:
        return n

    run = experiment.grid_search(train, {"n": list(range(300))}, isolation=isolation, project=shared, display=False)
    assert [(t.metric, str(t.state), t.error) for t in run.trials] == [(n, "FINISHED", None) for n in range(300)]
    assert run.best_params == {"n": 299}


class Unusual:
    """A value that a grid may hold."""


def test_unusual_values_arrive_as_they_were(local_spark: Any, shared: str) -> None:
    def train(value: Any) -> dict[str, Any]:
        name = getattr(value, "__name__", None)
        return {"metric": 1, "kind": type(value).__name__, "shown": name or repr(value)}

    values = [
        dict,
        Unusual,
        (1, (2, 3)),
        None,
        np.array([[1, 2]]),
        np.int64(3),
        np.float32(0.1),
        {"$object": 0},
        {1: "a"},
        float("inf"),
        True,
        b"bytes",
        "text",
        10**30,
        [1, [2.5, None]],
        by_reference,
    ]
    run = experiment.grid_search(train, {"value": values}, project=shared, display=False)
    for trial, value in zip(run.trials, values, strict=True):
        assert trial.outputs is not None
        assert trial.params["value"] is value or trial.params["value"] == value
        expected = (type(value).__name__, getattr(value, "__name__", None) or repr(value))
        assert (trial.outputs["kind"], trial.outputs["shown"]) == expected
        json.loads(Path(trial.logdir, ".hparams.json").read_text())


class TestTheDriver:
    def test_its_state_is_the_same_afterwards(self, local_spark: Any, shared: str) -> None:
        context = local_spark.sparkContext
        context.setJobGroup("mine", "my own jobs")

        def look() -> dict[str, Any]:
            return {
                "environ": dict(os.environ),
                "cwd": os.getcwd(),
                "streams": (sys.stdout, sys.stderr, sys.stdin, sys.excepthook),
                "signals": [
                    signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)
                ],
                "logging": (list(logging.root.handlers), logging.root.level, logging.raiseExceptions),
                "path": list(sys.path),
                "group": [
                    context.getLocalProperty("spark.jobGroup.id"),
                    context.getLocalProperty("spark.job.description"),
                ],
                "descriptors": len(os.listdir("/proc/self/fd")),
            }

        def bad() -> None:
            raise ValueError

        earlier = _our_threads()  # of other tests of this process
        experiment.launch(by_reference, {"a": [1]}, project=shared, display=False)  # what Spark opens once is open now
        eventually(lambda: _our_threads() <= earlier, "the threads of the first run have ended")
        before, threads = look(), threading.active_count()
        experiment.launch(by_reference, {"a": [1]}, project=shared, display=False)
        with pytest.raises(TrialFailed):
            experiment.launch(bad, project=shared, display=False)
        eventually(lambda: _our_threads() <= earlier, "the runs' threads have ended")
        eventually(lambda: look()["descriptors"] <= before["descriptors"] + 4, "descriptors are closed")
        after = look()
        del before["descriptors"], after["descriptors"]
        assert after == before
        assert threading.active_count() <= threads + 1
        context.setLocalProperty("spark.jobGroup.id", None)

    def test_spark_goes_on_working(self, grid: experiment.Run, local_spark: Any) -> None:
        assert local_spark.sparkContext.parallelize(range(10), 2).map(lambda n: n * n).sum() == 285

    def test_two_runs_at_once(self, local_spark: Any, shared: str) -> None:
        def train(n: int, what: str) -> dict[str, Any]:
            return {"metric": n, "what": what}

        def search(what: str) -> experiment.Run:
            return experiment.grid_search(
                train, {"n": [1, 2, 3], "what": [what]}, name="both", parallelism=1, project=shared, display=False
            )

        with in_background(lambda: search("left")) as left, in_background(lambda: search("right")) as right:
            runs = [left.result(), right.result()]
        assert sorted(run.version for run in runs) == [1, 2]
        for run, what in zip(runs, ("left", "right"), strict=True):
            assert [t.outputs["what"] for t in run.trials if t.outputs] == [what] * 3

    def test_a_session_that_was_given_is_used(self, local_spark: Any, shared: str) -> None:
        run = experiment.launch(by_reference, {"a": [1]}, spark=local_spark, project=shared, display=False)
        assert run.state == "FINISHED"
        with pytest.raises(InvalidArguments, match="spark"):
            experiment.launch(by_reference, {"a": [1]}, spark="local[2]", project=shared, display=False)

    def test_a_session_in_a_closure_is_named(self, local_spark: Any, tmp_path: Path) -> None:
        def train(a: int) -> int:
            return int(local_spark.range(a).count())

        with pytest.raises(NotSerializable, match=r"'local_spark'.*SparkSession"):
            experiment.launch(train, {"a": [1]}, project=tmp_path / "p", display=False)
        assert files_below(tmp_path) == set()

    @pytest.mark.parametrize("option", [{"cpus_per_trial": 64}, {"gpus_per_trial": 64}])
    def test_more_than_there_is_is_refused(self, local_spark: Any, tmp_path: Path, option: dict[str, Any]) -> None:
        with pytest.raises(InvalidArguments, match=r"_per_trial=64.*has \d+"):
            experiment.launch(by_reference, {"a": [1]}, project=tmp_path / "p", display=False, **option)
        assert files_below(tmp_path) == set()


def _our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("hopslite")}


class BlockedUntilReady(Spark):
    """Its first slot is there before the first trial is asked for, however slow the machine is."""

    def want(self, slots: int) -> None:
        super().want(slots)
        if not self._busy and not self._closed.is_set():
            eventually(lambda: self.free, "a slot")


class Unreachable(Spark):
    """Nothing listens at the address that its slots are given."""

    def start(self, *args: Any) -> None:
        super().start(*args)
        self._server.close()


@pytest.mark.slow("clusters")
def test_a_driver_that_no_slot_can_reach_is_named(
    local_spark: Any, shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Unreachable(Resources(parallelism=1), local_spark)
    host, port = pool._server.address
    with pytest.raises(SparkUnavailable) as caught:
        experiment.launch(by_reference, {"a": [1]}, pool=pool, project=shared, display=False)
    assert f"{host}:{port}" in str(caught.value)
    assert "channel_port" in str(caught.value)
    tries = [r.getMessage() for r in caplog.records if r.getMessage().startswith("slot 0 failed")]
    assert 1 <= len(tries) <= 3
    assert all(f"{host}:{port}" in line for line in tries)


class TestTimeLimit:
    def test_without_isolation_the_slot_ends_with_its_trial(self, local_spark: Any, shared: str) -> None:
        """A function that runs in the slot itself cannot be told to end; the run does not wait for it."""

        def train() -> int:
            import time

            time.sleep(60)
            return 1

        pool = BlockedUntilReady(Resources(parallelism=1), local_spark)
        began = time.monotonic()
        with pytest.raises(TrialFailed, match="timeout=1 s") as caught:
            experiment.launch(train, isolation="none", timeout=1, pool=pool, project=shared, display=False)
        assert time.monotonic() - began < 40
        run = caught.value.result
        assert [(str(trial.state), trial.cause) for trial in run.trials] == [("KILLED", "killed")]
        again = experiment.launch(by_reference, {"a": [1]}, isolation="none", project=shared, display=False)
        assert again.state == "FINISHED"  # the cores are free again

    def test_running_trials_are_killed(self, local_spark: Any, shared: str, tmp_path: Path) -> None:
        def train(n: int, release: str) -> int:
            import os
            import time

            while n and not os.path.exists(release):
                time.sleep(0.01)
            return n

        began = time.monotonic()
        run = experiment.grid_search(
            train,
            {"n": [0, 1, 2, 3, 4], "release": [str(tmp_path / "never")]},
            timeout=8,
            project=shared,
            display=False,
        )
        assert time.monotonic() - began < 60
        assert run.state == "FINISHED"
        states = {t.params["n"]: str(t.state) for t in run.trials}
        assert states == {0: "FINISHED", 1: "KILLED", 2: "KILLED"}
        for trial in run.trials[1:]:
            assert "timeout" in (trial.error or "")
        assert run.best_params is not None and run.best_params["n"] == 0
        assert len(json.loads(Path(run.logdir, ".summary.json").read_text())["combinations"]) == 1

    def test_nothing_finished_is_a_failure(self, local_spark: Any, shared: str) -> None:
        def train() -> None:
            import threading

            threading.Event().wait()

        with pytest.raises(TrialFailed, match="timeout"):
            experiment.launch(train, timeout=3, project=shared, display=False)
