"""Cluster of a classic Spark session, whose figures its SparkContext knows, and the resource profile of trials."""

from __future__ import annotations

import functools
import time
from typing import Any

from ..channel.addresses import is_local_address
from . import _python_check
from ._cluster_capacity import ClusterCapacity

__all__ = ["Cluster", "facts_of"]

FACTS_ATTRIBUTE = "_hopslite_facts"  # on a SparkContext: nothing of it changes later


class Cluster(ClusterCapacity):
    """The capacity of a Spark cluster for trials with given requests, and their resource profile."""

    def __init__(self, spark: Any, cpus: int | None, gpus: float | None, unit: str = "trial") -> None:
        self.context = spark.sparkContext
        super().__init__(facts_of(self.context)["conf"], self.context.master, cpus, gpus, unit)
        # for jobs of trials: on a local master with this interpreter, whatever the user's session took from the PATH
        self.context_for_trials = _python_check.with_driver_python(self.context) if self.local else self.context
        self.profile = None if self.local else self._make_profile()

    @property
    def version(self) -> str:
        return str(self.context.version)

    @property
    def driver_host(self) -> str:
        return "127.0.0.1" if self.local else self.conf("spark.driver.host")

    @property
    def bind_address(self) -> str:
        """The address on which the driver listens: not all of the machine's, if it has that of the driver."""
        host = self.driver_host
        bind = host if self.local else self.conf("spark.driver.bindAddress", host)
        return host if bind in ("0.0.0.0", "::") and is_local_address(host) else bind

    @functools.cached_property
    def local_gpus(self) -> list[str]:
        """GPUs of this machine in local mode, looked up only for trials that request some."""
        if not self.local:
            return []
        from ..executor.system_metrics import visible_gpus

        spark = self.context.resources.get("gpu")
        return list(spark.addresses) if spark else visible_gpus()

    def _make_profile(self) -> Any:
        """A resource profile with these task requests; None when Spark's configuration equals them."""
        requests = self._task_requests()
        if requests is None:
            return None
        from pyspark.resource import ExecutorResourceRequests, ResourceProfileBuilder, TaskResourceRequests

        task, executor = TaskResourceRequests().cpus(int(requests.pop("cpus"))), ExecutorResourceRequests()
        for name, amount in requests.items():
            task = task.resource(name, amount)
        of_executor = self._executor_requests()
        if "cores" in of_executor:
            executor = executor.cores(of_executor["cores"])
        if "gpu" in of_executor:
            executor = executor.resource("gpu", of_executor["gpu"], *self._gpu_discovery)
        builder = ResourceProfileBuilder().require(task)
        return (builder.require(executor) if of_executor else builder).build

    def _cores_of_executors(self, patience: float) -> int | None:
        deadline = time.monotonic() + patience
        while True:
            cores = [int(executor.totalCores()) for executor in self.alive_executors()]
            if cores or time.monotonic() >= deadline:
                return max(cores, default=None)
            time.sleep(0.1)

    def _concurrent_tasks(self) -> int:
        return int(self.context._jsc.sc().maxNumConcurrentTasks(self._java_profile()))

    def _count_executors(self) -> int:
        return len(self.alive_executors())

    def _uptime(self) -> float:
        return float(time.time() - self.context.startTime / 1000)

    def alive_executors(self) -> list[Any]:
        """Spark's summaries of the executors that it has now; the driver is one in local mode."""
        executors = self.context._jsc.sc().statusStore().executorList(True)
        executor = [executors.apply(index) for index in range(executors.size())]
        return [executor for executor in executor if self.local or executor.id() != "driver"]

    def free_cores(self) -> int:
        """Cores of all executors on which no task runs."""
        used = [
            executor.totalCores() - executor.activeTasks() * self._task_cpus() for executor in self.alive_executors()
        ]
        return sum(max(0, cores) for cores in used)

    def announced_gpus(self) -> tuple[tuple[str, ...], ...]:
        """Addresses of the GPUs that each executor has announced to Spark."""
        resources = [executor.resources().get("gpu") for executor in self.alive_executors()]
        return tuple(tuple(map(str, gpu.get().addresses())) if gpu.isDefined() else () for gpu in resources)

    def occupancy(self) -> str:
        """Description of the free and used cores of all executors."""
        task_cpus = self._task_cpus()
        shown = [
            f"{executor.hostPort()} has {max(0, executor.totalCores() - executor.activeTasks() * task_cpus)} of "
            f"{executor.totalCores()} cores free"
            for executor in self.alive_executors()
        ]
        return "; ".join(sorted(shown)) or "no executor is there"

    def _java_profile(self) -> Any:
        manager = self.context._jsc.sc().resourceProfileManager()
        if self.profile is None:
            return manager.defaultResourceProfile()
        profile = self.profile._java_resource_profile
        manager.addResourceProfile(profile)  # Spark itself does so with its first job
        return profile


def facts_of(context: Any) -> dict[str, Any]:
    """Facts of a SparkContext for a run's record; read once, as each setting is a call of the JVM."""
    facts: dict[str, Any] | None = getattr(context, FACTS_ATTRIBUTE, None)
    if facts is None:
        facts = {
            "application_id": context.applicationId,
            "master": context.master,
            "version": context.version,
            "ui": context.uiWebUrl,
            "conf": dict(context.getConf().getAll()),
        }
        setattr(context, FACTS_ATTRIBUTE, facts)
    return facts
