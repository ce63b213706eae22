"""Cluster behind a Spark Connect server, as far as its configuration and a few queries describe it."""

from __future__ import annotations

import contextlib
import functools
import json
import time
import uuid
from typing import Any, ClassVar

from ..channel.addresses import interface_towards, is_local_address
from ._cluster_capacity import ClusterCapacity
from ._connect_server import ConnectServer
from ._connect_task import gpu_function, probe_function

__all__ = ["ConnectCluster"]

MOST_PROBED = 1000  # tasks of the query that counts executors


class ConnectCluster(ClusterCapacity):
    """The capacity of the cluster for trials with given requests, and their resource profile.

    There is no SparkContext that could be asked: the number of cores is Spark's default parallelism. Where that is
    configured, it may be wrong; slots for which there is no room wait in Spark's queue.
    """

    LOCAL_MACHINE: ClassVar[str] = "the machine of the Spark Connect server"

    def __init__(
        self, server: ConnectServer, cpus: int | None, gpus: float | None, unit: str = "trial", host: str | None = None
    ) -> None:
        self._server, self._host = server, host
        super().__init__(server.facts["conf"], server.facts["master"], cpus, gpus, unit)

    @property
    def version(self) -> str:
        return str(self._server.facts["version"])

    @functools.cached_property
    def driver_host(self) -> str:
        """The address at which executors reach this process.

        That is the configured one, or that of the interface towards the server. A server on this machine tells nothing
        of the network of its executors; there it is the address at which they reach the server itself, if that is this
        machine's.
        """
        if self._host:
            return self._host
        target = self._server.endpoint.host if self._server.endpoint else ""
        if (own := interface_towards(target)) and not own.startswith("127.") and own != "::1":
            return own
        if self.local or self.master.startswith("local-cluster"):
            return own or "127.0.0.1"
        spark_driver = self.conf("spark.driver.host")
        if spark_driver and is_local_address(spark_driver):
            return spark_driver
        return interface_towards(spark_driver) or own or "127.0.0.1"

    @property
    def bind_address(self) -> str:
        """That of the driver; or all addresses, if it is another machine's that forwards connections to this one."""
        host = self.driver_host
        return host if is_local_address(host) else "0.0.0.0"

    @functools.cached_property
    def local_gpus(self) -> list[str]:
        if not self.local:
            return []
        return list(json.loads(self._server.query(gpu_function(), 1, [f"hopslite-gpus-{uuid.uuid4().hex}"])[0]))

    @functools.cached_property
    def profile(self) -> Any:
        """A resource profile with these task requests; None when Spark's configuration equals them.

        It is made with the first job: the server refuses requests that `problems` describes.
        """
        requests = self._task_requests()
        if requests is None or self.local:
            return None
        return _Profile(
            self._server.answer(
                lambda: _create_profile(self._server.session, requests, self._executor_requests(), *self._gpu_discovery)
            )
        )

    def _cores_of_executors(self, patience: float) -> int | None:
        executors_and_cores = self._local_cluster()
        return executors_and_cores[1] if executors_and_cores else None

    def _concurrent_tasks(self) -> int:
        cores = self._server.cores()
        if self.local:
            return cores // self._task_cpus()
        if self._local_cluster():
            executors, cores_of_each = self._local_cluster()
            cores = executors * cores_of_each
        tasks = cores // (self._cpus or self._task_cpus())
        if self._gpus:
            executors = -(-cores // (self._cores() or 1))
            tasks = min(tasks, executors * self._trials_with_gpus())
        return tasks

    def _count_executors(self) -> int:
        """Number of executors on which the tasks of a short query ran, one per core."""
        tasks = min(self._server.cores(), MOST_PROBED)
        answers = self._server.query(probe_function(None, seconds=1.0), tasks, [f"hopslite-count-{uuid.uuid4().hex}"])
        return len({(facts["host"], facts["executor"]) for facts in map(json.loads, answers)})

    def _uptime(self) -> float:
        with contextlib.suppress(ValueError):
            return time.time() - float(self.conf("spark.app.startTime")) / 1000
        return float("inf")

    def occupancy(self) -> str:
        return f"{self._server.cores()} cores, {self.max_slots(1)} tasks with these requests at once"


class _Profile:
    """A resource profile that the server knows, as `mapInArrow` takes it."""

    def __init__(self, number: int) -> None:
        self.id = number


def _create_profile(
    session: Any, requests: dict[str, float], of_executor: dict[str, int], script: str, vendor: str
) -> int:
    """The number of a new profile on the server; `ResourceProfileBuilder` would ask the thread's active session."""
    from pyspark.sql.connect import proto

    task = {name: proto.TaskResourceRequest(resource_name=name, amount=amount) for name, amount in requests.items()}
    discovery = {"gpu": {"discovery_script": script, "vendor": vendor}}
    executor = {
        name: proto.ExecutorResourceRequest(resource_name=name, amount=amount, **discovery.get(name, {}))
        for name, amount in of_executor.items()
    }
    profile = proto.ResourceProfile(task_resources=task, executor_resources=executor)
    return int(session.client._create_profile(profile))
