"""A real Spark standalone cluster on 127.0.0.1, started from the pip-installed pyspark."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

START_S = 600.0
STOP_S = 20.0
# Spark's loaded classes, as spark_archive.py writes them. Java uses them only where its class path is Spark's own: no
# configuration directory with files may stand first.
ARCHIVE = Path(sys.prefix, "spark.jsa")
# Java's options where it runs for seconds: to start a Spark takes 4 s of processor time with them, and 7 without the
# archive.
WITHOUT_ARCHIVE = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:cds*=off"
SHORT_LIVED = f'{WITHOUT_ARCHIVE} -XX:SharedArchiveFile="{ARCHIVE}"'  # Spark reads options as a shell does
QUIET = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').as_uri()}"


class StandaloneCluster:
    """A master and its workers, each in a process group of its own; a context manager.

    Worker 1 announces the GPU addresses "10", "11", …, worker 2 "20", "21", …: a test can tell every one apart.
    """

    def __init__(self, workers: int = 2, cores: int = 1, gpus_per_worker: int = 2, memory: str = "1g") -> None:
        self.workers, self.cores, self.gpus_per_worker, self.memory = workers, cores, gpus_per_worker, memory
        self.gpu_addresses = [[f"{w}{g}" for g in range(gpus_per_worker)] for w in range(1, workers + 1)]
        self._cleanup = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> StandaloneCluster:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spark-cluster-")))
            stack.callback(self._stop)
            self._start()
            self._wait_for_workers(self.workers)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    def status(self) -> dict[str, Any]:
        """The master's status of its workers and applications."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ui_port}/json/", timeout=5) as answer:
            return dict(json.load(answer))

    def kill_worker(self, number: int) -> None:
        """Lose a worker (1, 2, …) with its executors at once, as a machine is lost."""
        process = self._processes.pop(f"worker{number}")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self) -> None:
        self.port, self.ui_port = free_ports(2)
        conf = self.folder / "master.conf"
        conf.write_text("spark.master.rest.enabled false\n")
        self._run(
            "master",
            "org.apache.spark.deploy.master.Master",
            *("--host", "127.0.0.1", "--port", str(self.port), "--webui-port", str(self.ui_port)),
            *("--properties-file", str(conf)),
        )
        for number in range(1, self.workers + 1):
            self._run(
                f"worker{number}",
                "org.apache.spark.deploy.worker.Worker",
                *("--host", "127.0.0.1", "--webui-port", "0", "--work-dir", str(self.folder / f"work{number}")),
                *("--cores", str(self.cores), "--memory", self.memory),
                *("--properties-file", str(self._worker_conf(number)), self.url),
            )

    def _worker_conf(self, number: int) -> Path:
        path = self.folder / f"worker{number}.conf"
        if not self.gpus_per_worker:
            path.write_text("")
            return path
        script = self.folder / f"gpus{number}.sh"
        answer = json.dumps({"name": "gpu", "addresses": self.gpu_addresses[number - 1]})
        script.write_text(f"#!/bin/sh\necho '{answer}'\n")
        script.chmod(0o755)
        path.write_text(
            f"spark.worker.resource.gpu.amount {self.gpus_per_worker}\n"
            f"spark.worker.resource.gpu.discoveryScript {script}\n"
        )
        return path

    def _run(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            self._processes[name] = subprocess.Popen(
                [str(spark_home() / "bin" / "spark-class"), *command],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def _environment(self) -> Mapping[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))}
        return inherited | {
            "SPARK_HOME": str(spark_home()),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": f"{SHORT_LIVED} {QUIET} -Dtests.log.level=info",
            "PYSPARK_PYTHON": sys.executable,
        }

    def _wait_for_workers(self, count: int) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} exited with {process.returncode}:\n{self.log(name)}")
            with contextlib.suppress(OSError, ValueError):
                if self.status()["aliveworkers"] == count:
                    return
            time.sleep(0.2)
        logs = "\n".join(f"--- {name}\n{self.log(name)}" for name in self._processes)
        raise TimeoutError(f"{count} workers did not register within {START_S:g} s\n{logs}")

    def log(self, name: str) -> str:
        """The end of a process's log: "master", "worker1", …"""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def _stop(self) -> None:
        for process in reversed(self._processes.values()):
            end_group(process)
        self._processes.clear()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and everything in the group: asked first, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_S
        try:
            os.killpg(process.pid, number)
            while time.monotonic() < deadline:
                process.poll()  # reaps the leader, which counts as a member of the group until then
                os.killpg(process.pid, 0)
                time.sleep(0.05)
        except ProcessLookupError:
            return


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all held at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]


def spark_home() -> Path:
    """The installed pyspark, which is a whole Spark distribution."""
    import pyspark

    return Path(pyspark.__file__).parent
