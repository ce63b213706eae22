"""Facts of a cluster for `hopslite doctor --cluster`: what its executors answer in one Spark job."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..storage.fs.urls import access_variables
from ..storage.run_directory import RunDir
from ._shell_probe import PACKAGE_VERSIONS, Patience, run_program
from ._spark_cluster import Cluster, facts_of

__all__ = ["ClusterFacts", "ExecutorFacts", "Listener", "PROGRAM", "REQUEST", "probe"]

REQUEST = "HOPSLITE_PROBE"  # variable with what a task is to do, as JSON
MARK = "hopslite-executor "  # before the JSON that a task prints
MOST_TASKS = 256
PATIENCE = Patience(start=60.0, queue=30.0, run=60.0)
LINGER_SECONDS = 1.0  # of a task, so that those of an executor do not run one after the other on a single core

# It has to be valid in any version of Python, and needs no package.
PROGRAM = (
    PACKAGE_VERSIONS
    + """
import json, os, shutil, socket, sys, tempfile, time
request = json.loads(os.environ["HOPSLITE_PROBE"])

def text_of(error):
    return " ".join(("%s: %s" % (type(error).__name__, error)).split())

def import_hopslite():
    try:
        import hopslite.pool._spark_task
    except Exception as error:
        return text_of(error)

def ask_driver():
    try:
        began = time.time()
        connection = socket.create_connection((request["host"], request["port"]), request["seconds"])
        connection.settimeout(request["seconds"])
        connection.sendall((request["token"] + "\\n").encode())
        answer = connection.makefile("rb").readline()
        ended = time.time()
        connection.close()
        return {"seconds": ended - began, "clock": (began + ended) / 2 - float(answer)}
    except Exception as error:
        return {"error": text_of(error)}

def write_project():
    name = "%s-%s-%d" % (socket.gethostname(), os.getpid(), int(time.time() * 1e6) % 1000000)
    try:
        if request["is_local"]:
            if not os.path.isfile(os.path.join(request["folder"], "driver")):
                return {"error": "the driver's file is not there: this is another disk"}
            with open(os.path.join(request["folder"], name), "x") as file:
                file.write(request["token"])
        else:
            from hopslite.storage.run_directory import RunDir
            folder = RunDir(request["folder"])
            if not folder.exists("driver"):
                return {"error": "the driver's file is not there: this is another store"}
            folder.write_bytes(name, request["token"].encode())
        return {"name": name}
    except Exception as error:
        return {"error": text_of(error)}

def free_bytes(folder):
    try:
        return shutil.disk_usage(folder).free
    except Exception:
        return None

