"""Classic Spark sessions: slots are jobs of their SparkContext."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import SparkUnavailable
from . import _python_check
from ._backend import Backend, JobNames, SlotTask
from ._cluster_capacity import ClusterCapacity
from ._spark_cluster import Cluster, facts_of
from ._spark_session import is_stopping, open_session

__all__ = ["STOPPED", "SparkBackend"]

STOPPED = "the Spark session was stopped during the run"


class SparkBackend(Backend):
    """A classic session: the given or active one, or a new one."""

    how_to_reach = "executors must reach spark.driver.host on the ports of channel_port (HOPSLITE_CHANNEL_PORT)"

    def __init__(self, spark: Any = None, **options: Any) -> None:
        self._session = open_session(spark)
        self._context = self._session.sparkContext

    @property
    def facts(self) -> dict[str, Any]:  # type: ignore[override]
        return facts_of(self._context)

    def cluster(self, cpus: int | None, gpus: float | None, unit: str = "trial") -> Cluster:
        return Cluster(self._session, cpus, gpus, unit)

    def check(self, cluster: ClusterCapacity, address: tuple[str, int]) -> None:
        if not cluster.local:
            _python_check.check(self._context)

    @property
    def closed(self) -> bool:
        return self._context._jsc is None

    @property
    def stop_reason(self) -> str | None:
        return STOPPED if is_stopping(self._context) else None

    def run(
        self, cluster: ClusterCapacity, task: SlotTask, ranks: Sequence[int], barrier: bool, names: JobNames
    ) -> list[str]:
        assert isinstance(cluster, Cluster)
        self._context.setJobGroup(names.group, names.description, interruptOnCancel=False)
        self._context.addJobTag(names.tag)
        rdd = cluster.context_for_trials.parallelize(ranks, len(ranks))
        if cluster.profile is not None:
            rdd = rdd.withResources(cluster.profile)
        return list((rdd.barrier() if barrier else rdd).mapPartitions(task).collect())

    def cancel(self, tag: str) -> None:
        self._context.cancelJobsWithTag(tag)

    def cancel_group(self, group: str) -> None:
        self._context.cancelJobGroup(group)

    def close(self) -> None:
        pass

    def start_failure(self, cluster: ClusterCapacity, problem: str) -> SparkUnavailable:
        return _python_check.start_failure(self._context, cluster.local, problem)
