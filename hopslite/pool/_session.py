"""The Spark session of a run: the active one, or a local one with this very interpreter."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InvalidArguments, SparkUnavailable
from ..runtime.context import is_for_trials
from . import _java

__all__ = ["Cluster", "session"]

LOG4J = Path(__file__).with_name("log4j2.properties")
EXECUTOR_SECONDS = 15.0  # how long a cluster may take to start its first executor
SETTLED_SECONDS = 3.0  # no more executors for so long: these are all
IN_A_TRIAL = (
    "a trial cannot start trials on Spark. If its training function is not meant to, it imports your program: is that "
    "named like a module, as keras.py is, or is its call not under `if __name__ == '__main__':`?"
)


def session(given: Any = None, master: str | None = None) -> Any:
    """`given`, or the active session, or a new one.

    A new one takes `master`, or what `spark-submit` or `spark-defaults.conf` say, otherwise `local[*]`; its executors
    run this interpreter unless `PYSPARK_PYTHON` names another. It stays for later runs and ends with the process.

    Raises:
        SparkUnavailable: there is no usable Java, Spark does not start, or this is a trial.
        InvalidArguments: `given` is no classic session.
    """
    from pyspark import SparkContext, __version__
    from pyspark.sql import SparkSession

    if given is not None:
        if _is_connect(given):
            raise InvalidArguments(
                "spark", ["a Spark Connect session cannot run trials; connect to the cluster directly"]
            )
        if not isinstance(given, SparkSession):
            raise InvalidArguments("spark", [f"{given!r} is no SparkSession; leave it out to use the active one"])
        if given.sparkContext._jsc is None:
            raise InvalidArguments("spark", ["this session was stopped; create a new one, or leave it out"])
        return given
    active = SparkSession.getActiveSession()
    if active is not None:
        return session(active)  # with the same checks
    if SparkContext._active_spark_context is not None:
        return SparkSession(SparkContext._active_spark_context)
    if is_for_trials():
        raise SparkUnavailable(IN_A_TRIAL)
    problem = None if os.environ.get("PYSPARK_GATEWAY_PORT") else _java.problem(__version__)
    if problem:
        raise SparkUnavailable(problem)
    with _this_interpreter(), _same_interrupt_handler(), _quiet_log():
        try:
            return _new_session(master)
        except Exception as error:
            raise SparkUnavailable(f"Spark did not start: {error}") from error


@contextlib.contextmanager
def _same_interrupt_handler() -> Iterator[None]:
    """A new SparkContext takes over Ctrl-C; a program that has not asked for one keeps its own."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _new_session(master: str | None) -> Any:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    SparkContext._ensure_initialized()
    conf = SparkConf()  # what spark-submit, spark-defaults.conf and PYSPARK_SUBMIT_ARGS say
    if master is not None:
        conf.setMaster(master)
    conf.setIfMissing("spark.master", "local[*]").set("spark.ui.showConsoleProgress", "false")  # there is a better one
    if conf.get("spark.master").startswith("local["):  # nobody outside of this machine has to reach it
        conf.setIfMissing("spark.driver.host", "127.0.0.1").setIfMissing("spark.driver.bindAddress", "127.0.0.1")
    if conf.get("spark.app.name", "pyspark-shell") == "pyspark-shell":
        conf.setAppName("hopslite")
    return SparkSession.builder.config(conf=conf).getOrCreate()


def _is_connect(given: Any) -> bool:
    return type(given).__module__.startswith("pyspark.sql.connect")


