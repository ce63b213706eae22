"""What all tests share: an environment that is the same on every machine, and real Sparks, one at a time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import signal
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import psutil
import pytest

from tests.helpers.cloud_stores import Azurite, FakeGcs
from tests.helpers.connect_server import ConnectServer
from tests.helpers.observe import end
from tests.helpers.servers import MlflowServer
from tests.helpers.spark_cluster import QUIET, SHORT_LIVED, StandaloneCluster
from tests.helpers.stores import S3, Hdfs, Unavailable, mlflow_over_postgres, running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytest_plugins = ["tests.helpers.slow"]

T = TypeVar("T")

LEAK_S = 300.0  # for processes that end late
TESTS = Path(__file__).parent
# In the environment of everything that these tests start, executors and trials included; tells leaks of this very
# test session from another one that runs on the same machine.
MARK = "HOPSLITE_TEST_SESSION"

REQUIRE_SERVERS = os.environ.get("HOPSLITE_REQUIRE_SERVERS") == "1"  # known to the workers of xdist by the option
OPTIONS = types.SimpleNamespace(servers_are_required=REQUIRE_SERVERS)

for inherited in [name for name in os.environ if name.startswith(("HOPSLITE_", "SPARK_", "MLFLOW_"))]:
    del os.environ[inherited]
# A machine that sets it has each of the thousands of processes that these tests start compile hopslite again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.update(
    {
        MARK: secrets.token_hex(8),
        "HOPSLITE_TENSORBOARD": "0",  # tests that need the program or a tracking server switch them on
        "HOPSLITE_PLOTS": "0",
        "HOPSLITE_TRACKING_URI": "off",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes that nothing here uses, each of which imports MLflow
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SUBMIT_OPTS": SHORT_LIVED,
    }
)


hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-servers",
        action="store_true",
        default=REQUIRE_SERVERS,
        help="fail where a server cannot be had (also HOPSLITE_REQUIRE_SERVERS=1)",
    )
    parser.addoption("--seed", type=int, help="run modules, classes and tests in a random order with this seed")


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("seed")
    return None if seed is None else f"random order: --seed {seed}"


def pytest_configure(config: pytest.Config) -> None:
    OPTIONS.servers_are_required = config.getoption("require_servers")
    # pyspark 4.3 warns about every pandas that its own requirements let in
    config.addinivalue_line("filterwarnings", "ignore::FutureWarning:pyspark.*")


LONG_FIRST = (
    "tests/packaging/",
    "tests/docs/test_notebooks",
    "tests/docs/test_examples.py",
    "tests/docs/test_readme.py",
    "tests/cluster/",
    "tests/docs/",
    "tests/contract/",
    "tests/unit/track/",
    "tests/unit/cli/test_in_terminal",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files that take minutes begin first, so that several workers (`-n 3`) end at about the same time.

    With a seed the order is random: of modules, of the classes in each, and of the tests in these.
    """
    seed = config.getoption("seed")
    if seed is not None:
        places = {place: hashlib.sha256(f"{seed} {place}".encode()).digest() for i in items for place in _places(i)}
        items.sort(key=lambda item: [places[place] for place in _places(item)])
        return
    items.sort(
        key=lambda item: next((i for i, path in enumerate(LONG_FIRST) if item.nodeid.startswith(path)), len(LONG_FIRST))
    )


def _places(item: pytest.Item) -> list[str]:
    """The module, the class if there is one, and the test itself."""
    parts = item.nodeid.split("::", 2)
    return ["::".join(parts[: i + 1]) for i in range(len(parts))]


TEST = re.compile(r"def (test_\w+)\(([^)]*)\)")
SESSION = re.compile(r"\b(local_spark|local_cluster|standalone|connect_server|connect_spark)\b")
KEPT_SESSION = re.compile(r"\b(local_spark|local_cluster)\b")


@functools.cache
def _with_a_session(file: str) -> Mapping[str, str]:
    """The tests of a file that have fixtures in common, with the kept session's name, if it is that, or the file."""
    text = (TESTS.parent / file).read_text()
    shared, own = 'scope="module"' in text, "def spark_conf" in text
    kept = KEPT_SESSION.search(" ".join(test[2] for test in TEST.finditer(text)))
    of_file = kept[1] if kept and not own else file
    return {test[1]: of_file for test in TEST.finditer(text) if shared or SESSION.search(test[2])}


def group(nodeid: str) -> str:
    """The tests that run one after another on a worker, as they share a Spark session or a server.

    That is a file where it is cheap, and of other files the tests with a session, a class or a test, so that no worker
    has a long file left when the others have nothing. HDFS, which takes three JVMs to start, is started by one worker.
    """
    file, *classes, name = nodeid.split("::")
    if not file.startswith(("tests/cluster/", "tests/docs/test_notebooks", "tests/packaging/")):
        return "hdfs" if "hdfs" in f"{classes}{name}".lower() else file
    if shared := _with_a_session(file).get(name.partition("[")[0]):
        return shared
    return "::".join((file, *classes)) if classes else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project directory of the test's own, which is also the one that hopslite takes when none is given."""
    folder = tmp_path / "project"
    monkeypatch.setenv("HOPSLITE_PROJECT", str(folder))
    return str(folder)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made, by this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def spark_conf() -> Mapping[str, str]:
    """Spark properties on top of the usual ones; a test module that needs some defines this fixture itself."""
    return {}


