"""What a Spark task finds, a trial finds: files that Spark has sent, and facts of the task."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.errors import HopsliteError, NotSerializable
from tests.conftest import spark_session
from tests.helpers.observe import text_of
from tests.helpers.programs import Program


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("task") / "project")


@pytest.fixture
def sent(tmp_path: Path) -> Callable[[Any, str, str], Path]:
    """Sends a file to Spark's tasks, as `spark.files` and `--files` do."""

    def send(spark: Any, name: str, text: str) -> Path:
        path = tmp_path / "sent" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        spark.sparkContext.addFile(str(path))
        return path

    return send


def facts_of_the_task() -> dict[str, Any]:
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None
    return {
        "metric": 0.0,
        "partition": context.partitionId(),
        "attempt": context.attemptNumber(),
        "task": context.taskAttemptId(),
        "stage": context.stageId(),
        "cpus": context.cpus(),
        "resources": {name: list(known.addresses) for name, known in context.resources().items()},
        "property": context.getLocalProperty("no-such-property"),
    }


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_in_local_mode(local_spark: Any, shared: str, sent: Any, isolation: str) -> None:
    def train(name: str) -> dict[str, Any]:
        import os
        from pathlib import Path

        from pyspark import SparkFiles

        path = SparkFiles.get(name)
        assert os.path.isabs(SparkFiles.getRootDirectory())
        return {**facts_of_the_task(), "text": Path(path).read_text()}

    def search(name: str) -> dict[str, Any]:
        options: dict[str, Any] = {"isolation": isolation, "project": shared, "display": False}
        run = experiment.launch(train, {"name": [name]}, **options)
        return dict(run.trials[0].outputs or {})

    sent(local_spark, f"first-{isolation}.txt", "one")
    first = search(f"first-{isolation}.txt")
    sent(local_spark, f"second-{isolation}.txt", "two")  # between two runs
    second = search(f"second-{isolation}.txt")
    assert [first["text"], second["text"]] == ["one", "two"]
    assert first["task"] != second["task"]
    assert first["stage"] != second["stage"]
    for facts in (first, second):
        assert {name: facts[name] for name in ("partition", "attempt", "cpus", "resources", "property")} == {
            "partition": 0,
            "attempt": 0,
            "cpus": 1,
            "resources": {},
            "property": None,
        }


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_on_executors_they_are_in_the_working_directory(
    local_cluster: Any, shared: str, sent: Any, tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.mkdir()
    monkeypatch.chdir(program)
    (program / f"both-{isolation}.txt").write_text("the driver's")
    sent(local_cluster, f"both-{isolation}.txt", "Spark's")
    sent(local_cluster, f"seven-{isolation}.txt", "7")
    (tmp_path / "packed" / "inner").mkdir(parents=True)
    (tmp_path / "packed" / "inner" / "eight.txt").write_text("8")
    archive = shutil.make_archive(str(tmp_path / f"packed-{isolation}"), "zip", tmp_path / "packed")
    local_cluster.sparkContext.addArchive(f"{archive}#unpacked-{isolation}")

    def train(isolation: str) -> dict[str, Any]:
        import os
        from pathlib import Path

        from pyspark import SparkFiles

        seven = f"seven-{isolation}.txt"
        shown = os.listdir()
        texts = [Path(name).read_text() for name in (seven, SparkFiles.get(seven), f"both-{isolation}.txt")]
        texts.append(Path(f"unpacked-{isolation}/inner/eight.txt").read_text())
        with open(seven, "a") as file:
            file.write(" and more")
        texts += [Path(seven).read_text(), Path(SparkFiles.get(seven)).read_text()]
        return {"metric": 0.0, "texts": texts, "logs": sorted({"stdout", "stderr"} & set(shown))}

    run = experiment.launch(train, {"isolation": [isolation]}, isolation=isolation, project=shared, display=False)
    [trial] = run.trials
    expected = ["7", "7", "the driver's", "8", "7 and more", "7"]
    if isolation == "none":  # which writes through: there is no hook in Spark's own process
        expected[-1] = str((trial.outputs or {})["texts"][-1])
    assert trial.outputs is not None, text_of(Path(str(trial.logdir), "output.log"))
    assert trial.outputs["texts"] == expected
    assert trial.outputs["logs"] == []
    assert not Path(str(trial.logdir), f"both-{isolation}.txt").exists()  # a link is no file of the trial's
    assert not Path(str(trial.logdir), f"unpacked-{isolation}").exists()


def test_a_member_of_a_gang_has_the_facts_of_its_barrier_task(local_cluster: Any, shared: str) -> None:
    def train() -> dict[str, Any]:
        from pyspark import BarrierTaskContext, TaskContext

        context = BarrierTaskContext.get()
        assert TaskContext.get() is context
        refused = []
        for call in (context.barrier, context.allGather):
            try:
                call()
            except RuntimeError as error:
                refused.append(str(error))
        return {
            "metric": 0.0,
            "partition": context.partitionId(),
            "tasks": len(context.getTaskInfos()),
            "refused": refused,
        }

    run = experiment.mirrored(train, num_workers=2, project=shared, display=False)
    [trial] = run.trials
    assert trial.outputs is not None
    assert (trial.outputs["partition"], trial.outputs["tasks"]) == (0, 2)
    assert len(trial.outputs["refused"]) == 2
    assert "a collective operation of its framework" in trial.outputs["refused"][0]


NUMBERS = {
    "random": "import random; number = random.random()",
    "numpy": "import numpy; number = numpy.random.rand()",
    "tensorflow": "import tensorflow; number = float(tensorflow.random.normal(()))",
    "torch": "import torch; number = float(torch.nn.Linear(1, 1).weight)",
}


@pytest.mark.parametrize("isolation", ["process", "none"])
@pytest.mark.parametrize(
    "library",
    [
        "random",
        "numpy",
        *(pytest.param(name, marks=pytest.mark.slow("frameworks")) for name in ("tensorflow", "torch")),
    ],
)
def test_each_trial_draws_numbers_of_its_own(local_spark: Any, shared: str, library: str, isolation: str) -> None:
    code = NUMBERS[library]

    def train(n: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        exec(code, found)
        return {"metric": 0.0, "number": found["number"]}

    for _ in range(2):  # the second run's slots have the library imported
        run = experiment.launch(
            train, {"n": list(range(6))}, isolation=isolation, parallelism=2, project=shared, display=False
        )
        numbers = [(trial.outputs or {})["number"] for trial in run.trials]
        assert len(set(numbers)) == 6, numbers


@pytest.mark.parametrize("options", [{"isolation": "process"}, {"isolation": "none"}, {"pool": "inline"}])
def test_a_broadcast_variable_has_its_value(local_cluster: Any, shared: str, options: dict[str, Any]) -> None:
    import numpy as np

    data = local_cluster.sparkContext.broadcast({"weights": np.arange(1000.0)})
    unused = local_cluster.sparkContext.broadcast("not of this function")

    def train(x: int) -> dict[str, Any]:
        was_loaded = hasattr(data, "_value")
        return {"metric": float(data.value["weights"].sum()) * x, "was_loaded": was_loaded}

    assert local_cluster.sparkContext.parallelize([2]).map(train).collect()[0]["metric"] == 999000.0  # plain Spark
    run = experiment.grid_search(train, {"x": [1, 2, 3, 4]}, project=shared, display=False, **options)
    assert run.best_metric == 1998000.0
    if options.get("isolation") == "process":  # by the parent process of the trials, whose memory they share
        assert [(trial.outputs or {})["was_loaded"] for trial in run.trials] == [True] * 4
    assert unused.value == "not of this function"


def test_members_of_a_gang_have_broadcast_variables(local_cluster: Any, shared: str) -> None:
    data = local_cluster.sparkContext.broadcast([1, 2, 3])
    run = experiment.mirrored(lambda: sum(data.value), num_workers=2, project=shared, display=False)
    assert run.trials[0].metric == 6


def test_a_broadcast_variable_among_the_values(local_cluster: Any, shared: str) -> None:
    few, many = (local_cluster.sparkContext.broadcast(list(range(n))) for n in (3, 30))
    run = experiment.grid_search(lambda data: len(data.value), {"data": [few, many]}, project=shared, display=False)
    assert [trial.metric for trial in run.trials] == [3, 30]


def test_an_accumulator_is_refused_with_what_to_use(local_cluster: Any, shared: str) -> None:
    total = local_cluster.sparkContext.accumulator(0)

    def train(x: int) -> int:
        total.add(x)
        return x

    with pytest.raises(
        NotSerializable, match=r"'total'.* is an Accumulator of Spark; it would stay 0; return the number"
    ):
        experiment.grid_search(train, {"x": [1, 2]}, project=shared, display=False)


@pytest.mark.slow("clusters")
def test_with_encryption_it_is_refused_with_what_to_use(tmp_path: Path) -> None:
    with spark_session("local-cluster[1,1,1024]", {"spark.io.encryption.enabled": "true"}) as spark:
        data = spark.sparkContext.broadcast([1, 2, 3])
        options: dict[str, Any] = {"project": str(tmp_path / "project"), "display": False}
        with pytest.raises(HopsliteError, match=r"spark\.io\.encryption\.enabled.*inputs="):
            experiment.launch(lambda: sum(data.value), **options)
        assert experiment.launch(lambda: sum(data.value), isolation="none", **options)[1]["metric"] == 6


PROGRAM = """
import dataclasses, json, multiprocessing, sys
from hopslite import experiment
from pyspark.sql import SparkSession

@dataclasses.dataclass
class Table:
    rows: list

    def __reduce__(self):  # code of the user's own: the program is tried in another process first
        return Table, (self.rows,)

def total(_):
    return sum(data.value.rows)

def train(x):
    assert isinstance(data.value, Table), type(data.value)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(total, [None])[0] * x

spark = SparkSession.builder.master("local[2]").getOrCreate() if __name__ == "__main__" else None
if spark and sys.argv[1] == "search":
    data, table = spark.sparkContext.broadcast(Table([1, 2, 3])), Table([])
    train.table = table
    run = experiment.grid_search(train, {"x": [1, 2]}, display=False)
    print("BEST", json.dumps([run.run_id, run.best_metric]), flush=True)
elif spark:
    try:
        experiment.resume(sys.argv[2], display=False)
    except Exception as error:
        print("SAID", json.dumps(f"{type(error).__name__}: {error}"), flush=True)
"""


def test_a_broadcast_variable_of_the_programs_own_classes(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = Program(tmp_path, PROGRAM, "search", name="first")
        stack.callback(first.kill)
        run_id, best = first.said("BEST")
        assert best == 12.0
        again = Program(tmp_path, PROGRAM, "resume", run_id, name="again")
        stack.callback(again.kill)
        assert "it uses a broadcast variable, which ended with its Spark session" in again.said("SAID")