@contextlib.contextmanager
def _this_interpreter() -> Iterator[None]:
    """PySpark reads the executors' interpreter from a variable when a context is made; the default is any python3."""
    if "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """A new Spark logs by our `log4j2.properties` if nobody has told it how to log."""
    from pyspark.find_spark_home import _find_spark_home

    options = os.environ.get("SPARK_SUBMIT_OPTS")
    folder = Path(os.environ.get("SPARK_CONF_DIR") or Path(_find_spark_home(), "conf"))
    if "log4j" in (options or "") or any(folder.glob("log4j*")):
        yield
        return
    os.environ["SPARK_SUBMIT_OPTS"] = f"{options or ''} -Dlog4j2.configurationFile={LOG4J.as_uri()}".strip()
    try:
        yield
    finally:
        del os.environ["SPARK_SUBMIT_OPTS"]
        if options is not None:
            os.environ["SPARK_SUBMIT_OPTS"] = options


class Cluster:
    """What Spark can give trials: slots, GPUs, and the resource profile to ask for them with."""

    def __init__(self, spark: Any, cpus: int | None, gpus: int | None, per: str = "trial") -> None:
        self._per = per  # what the requests are for, as the keywords of the call say
        self.context = spark.sparkContext
        self._conf = dict(self.context.getConf().getAll())
        self.local = self.context.master.startswith("local") and not self.context.master.startswith("local-cluster")
        self._cpus, self._gpus = cpus, gpus
        self.local_gpus = self._find_local_gpus() if self.local else []
        self.profile = None if self.local else self._make_profile()

    def conf(self, key: str, default: str = "") -> str:
        return str(self._conf.get(key, default))

    def _find_local_gpus(self) -> list[str]:
        from ..runtime.system import visible_gpus

        given = self.context.resources.get("gpu")
        return list(given.addresses) if given else visible_gpus()

    def _make_profile(self) -> Any:
        """A profile with these task requests; None when Spark is configured for just these."""
        from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

        gpus = 0.0 if self._gpus is None else float(self._gpus)
        same_cpus = self._cpus in (None, self._task_cpus())
        same_gpus = self._gpus is None or gpus == float(self.conf("spark.task.resource.gpu.amount", "0"))
        if same_cpus and same_gpus:
            return None
        requests = TaskResourceRequests().cpus(self._cpus or self._task_cpus())
        if gpus:
            requests = requests.resource("gpu", gpus)
        return ResourceProfileBuilder().require(requests).build

    def problems(self) -> list[str]:
        """Why trials with these requests could never run; empty when they can."""
        cores, wanted = self._cores(), self._cpus or 1
        found = []
        if cores is not None and wanted > cores:
            found.append(
                f"cpus_per_{self._per}={wanted}, but {self._place()} has {cores} cores; ask for at most {cores}"
            )
        gpus = self._gpus_per_place()
        if self._gpus and self._gpus > gpus:
            how = (
                "NVML finds no more here"
                if self.local
                else "spark.executor.resource.gpu.amount says so; executors need it and a discovery script"
            )
            found.append(f"gpus_per_{self._per}={self._gpus}, but {self._place()} has {gpus} GPUs ({how})")
        return found

    def _place(self) -> str:
        return "this machine" if self.local else "an executor"

    def _cores(self) -> int | None:
        if self.local:
            return int(self.context._jsc.sc().maxNumConcurrentTasks(self._java_profile())) * self._task_cpus()
        cores = self.conf("spark.executor.cores")
        if cores.isdigit():
            return int(cores)
        if not self.context.master.startswith(("spark://", "local-cluster")):
            return 1  # what Spark gives an executor on other clusters
        return self._cores_of_executors(EXECUTOR_SECONDS if (self._cpus or 1) > 1 else 0.0)

    def _cores_of_executors(self, patience: float) -> int | None:
        """The most cores that an executor has: by default all of its machine's. None as long as there is none."""
        end = time.monotonic() + patience
        while True:
            found = [int(executor.totalCores()) for executor in self._alive_executors()]
            if found or time.monotonic() >= end:
                return max(found, default=None)
            time.sleep(0.1)

    def _gpus_per_place(self) -> int:
        return len(self.local_gpus) if self.local else int(self.conf("spark.executor.resource.gpu.amount", "0"))

    def capacity(self) -> int:
        """How many trials fit at once at the moment; with dynamic allocation, at its maximum."""
        if self.local:
            limits = [(self._cores() or 1) // (self._cpus or self._task_cpus())]
            if self._gpus:
                limits.append(len(self.local_gpus) // self._gpus)
            return max(1, min(limits))
        scala = self.context._jsc.sc()
        now = int(scala.maxNumConcurrentTasks(self._java_profile()))
        if not self.dynamic:
            return max(1, now)
        executors = self.conf("spark.dynamicAllocation.maxExecutors", "1000")
        per_executor = max(1, (self._cores() or 1) // (self._cpus or self._task_cpus()))
        return max(1, now, min(int(executors), 1000) * per_executor)

    @property
    def gives_gpus(self) -> bool:
        """Whether Spark is configured to give tasks GPUs without being asked."""
        return float(self.conf("spark.task.resource.gpu.amount", "0")) > 0

    @property
    def dynamic(self) -> bool:
        """Whether Spark adds and removes executors by itself."""
        return self.conf("spark.dynamicAllocation.enabled") == "true"

    def executors(self) -> int:
        """How many executors the application has, or will have; the driver is one in local mode."""
        if self.local:
            return 1
        if self.dynamic and self.conf("spark.dynamicAllocation.maxExecutors").isdigit():
            return int(self.conf("spark.dynamicAllocation.maxExecutors"))
        if self._local_cluster():
            return self._local_cluster()[0]
        if self.conf("spark.executor.instances").isdigit():
            return int(self.conf("spark.executor.instances"))
        return max(1, self._settled(lambda: len(self._alive_executors()), wanted=None))

    def most_slots(self, wanted: int) -> int:
        """How many tasks with these requests can ever run at once; a number of at least `wanted` when all fit.

        Waits a little for executors that are still starting, where nothing tells how many there will be.
        """
        if self.local or self.dynamic:
            return self.capacity()
        if self._local_cluster():
            executors, cores = self._local_cluster()
            slots = executors * (cores // (self._cpus or self._task_cpus()))
            if self._gpus:
                slots = min(slots, executors * (self._gpus_per_place() // self._gpus))
            return slots
        instances = self.conf("spark.executor.instances")
        if instances.isdigit() and not self.context.master.startswith("spark://"):
            per_executor = (self._cores() or 1) // (self._cpus or self._task_cpus())
            if self._gpus:
                per_executor = min(per_executor, self._gpus_per_place() // self._gpus)
            return int(instances) * per_executor
        return self._settled(
            lambda: int(self.context._jsc.sc().maxNumConcurrentTasks(self._java_profile())), wanted=wanted
        )

    def _local_cluster(self) -> tuple[int, ...]:
        """Executors and cores of each, of a `local-cluster[executors,cores,memory]`; nothing elsewhere."""
        found = re.fullmatch(r"local-cluster\[\s*(\d+)\s*,\s*(\d+)\s*,.*\]", self.context.master)
        return tuple(int(number) for number in found.groups()) if found else ()

    def _settled(self, count: Callable[[], int], wanted: int | None) -> int:
        """A number that grows while executors register, once it is enough or has stopped growing.

        With nothing `wanted`, an application that has been up for long has all its executors already.
        """
        up = time.time() - self.context.startTime / 1000
        patience = 0.0 if wanted is None and up > EXECUTOR_SECONDS else SETTLED_SECONDS
        end = time.monotonic() + EXECUTOR_SECONDS
        best, since = 0, time.monotonic()
        while time.monotonic() < end:
            now = count()
            if now > best:
                best, since = now, time.monotonic()
            enough = wanted is not None and best >= wanted
            if enough or (best and time.monotonic() - since >= patience):
                break
            time.sleep(0.1)
        return best

    def _alive_executors(self) -> list[Any]:
        executors = self.context._jsc.sc().statusStore().executorList(True)
        each = [executors.apply(index) for index in range(executors.size())]
        return [executor for executor in each if self.local or executor.id() != "driver"]

    def occupancy(self) -> str:
        """Who has what at the moment, for people."""
        task_cpus = self._task_cpus()
        shown = [
            f"{executor.hostPort()} has {max(0, executor.totalCores() - executor.activeTasks() * task_cpus)} of "
            f"{executor.totalCores()} cores free"
            for executor in self._alive_executors()
        ]
        return "; ".join(sorted(shown)) or "no executor is there"

    def _task_cpus(self) -> int:
        return int(self.conf("spark.task.cpus", "1"))

    def _java_profile(self) -> Any:
        manager = self.context._jsc.sc().resourceProfileManager()
        if self.profile is None:
            return manager.defaultResourceProfile()
        profile = self.profile._java_resource_profile
        manager.addResourceProfile(profile)  # Spark itself does so with its first job
        return profile

    def gpus_of_slot(self, index: int) -> list[str] | None:
        """In local mode, where Spark assigns none: the addresses for one of several slots side by side."""
        if self._gpus is None or not self.local:
            return None
        return self.local_gpus[index * self._gpus : (index + 1) * self._gpus]
