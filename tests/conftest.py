"""What all tests share: an environment that is the same on every machine, and real Sparks, one at a time."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
import pytest
from servers import MlflowServer
from spark_cluster import QUIET, SHORT_LIVED, StandaloneCluster
from stores import S3, Hdfs, Unavailable, mlflow_over_postgres, running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = TypeVar("T")

LEAK_S = 15.0
# In the environment of everything that these tests start, executors and trials included; tells leaks of this very
# test session from another one that runs on the same machine.
MARK = "HOPSLITE_TEST_SESSION"

SERVERS_REQUIRED = os.environ.get("HOPSLITE_REQUIRE_SERVERS") == "1"

for inherited in [name for name in os.environ if name.startswith(("HOPSLITE_", "SPARK_", "MLFLOW_"))]:
    del os.environ[inherited]
os.environ.update(
    {
        MARK: secrets.token_hex(8),
        "HOPSLITE_TENSORBOARD": "0",  # tests that need the program or a tracking server switch them on
        "HOPSLITE_PLOTS": "0",
        "HOPSLITE_TRACKING_URI": "off",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SUBMIT_OPTS": SHORT_LIVED,
    }
)


def pytest_configure(config: pytest.Config) -> None:
    # pyspark 4.3 warns about every pandas that its own requirements let in
    config.addinivalue_line("filterwarnings", "ignore::FutureWarning:pyspark.*")


LONG_FIRST = ("tests/docs/test_examples.py", "tests/cluster/", "tests/docs/", "tests/contract/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes begin first, so that several workers (`-n 3`) end at about the same time."""
    items.sort(key=lambda item: next((i for i, path in enumerate(LONG_FIRST) if item.nodeid.startswith(path)), 9))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker has a file at a time, with one Spark session for all its tests."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project directory of the test's own, which is also the one that hopslite takes when none is given."""
    folder = tmp_path / "project"
    monkeypatch.setenv("HOPSLITE_PROJECT", str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def spark_conf() -> Mapping[str, str]:
    """Spark properties on top of the usual ones; a test module that needs some defines this fixture itself."""
    return {}


@pytest.fixture(scope="module")
def local_spark(spark_conf: Mapping[str, str]) -> Iterator[SparkSession]:
    """Two slots in the driver's own JVM."""
    with spark_session("local[2]", spark_conf) as spark:
        yield spark


@pytest.fixture(scope="module")
def local_cluster(spark_conf: Mapping[str, str]) -> Iterator[SparkSession]:
    """Two executors of one core in JVMs of their own."""
    with spark_session("local-cluster[2,1,1024]", spark_conf) as spark:
        yield spark


@pytest.fixture(scope="session")
def standalone_cluster() -> Iterator[StandaloneCluster]:
    """A master and two workers with one core and two fake GPUs each. A test that kills workers starts its own."""
    with StandaloneCluster(workers=2, cores=1, gpus_per_worker=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def standalone(standalone_cluster: StandaloneCluster, spark_conf: Mapping[str, str]) -> Iterator[SparkSession]:
    """A session on the standalone cluster: two executors of one core; GPUs only if `spark_conf` asks for them."""
    with spark_session(standalone_cluster.url, spark_conf) as spark:
        yield spark


@contextlib.contextmanager
def spark_session(master: str, conf: Mapping[str, str]) -> Iterator[SparkSession]:
    """The process's only Spark session, in a JVM of its own: properties of one must not reach the next."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    assert SparkContext._active_spark_context is None, "the session of another fixture or test is still active"
    usual = {
        "spark.master": master,
        "spark.app.name": "hopslite tests",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.executor.memory": "1g",
        "spark.executor.extraJavaOptions": f"{SHORT_LIVED} {QUIET}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_SUBMIT_OPTS", f"{SHORT_LIVED} {QUIET}")
        settings = SparkConf(loadDefaults=False).setAll(list({**usual, **conf}.items()))
        spark = SparkSession.builder.config(conf=settings).getOrCreate()
        try:
            yield spark
        finally:
            _stop(spark)


def _stop(spark: SparkSession) -> None:
    """Stop the session and its JVM, even when a test has stopped the session already."""
    from pyspark import SparkContext

    gateway: Any = SparkContext._gateway
    spark.stop()
    if gateway is None:
        return
    gateway.shutdown()
    gateway.proc.stdin.close()  # the JVM ends when its standard input does
    gateway.proc.wait(30)
    SparkContext._gateway = None
    SparkContext._jvm = None


@contextlib.contextmanager
def where_available(server: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """A server; where it cannot be had the test is skipped, or fails if `HOPSLITE_REQUIRE_SERVERS` is 1."""
    with contextlib.ExitStack() as stack:
        try:
            entered = stack.enter_context(server)
        except Unavailable as missing:
            (pytest.fail if SERVERS_REQUIRED else pytest.skip)(str(missing))
        yield entered


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3. Its `environment` must be set where its files are used."""
    with where_available(running(lambda: S3(tmp_path_factory.mktemp("s3")))) as server:
        yield server


@pytest.fixture(scope="session")
def hdfs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A real HDFS: a NameNode and a DataNode."""
    with where_available(running(lambda: Hdfs(tmp_path_factory.mktemp("hdfs")))) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A real MLflow server over a real PostgreSQL."""
    with where_available(mlflow_over_postgres(tmp_path_factory.mktemp("mlflow-postgres"))) as server:
        yield server


@pytest.fixture(params=["memory", "file", "s3", "hdfs"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory in which nothing is, on each kind of store; a URL, and of a local one the path."""
    if request.param in ("memory", "file"):
        return str(tmp_path / "project") if request.param == "file" else f"memory://{secrets.token_hex(8)}"
    server = request.getfixturevalue("s3" if request.param == "s3" else "hdfs_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return str(server.fresh())


@pytest.fixture(autouse=True)
def no_leaked_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test on a cluster, no process of hopslite's runtime is left: no zygote, no trial."""
    yield
    if "cluster" not in request.path.parts:
        return
    deadline = time.monotonic() + LEAK_S
    while left := runtime_processes():
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + "; ".join(left))
        time.sleep(0.05)


def runtime_processes() -> list[str]:
    """Processes of hopslite's runtime that this test session has started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            ours = "hopslite.runtime" in command and process.environ().get(MARK) == os.environ[MARK]
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {command}")
    return found
