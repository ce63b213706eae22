"""The capacity of a cluster for trials that share GPUs, and what its Spark cannot give; without a Spark."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hopslite.pool import _cluster_capacity
from hopslite.pool._spark_cluster import Cluster


def cluster(gpus: float | None, version: str = "4.1.0", conf: dict[str, str] | None = None, there: int = 2) -> Cluster:
    """Two executors of eight cores, with GPUs."""
    master = "local-cluster[2,8,1024]"
    conf = {"spark.executor.cores": "8", "spark.executor.resource.gpu.amount": str(there), **(conf or {})}
    made = Cluster.__new__(Cluster)
    vars(made).update(context=SimpleNamespace(version=version), master=master, local=False, profile=None, _unit="trial")
    vars(made).update(_conf=conf, _cpus=None, _gpus=gpus)
    return made


def local(gpus: float | None, there: list[str], cores: int = 8) -> Cluster:
    made = cluster(gpus)
    vars(made).update(local=True, local_gpus=there, _cores=lambda: cores)
    return made


@pytest.mark.parametrize(("gpus", "slots"), [(None, 16), (2, 2), (1, 4), (0.5, 8), (1 / 3, 12), (0.125, 16)])
def test_slots_for_shares(gpus: float | None, slots: int) -> None:
    """Bounded by cores, of which there are 16."""
    assert cluster(gpus).max_slots(1) == slots


def test_slots_of_executors_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamic allocation adds executors for slots in the queue, which must not be more than GPUs have room for."""
    made = cluster(0.5, conf={"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "3"})
    made.context._jsc = SimpleNamespace(sc=lambda: SimpleNamespace(maxNumConcurrentTasks=lambda profile: 0))
    monkeypatch.setattr(made, "_java_profile", lambda: None)
    assert made.capacity() == 3 * 4


@pytest.mark.parametrize(
    ("gpus", "there", "slots"),
    [
        (0.5, ["a", "b"], [["a"], ["b"], ["a"], ["b"]]),
        (0.25, ["a"], [["a"]] * 4),
        (1, ["a", "b"], [["a"], ["b"]]),
        (2, ["a", "b"], [["a", "b"]]),
    ],
)
def test_this_machines_gpus_are_divided_in_local_mode(gpus: float, there: list[str], slots: list[list[str]]) -> None:
    made = local(gpus, there)
    assert made.capacity() == len(slots)
    assert [made.gpus_of_slot(index) for index in range(len(slots))] == slots
    assert made.trials_per_gpu == (1 / gpus if gpus < 1 else 1)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (local(0.25, []), ["gpus_per_trial=0.25", "this machine has 0 GPUs"]),
        (cluster(0.25, there=0), ["gpus_per_trial=0.25", "an executor has 0 GPUs", "gpu.amount"]),
        (
            cluster(1 / 3, "3.5.1"),
            ["gpus_per_trial=0.333", "3.5.1", "spark.task.resource.gpu.amount=0.3333", "Spark 4"],
        ),
        (cluster(1 / 7, "3.5.1"), ["spark.task.resource.gpu.amount=0.1428,"]),
        (cluster(0.25, "3.5.1"), ["spark.task.resource.gpu.amount=0.25,"]),
        (cluster(0.5, "3.5.1", {"spark.task.resource.gpu.amount": "0.25"}), ["gpu.amount=0.5"]),
        (cluster(1, "3.5.1", {"spark.task.resource.gpu.amount": "0.25"}), ["gpus_per_trial=1", "gpu.amount=1"]),
    ],
)
def test_shares_that_a_cluster_cannot_give(made: Cluster, words: list[str]) -> None:
    (problem,) = made.problems()
    assert [word for word in words if word not in problem] == [], problem


@pytest.mark.parametrize(
    "made",
    [
        cluster(0.25),
        cluster(1, "3.5.1"),
        cluster(2, "3.5.1", {"spark.task.resource.gpu.amount": "1"}),
        cluster(0.25, "3.5.1", {"spark.task.resource.gpu.amount": "0.25"}),
        cluster(1 / 3, "3.5.1", {"spark.task.resource.gpu.amount": "0.3"}),
        cluster(None, "3.5.1", {"spark.task.resource.gpu.amount": "0.25"}),
        local(0.25, ["a"]),
    ],
)
def test_shares_that_it_can_give(made: Cluster) -> None:
    assert made.problems() == []


@pytest.mark.parametrize(("amount", "trials"), [("0.25", 4), ("0.3", 3), ("0.2", 5), ("1", 1), ("2", 1)])
def test_trials_have_the_shares_of_sparks_configuration(amount: str, trials: int) -> None:
    conf = {"spark.task.resource.gpu.amount": amount}
    assert cluster(None, conf=conf).trials_per_gpu == trials
    assert cluster(1, conf=conf).trials_per_gpu == 1


@pytest.mark.parametrize("trials", [2, 3, 6, 7, 10, 49, 93])
def test_spark_is_asked_for_no_more_than_a_share(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """49 times 1/49 is less than 1 in floats, and Spark rounds down the number of tasks for each GPU."""
    asked: list[float] = []

    class Requests:
        def cpus(self, amount: int) -> Requests:
            return self

        def resource(self, name: str, amount: float) -> Requests:
            asked.append(amount)
            return self

    builder: Any = SimpleNamespace(require=lambda requests: SimpleNamespace(build="profile"))
    monkeypatch.setattr("pyspark.resource.TaskResourceRequests", Requests)
    monkeypatch.setattr("pyspark.resource.ResourceProfileBuilder", lambda: builder)
    assert cluster(1 / trials)._make_profile() == "profile"
    assert int(1 / asked[0]) == trials
    assert int(1e16) // int(asked[0] * 1e16) == trials  # as Spark 4 counts


def test_no_profile_for_the_share_of_the_configuration() -> None:
    assert cluster(1 / 3, conf={"spark.task.resource.gpu.amount": "0.333"})._make_profile() is None
    assert _cluster_capacity._tasks_per_gpu(0.333) == 3
