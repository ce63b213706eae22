"""What the benchmarks share: a warm session, a quiet project, tables, and the machine's description."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any


def machine() -> str:
    """One line about where this runs."""
    import psutil

    import hopslite

    memory = psutil.virtual_memory().total / 2**30
    versions = f"Python {platform.python_version()}, hopslite {hopslite.__version__}"
    with contextlib.suppress(ImportError):
        import pyspark

        versions += f", pyspark {pyspark.__version__}"
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}, {versions}"


@contextlib.contextmanager
def session(master: str) -> Iterator[Any]:
    """A session whose Python workers have started."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("HOPSLITE_PLOTS", "off")  # drawn after a run, they would take part in the next one's time
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(master)
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        slots = spark.sparkContext.defaultParallelism
        spark.sparkContext.parallelize(range(slots), slots).count()
        yield spark
    finally:
        spark.stop()


_projects: list[tempfile.TemporaryDirectory[str]] = []  # they go with the process


@contextlib.contextmanager
def project() -> Iterator[str]:
    """A new project directory below the current one, as users have it.

    It stays until the process ends: ext4 passes over inodes that were freed in the last seconds one by one, so what
    comes after a large deletion creates files ten times as slowly.
    """
    os.makedirs("work", exist_ok=True)
    _projects.append(tempfile.TemporaryDirectory(dir=os.path.abspath("work"), ignore_cleanup_errors=True))
    yield _projects[-1].name


def seconds(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def listed(values: Iterable[float], digits: int) -> str:
    """What each round measured."""
    return ", ".join(f"{value:.{digits}f}" for value in values)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table in Markdown."""
    print(f"\n### {title}\n\n{machine()}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
    sys.stdout.flush()
