"""The JVM of a new session, without the line that Java prints about a module that Spark asks for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import Any

__all__ = ["start_gateway"]

# Spark 4 starts Java with this module; the JVM says so before it has read a setting, and no option turns it off.
LINE = "WARNING: Using incubator modules: jdk.incubator.vector"


def start_gateway() -> None:
    """Start PySpark's JVM, unless this process has one; its error stream goes through a filter where there is one.

    The filter is a process, not a thread: a thread that waits for the interpreter's lock would let the JVM wait, too.
    """
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    with SparkContext._lock:
        if SparkContext._gateway is not None or os.environ.get("PYSPARK_GATEWAY_PORT"):  # a JVM that runs already
            SparkContext._ensure_initialized()
            return
        lines = _filter()
        try:
            gateway = launch_gateway(None, None if lines is None else {"stderr": lines.stdin})
        finally:
            if lines is not None and lines.stdin is not None:
                lines.stdin.close()  # the filter ends with the JVM
        gateway.proc.error_filter = lines  # which Python would report as left running, were it dropped
        SparkContext._ensure_initialized(gateway=gateway)


def _filter() -> subprocess.Popen[bytes] | None:
    grep = shutil.which("grep")
    if grep is None:
        return None
    command: list[Any] = [grep, "--text", "--line-buffered", "--invert-match", "--line-regexp", "--fixed-strings", LINE]
    environment = {**os.environ, "LC_ALL": "C"}  # bytes that are no text pass, too
    with contextlib.suppress(OSError):
        # in a session of its own: Ctrl-C must not end it before the JVM; to standard error, as the JVM writes
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, env=environment, start_new_session=True)
    return None