class KeptSession:
    """A Spark session that the next test module uses as well, if it wants the same: a cluster takes 30 s to start."""

    def __init__(self) -> None:
        self._started: tuple[str, Mapping[str, str]] | None = None
        self._spark: SparkSession | None = None
        self._exit = contextlib.ExitStack()

    def get(self, master: str, conf: Mapping[str, str]) -> SparkSession:
        if self._spark is None or self._started != (master, conf) or self._spark.sparkContext._jsc is None:
            self.stop()
            self._spark, self._started = self._exit.enter_context(spark_session(master, conf)), (master, conf)
        return self._spark

    def stop(self) -> None:
        self._spark = None
        self._exit.close()


KEPT = KeptSession()


@pytest.fixture(scope="session", autouse=True)
def no_session_at_the_end() -> Iterator[None]:
    yield
    KEPT.stop()


@pytest.fixture(scope="module", autouse=True)
def no_session_of_others(request: pytest.FixtureRequest) -> None:
    """A test module that does not ask for a kept session has none."""
    if not KEPT_SESSION.search(Path(request.module.__file__).read_text()):
        KEPT.stop()


@pytest.fixture(scope="module")
def local_spark(spark_conf: Mapping[str, str]) -> SparkSession:
    """Two slots in the driver's own JVM."""
    return KEPT.get("local[2]", spark_conf)


@pytest.fixture(scope="module")
def local_cluster(spark_conf: Mapping[str, str]) -> SparkSession:
    """Two executors of one core in JVMs of their own."""
    return KEPT.get("local-cluster[2,1,1024]", spark_conf)


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


@pytest.fixture(scope="session")
def connect_server() -> Iterator[ConnectServer]:
    """A Spark Connect server with two slots in its own JVM. A test that kills it starts its own."""
    with ConnectServer() as server:
        yield server


@pytest.fixture(scope="module")
def connect_spark(connect_server: ConnectServer) -> Iterator[Any]:
    """A session of Spark Connect, which is neither active nor the default one: pass it as `spark=`."""
    session = connect_server.session()
    yield session
    session.stop()


@contextlib.contextmanager
def spark_session(master: str, conf: Mapping[str, str]) -> Iterator[SparkSession]:
    """The process's only Spark session, in a JVM of its own: properties of one must not reach the next."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    KEPT.stop()
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
    end(gateway.proc)
    SparkContext._gateway = None
    SparkContext._jvm = None


@contextlib.contextmanager
def where_available(server: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """A server; where it cannot be had the test is skipped, or fails with `--require-servers`."""
    with contextlib.ExitStack() as stack:
        try:
            entered = stack.enter_context(server)
        except Unavailable as missing:
            (pytest.fail if OPTIONS.servers_are_required else pytest.skip)(str(missing))
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


@pytest.fixture(scope="session")
def gs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGcs]:
    """An emulator of Google Cloud Storage."""
    with where_available(running(lambda: FakeGcs(tmp_path_factory.mktemp("gs")))) as server:
        yield server


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Microsoft's emulator of Azure Blob Storage."""
    with where_available(running(lambda: Azurite(tmp_path_factory.mktemp("azure")))) as server:
        yield server


@pytest.fixture(params=["memory", "file", "s3", "hdfs_server"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty directory on each kind of store: a URL, or the path of a local one.

    A module that tests what each store must promise has `gs` and `azure` among the parameters, too.
    """
    if request.param in ("memory", "file"):
        return str(tmp_path / "project") if request.param == "file" else f"memory://{secrets.token_hex(8)}"
    server = request.getfixturevalue(request.param)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return str(server.fresh())


@pytest.fixture(autouse=True)
def no_ignored_interrupt() -> Iterator[None]:
    """After each test, Ctrl-C has its handler again, and none has ignored it: later tests' processes inherit that."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)  # pyspark installs its own
    signal.signal(signal.SIGINT, before)
    assert after is not signal.SIG_IGN or before is signal.SIG_IGN, "SIGINT is ignored now"


@pytest.fixture(autouse=True)
def no_leaked_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test on a cluster, no fork server and no trial is left; warm servers wait for the next run."""
    yield
    if "cluster" not in request.path.relative_to(TESTS).parts:
        return
    deadline = time.monotonic() + LEAK_S
    while left := [process for process in runtime_processes() if not is_waiting(process)]:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left}")
        time.sleep(0.05)


def runtime_processes() -> list[psutil.Process]:
    """Processes of hopslite's runtime that this test session has started."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            ours = "hopslite.executor" in command and process.environ().get(MARK) == os.environ[MARK]
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def is_waiting(process: psutil.Process) -> bool:
    """True for a warm server that no run uses: it leads a session, and the fork servers of runs below it do not."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        return all(os.getsid(pid) == pid for pid in (process.pid, *(child.pid for child in process.children())))
    return True
