"""Capacity of a cluster for trials, from its configuration and the few figures that a kind of session can look up."""

from __future__ import annotations

import abc
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from ..core.gpu_shares import trials_per_gpu

__all__ = ["ClusterCapacity"]

EXECUTOR_SECONDS = 15.0  # for a cluster to start its first executor
SETTLED_SECONDS = 3.0  # without a new executor: then all have registered


class ClusterCapacity(abc.ABC):
    """Slots, cores, GPUs and executors of a cluster, for trials with given requests.

    `local`: trials run in the JVM of the Spark driver, to which Spark assigns no GPUs.
    """

    local: bool
    LOCAL_MACHINE: ClassVar[str] = "this machine"  # on which trials run with a local master

    def __init__(self, conf: Mapping[str, str], master: str, cpus: int | None, gpus: float | None, unit: str) -> None:
        self._conf, self.master = conf, master
        self.local = master.startswith("local") and not master.startswith("local-cluster")
        self._cpus, self._gpus = cpus, gpus
        self._unit = unit  # "trial" or "worker", as in the keywords of the call

    # --- figures of a kind of session

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """Version of Spark."""

    @property
    @abc.abstractmethod
    def driver_host(self) -> str:
        """The address at which executors reach the driver of the run."""

    @property
    @abc.abstractmethod
    def bind_address(self) -> str:
        """The address on which the driver of the run listens."""

    @property
    @abc.abstractmethod
    def local_gpus(self) -> list[str]:
        """GPUs of the machine of a local master; empty elsewhere."""

    @abc.abstractmethod
    def occupancy(self) -> str:
        """Description of the cores of all executors, for messages."""

    @abc.abstractmethod
    def _concurrent_tasks(self) -> int:
        """Number of tasks with these requests that fit on the executors of this moment."""

    @abc.abstractmethod
    def _count_executors(self) -> int:
        """Number of executors of this moment."""

    @abc.abstractmethod
    def _cores_of_executors(self, patience: float) -> int | None:
        """The largest number of cores of an executor; None if it is not known, after `patience` seconds."""

    @abc.abstractmethod
    def _uptime(self) -> float:
        """Seconds since the Spark application was started."""

    # --- the configuration

    def conf(self, key: str, default: str = "") -> str:
        return str(self._conf.get(key, default))

    def _task_cpus(self) -> int:
        return int(self.conf("spark.task.cpus", "1"))

    @property
    def _gpus_of_task(self) -> float:
        return float(self.conf("spark.task.resource.gpu.amount", "0"))

    def _task_requests(self) -> dict[str, float] | None:
        """CPUs and GPUs of a resource profile with these requests; None where Spark's configuration equals them."""
        if self._cpus in (None, self._task_cpus()) and self._has_gpus_of_task():
            return None
        requests: dict[str, float] = {"cpus": self._cpus or self._task_cpus()}
        if gpus := self._gpus:
            # rounded down, so that n shares of 1/n are never more than a GPU
            requests["gpu"] = math.nextafter(gpus, 0) if gpus < 1 else float(gpus)
        return requests

    def _executor_requests(self) -> dict[str, int]:
        """Cores and GPUs of executors in a resource profile; empty where trials use the executors that there are.

        With dynamic allocation Spark starts executors for each profile, with what that profile requests.
        """
        if not self.dynamic:
            return {}
        cores = self.conf("spark.executor.cores")
        requests = {"cores": int(cores)} if cores.isdigit() else {}
        return requests | ({"gpu": self._gpus_per_executor()} if self._gpus else {})

    @property
    def _gpu_discovery(self) -> tuple[str, str]:
        """Script that finds an executor's GPUs, and their vendor, as the session is configured."""
        return self.conf("spark.executor.resource.gpu.discoveryScript"), self.conf("spark.executor.resource.gpu.vendor")

    def _has_gpus_of_task(self) -> bool:
        """True if each task has the requested GPUs by Spark's configuration."""
        if self._gpus is None:
            return True
        if 0 < self._gpus < 1:
            return 0 < self._gpus_of_task < 1 and _tasks_per_gpu(self._gpus_of_task) == trials_per_gpu(self._gpus)
        return self._gpus == self._gpus_of_task

    @property
    def trials_per_gpu(self) -> int:
        """Number of trials that use a GPU together, by their request or by Spark's configuration."""
        if self._gpus is not None or self.local:
            return trials_per_gpu(self._gpus)
        return _tasks_per_gpu(self._gpus_of_task)

    @property
    def assigns_gpus(self) -> bool:
        """True if Spark is configured to assign GPUs to tasks that do not request any."""
        return self._gpus_of_task > 0

    @property
    def dynamic(self) -> bool:
        """True if Spark adds and removes executors by itself."""
        return self.conf("spark.dynamicAllocation.enabled") == "true"

    # --- requests that can never be met

    def problems(self) -> list[str]:
        """Reasons why trials with these requests could never run; empty when they can."""
        cores = self._cores() if self._cpus else None
        problems = []
        if self._cpus and cores is not None and self._cpus > cores:
            problems.append(
                f"cpus_per_{self._unit}={self._cpus}, but {self._executor_description()} has {cores} cores; "
                f"ask for at most {cores}"
            )
        if self._gpus and self._gpus > (gpus := self._gpus_per_executor()):
            how = (
                "NVML reports no more there"
                if self.local
                else "spark.executor.resource.gpu.amount says so; executors need it and a discovery script"
            )
            problems.append(
                f"gpus_per_{self._unit}={self._gpus:.3g}, but {self._executor_description()} has {gpus} GPUs ({how})"
            )
        elif self._gpus and not self.local and (problem := self._sharing_problem()):
            problems.append(f"gpus_per_{self._unit}={self._gpus:.3g}, but {problem}")
        return problems

    def _sharing_problem(self) -> str | None:
        """Reason why this Spark cannot divide GPUs as requested.

        Before version 4, executors divide them by the configuration alone, whatever a stage requests.
        """
        assert self._gpus
        is_whole = self._gpus >= 1 and (self._gpus_of_task >= 1 or self._gpus_of_task == 0)
        if int(self.version.partition(".")[0]) >= 4 or is_whole or self._has_gpus_of_task():
            return None
        amount = int(self._gpus * 1e4 + 1e-6) / 1e4  # rounded down: of 0.143 Spark gives 6 tasks a GPU, not 7
        return (
            f"Spark {self.version} divides GPUs only by its configuration; start the session with "
            f"spark.task.resource.gpu.amount={amount:g}, or use Spark 4"
        )

    def _executor_description(self) -> str:
        return self.LOCAL_MACHINE if self.local else "an executor"

    # --- capacity

    def _cores(self) -> int | None:
        """Cores of an executor; None as long as they are not known."""
        if self.local:
            return self._concurrent_tasks() * self._task_cpus()
        cores = self.conf("spark.executor.cores")
        if cores.isdigit():
            return int(cores)
        if not self.master.startswith(("spark://", "local-cluster")):
            return 1  # Spark's default for an executor on other clusters
        return self._cores_of_executors(EXECUTOR_SECONDS if (self._cpus or 1) > 1 else 0.0)

    def _gpus_per_executor(self) -> int:
        return len(self.local_gpus) if self.local else int(self.conf("spark.executor.resource.gpu.amount", "0"))

    def _trials_per_executor(self) -> int:
        """Number of trials with these requests that fit on an executor at once."""
        trials = (self._cores() or 1) // (self._cpus or self._task_cpus())
        return min(trials, self._trials_with_gpus()) if self._gpus else trials

    def _trials_with_gpus(self) -> int:
        """Number of trials for which the GPUs of an executor are enough."""
        assert self._gpus
        return self._gpus_per_executor() * trials_per_gpu(self._gpus) // max(1, int(self._gpus))

    def capacity(self) -> int:
        """Number of trials that fit at once at the moment; with dynamic allocation, at its maximum."""
        if self.local:
            return max(1, self._trials_per_executor())
        current = self._concurrent_tasks()
        if not self.dynamic:
            return max(1, current)
        executors = self.conf("spark.dynamicAllocation.maxExecutors", "1000")
        return max(1, current, min(int(executors), 1000) * self._trials_per_executor())

    def executors(self) -> int:
        """Number of executors that the application has, or will have; the driver is one in local mode."""
        if self.local:
            return 1
        if self.dynamic and self.conf("spark.dynamicAllocation.maxExecutors").isdigit():
            return int(self.conf("spark.dynamicAllocation.maxExecutors"))
        if self._local_cluster():
            return self._local_cluster()[0]
        if self.conf("spark.executor.instances").isdigit():
            return int(self.conf("spark.executor.instances"))
        return max(1, self._wait_until_stable(self._count_executors, requested=None))

    def max_slots(self, requested: int) -> int:
        """Number of tasks with these requests that can ever run at once; at least `requested` when all fit.

        Waits a little for executors that are still starting, where their final number is not known.
        """
        if self.local or self.dynamic:
            return self.capacity()
        if self._local_cluster():
            executors, cores = self._local_cluster()
            slots = executors * (cores // (self._cpus or self._task_cpus()))
            if self._gpus:
                slots = min(slots, executors * self._trials_with_gpus())
            return slots
        instances = self.conf("spark.executor.instances")
        if instances.isdigit() and not self.master.startswith("spark://"):
            return int(instances) * self._trials_per_executor()
        return self._wait_until_stable(self._concurrent_tasks, requested=requested)

    def _local_cluster(self) -> tuple[int, ...]:
        """Number of executors and cores of each in a `local-cluster[executors,cores,memory]`; empty elsewhere."""
        match = re.fullmatch(r"local-cluster\[\s*(\d+)\s*,\s*(\d+)\s*,.*\]", self.master)
        return tuple(int(number) for number in match.groups()) if match else ()

    def _wait_until_stable(self, count: Callable[[], int], requested: int | None) -> int:
        """Wait until a count that grows while executors register is enough, or has stopped growing.

        If nothing is `requested`, an application that has been up for long is taken to have all its executors.
        """
        patience = 0.0 if requested is None and self._uptime() > EXECUTOR_SECONDS else SETTLED_SECONDS
        deadline = time.monotonic() + EXECUTOR_SECONDS
        best, changed_at = 0, time.monotonic()
        while time.monotonic() < deadline:
            current = count()
            if current > best:
                best, changed_at = current, time.monotonic()
            enough = requested is not None and best >= requested
            if enough or (best and time.monotonic() - changed_at >= patience):
                break
            time.sleep(0.1)
        return best

    def gpus_of_slot(self, index: int) -> list[str] | None:
        """GPU addresses for one of several slots in local mode, where Spark assigns none."""
        if self._gpus is None or not self.local:
            return None
        if 0 < self._gpus < 1:  # one after another, so that few trials have a GPU each
            return [self.local_gpus[index % len(self.local_gpus)]]
        gpus = int(self._gpus)
        return self.local_gpus[index * gpus : (index + 1) * gpus]


def _tasks_per_gpu(amount: float) -> int:
    """Number of tasks to which Spark gives one GPU when each has this amount by its configuration."""
    return int(1 / amount + 1e-9) if 0 < amount < 1 else 1
