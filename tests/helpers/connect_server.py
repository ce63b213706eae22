"""A real Spark Connect server on 127.0.0.1, started from the pip-installed pyspark, which has its classes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.helpers.spark_cluster import QUIET, SHORT_LIVED, end_group, free_ports, spark_home

START_S = 600.0  # of a busy machine


class ConnectServer:
    """The server in a process group of its own; a context manager."""

    def __init__(
        self,
        master: str = "local[2]",
        conf: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        python: str = sys.executable,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """`prefix`: words before the command, as `ip netns exec NAME`."""
        self.master, self.host, self.python = master, host, python
        self._conf, self._prefix = dict(conf or {}), prefix
        [self.port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._cleanup = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"sc://{self.host}:{self.port}"

    def __enter__(self) -> ConnectServer:
        self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="spark-connect-")))
        try:
            self.start()
        except BaseException:
            self.stop()
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._cleanup.close()

    def start(self) -> None:
        """Start it, again after `kill` and with the same address, and wait until it accepts connections."""
        conf = {
            "spark.connect.grpc.binding.address": self.host,
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.driver.host": self.host,
            "spark.driver.bindAddress": self.host,
            "spark.driver.memory": "1g",
            "spark.executor.memory": "1g",
            "spark.executor.extraJavaOptions": f"{SHORT_LIVED} {QUIET}",
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            **self._conf,
        }
        options = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        log = self.folder / "server.log"
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    str(spark_home() / "bin" / "spark-submit"),
                    *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
                    *("--master", self.master, "--name", "hopslite tests", *options, "spark-internal"),
                ],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while "Connect server started" not in self.log():
            assert self._process.poll() is None, f"the server has ended\n{self.log()}"
            assert time.monotonic() < deadline, f"no server within {START_S:g} s\n{self.log()}"
            time.sleep(0.1)

    def _environment(self) -> Mapping[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))}
        if self.python != sys.executable:  # which has its own packages only
            inherited.pop("PYTHONPATH", None)
        return inherited | {
            "SPARK_HOME": str(spark_home()),
            "SPARK_LOCAL_IP": self.host,
            "SPARK_SUBMIT_OPTS": f"{SHORT_LIVED} {QUIET} -Dtests.log.level=info",
            "PYSPARK_PYTHON": self.python,
            "PYSPARK_DRIVER_PYTHON": self.python,
        }

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-20000:]

    def kill(self) -> None:
        """Lose the server, with its executors, as a machine is lost."""
        process = self._process
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        if self._process is not None:
            end_group(self._process)

    def session(self) -> Any:
        """A new session, which is not the process's active or default one."""
        from pyspark.sql.connect.session import SparkSession

        return SparkSession(self.url)