facts = {
    "host": socket.gethostname(), "folder": os.getcwd(), "executable": sys.executable,
    "python": "%d.%d.%d" % sys.version_info[:3], "problem": import_hopslite(), "packages": package_versions(),
    "driver": ask_driver(), "project": write_project(),
    "temporary": tempfile.gettempdir(), "free": free_bytes(tempfile.gettempdir()),
}
print("hopslite-executor " + json.dumps(facts))
time.sleep(request["linger"])
"""
)


@dataclasses.dataclass(frozen=True)
class ExecutorFacts:
    """An executor as one of its tasks sees it.

    Attributes:
        folder: the executor's working directory, which tells executors of a host apart.
        failure: text of a Python that does not run; all else is then empty.
        problem: reason why hopslite cannot be imported there; None if it can.
        seconds: of a connection to the driver and its answer; None if there was none, see `route_error`.
        clock: seconds by which its clock is ahead of the driver's.
        written: name of the file that it has written into the project; None if it could not, see `project_error`.
        free: bytes of free disk for temporary files, in the folder `temporary`.
    """

    host: str
    folder: str = ""
    failure: str | None = None
    executable: str = ""
    python: str = ""
    problem: str | None = None
    packages: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    route_error: str | None = None
    clock: float | None = None
    written: str | None = None
    project_error: str | None = None
    temporary: str = ""
    free: int | None = None

    @classmethod
    def from_lines(cls, lines: list[str]) -> ExecutorFacts:
        """Read what a task has printed."""
        host, *rest = lines or ["?"]
        answers = [line[len(MARK) :] for line in rest if line.startswith(MARK)]
        if not answers:
            return cls(host, failure=" ".join(rest)[-300:] or "it printed nothing")
        facts = json.loads(answers[-1])
        driver, project = facts.pop("driver"), facts.pop("project")
        return cls(
            **facts,
            seconds=driver.get("seconds"),
            route_error=driver.get("error"),
            clock=driver.get("clock"),
            written=project.get("name"),
            project_error=project.get("error"),
        )


@dataclasses.dataclass(frozen=True)
class ClusterFacts:
    """A cluster as its driver and its executors see it.

    Attributes:
        answers: of one task per executor; None if no task ran in time.
        executors: number of executors that have registered.
        slots: tasks with Spark's default requests that fit at once.
        occupancy: free and used cores of each executor, as text.
        driver: address at which executors should reach the driver.
        arrived: names of files of executors that the driver sees in the project.
        project_error: reason why the driver itself cannot write there.
        gpus: addresses of the GPUs that each executor has announced.
    """

    master: str
    version: str
    application: str
    conf: Mapping[str, str]
    executors: int
    slots: int
    free: int
    occupancy: str
    driver: str
    project: str
    answers: tuple[ExecutorFacts, ...] | None
    arrived: frozenset[str]
    project_error: str | None
    gpus: tuple[tuple[str, ...], ...]


def probe(spark: Any, project: RunDir, ports: range) -> ClusterFacts:
    """Ask all executors of a session in one Spark job.

    Args:
        project: where each of them writes a small file, which is removed afterwards.
        ports: for the driver to listen on, as for the channel; 0 for any.
    """
    cluster = Cluster(spark, None, None)
    context = cluster.context_for_trials
    token = secrets.token_hex(8)
    folder = project.sub(f".doctor-{token}")
    with Listener(cluster.bind_address, ports, token) as listener, _marked(folder) as project_error:
        before = (cluster.free_cores(), cluster.occupancy())
        request = {
            "host": cluster.driver_host,
            "port": listener.port,
            "token": token,
            "seconds": 5.0,
            "is_local": folder.is_local,
            "folder": folder.url,
            "linger": LINGER_SECONDS,
        }
        answers = run_program(
            context,
            PROGRAM,
            "hopslite doctor",
            tasks=min(
                MOST_TASKS, cluster.capacity() if not cluster.dynamic else max(1, len(cluster.alive_executors()))
            ),
            variables={**access_variables(), REQUEST: json.dumps(request)},
            patience=PATIENCE,
        )
        arrived = frozenset(folder.list()) if project_error is None else frozenset()
    executors = None if answers is None else _one_each(map(ExecutorFacts.from_lines, answers))
    facts = facts_of(context)
    return ClusterFacts(
        master=str(facts["master"]),
        version=str(facts["version"]),
        application=str(facts["application_id"]),
        conf=facts["conf"],
        executors=len(cluster.alive_executors()),
        slots=cluster.capacity(),
        free=before[0],
        occupancy=before[1],
        driver=f"{cluster.driver_host}:{listener.port}",
        project=project.shown,
        answers=executors,
        arrived=arrived,
        project_error=project_error,
        gpus=cluster.announced_gpus(),
    )


def _one_each(answers: Iterator[ExecutorFacts]) -> tuple[ExecutorFacts, ...]:
    """One answer per executor, one with a problem before others."""
    by_executor: dict[tuple[str, str], ExecutorFacts] = {}
    for facts in answers:
        key = (facts.host, facts.folder)
        known = by_executor.get(key)
        if known is None or (known.written is not None and known.route_error is None):
            by_executor[key] = facts
    return tuple(by_executor[key] for key in sorted(by_executor))


@contextlib.contextmanager
def _marked(folder: RunDir) -> Iterator[str | None]:
    """A folder of the project with a file of the driver; yields the reason why it cannot be made."""
    error = None
    try:
        folder.makedirs()
        folder.write_bytes("driver", b"driver")
    except (OSError, ValueError) as problem:
        error = str(problem)
    try:
        yield error
    finally:
        with contextlib.suppress(OSError):
            folder.remove_all()


class Listener:
    """Answers executors that send a token with the driver's time; a context manager.

    Raises:
        OSError: none of the ports is free.
    """

    def __init__(self, host: str, ports: range, token: str) -> None:
        self._token = token.encode()
        self._socket = _bound(host, ports)
        self._socket.listen(MOST_TASKS)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="hopslite-doctor", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        self._thread.join(5.0)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2.0)
                if connection.recv(len(self._token)) == self._token:
                    connection.sendall(f"{time.time()!r}\n".encode())


def _bound(host: str, ports: range) -> socket.socket:
    error: OSError | None = None
    for port in ports:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listener.bind((host, port))
        except OSError as problem:
            listener.close()
            error = problem
        else:
            return listener
    raise error or OSError("there is no port to listen on")
