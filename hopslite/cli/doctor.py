"""The command `doctor`: checks of this machine's installation, with remedies."""

from __future__ import annotations

import contextlib
import functools
import http.client
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping

import click

from .. import __version__
from ..core import extras
from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..errors import HopsliteError
from ..storage.fs.urls import is_local
from ..storage.project import Project
from ._cluster_checks import cluster_findings, spark_gpus
from ._findings import Finding, report
from ._options import as_json, project_option

__all__ = ["doctor_command"]

SPARK_SECONDS = 120
SERVER_SECONDS = 5
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}  # where a module has another name than its distribution
LITTLE = 1 << 30  # bytes of free disk below which there is a warning
PYTHONS = ((3, 10), (3, 13))
SPARK_JOB = """
import json, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("hopslite doctor").getOrCreate()
context = spark.sparkContext
context.setLogLevel("OFF")
def look(_):
    import platform, sys
    try:
        import hopslite
        version = hopslite.__version__
    except ImportError as error:
        version = f"missing: {error}"
    return [(platform.python_version(), version, platform.node())]
workers = context.parallelize([0], 1).mapPartitions(look).collect()[0]
print(json.dumps({"master": context.master, "version": spark.version, "slots": context.defaultParallelism,
                  "python": workers[0], "hopslite": workers[1], "host": workers[2],
                  "gpus": [context.getConf().get(f"spark.{kind}.resource.gpu.amount")
                           for kind in ("executor", "task")]}))
spark.stop()
"""


@click.command("doctor")
@click.option("--spark/--no-spark", "with_spark", default=True, help="Whether to start Spark and run a task on it.")
@click.option("--cluster", "of_cluster", is_flag=True, help="Check a cluster and its executors instead.")
@click.option("--master", metavar="URL", help="Of the cluster; default: that of Spark's configuration.")
@as_json
@project_option
def doctor_command(place: str | None, with_spark: bool, of_cluster: bool, master: str | None, is_json: bool) -> int:
    """Check Java, Spark, frameworks, GPUs, ports, storage and the tracking server of this machine.

    With --cluster: the executors' Python and packages beside the driver's, their way to the driver and to the project,
    GPUs, free slots, clocks and disks, in one Spark job.
    """
    settings = Settings.load(project=place)
    if of_cluster:
        return report(cluster_findings(settings, master), is_json)
    if master is not None:
        raise click.UsageError("--master is for --cluster; without it Spark's configuration names the master")
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _java,
        _spark if with_spark else _spark_package,
        _frameworks,
        _extras,
        _gpus,
        lambda: _ports(settings),
        lambda: _storage(settings),
        lambda: _tracking(settings),
    ]
    return report((finding for check in checks for finding in check()), is_json)


def _python() -> Iterator[Finding]:
    version = sys.version_info[:2]
    description = f"{sys.version.split()[0]} ({sys.executable}), hopslite {__version__}"
    if PYTHONS[0] <= version <= PYTHONS[1]:
        yield Finding("Python", "ok", description)
    else:
        yield Finding("Python", "problem", description, "hopslite needs Python 3.10 to 3.13")


def _uses_spark_connect() -> bool:
    from ..pool._connect_session import is_wanted

    return is_wanted(None)


def _java() -> Iterator[Finding]:
    from ..pool import _java_check

    if _uses_spark_connect():
        return

    problem = _java_check.problem(_version("pyspark"))
    if problem:
        yield Finding("Java", "problem", problem.splitlines()[0], "install Java 17 or 21, or set JAVA_HOME to one")
    else:
        yield Finding("Java", "ok", _java_check.describe())


def _version(package: str) -> str | None:
    """The version of a package, whichever distribution brings it: TensorFlow may be `tensorflow-cpu`."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    distributions = _distributions().get(package)
    return importlib.metadata.version(distributions[0]) if distributions else None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()  # reads the list of files of each distribution


def _spark_package() -> Iterator[Finding]:
    version = _version("pyspark") or _version("pyspark-client")
    state = "ok" if version else "problem"
    yield Finding("Spark", state, f"pyspark {version or 'is not installed'}", "" if version else "pip install pyspark")


def _spark_connect() -> Iterator[Finding]:
    from ..pool._connect_backend import ConnectBackend

    try:
        with contextlib.closing(ConnectBackend()) as backend:
            server, executor = backend.facts, backend.executor_facts()
            slots = backend.cluster(None, None).capacity()
    except HopsliteError as error:
        yield Finding("Spark", "problem", str(error), "see docs/clusters.md")
        return
    yield Finding("Spark", "ok", f"{server['version']} at {server['connect_server']}, {slots} slots")
    if executor is None:
        yield Finding("Executors", "note", "all cores are in use")
        return
    description = f"Python {executor['python']}, hopslite {executor.get('hopslite', 'is sent')} on {executor['host']}"
    yield Finding("Executors", "ok", description)


def _spark() -> Iterator[Finding]:
    if _uses_spark_connect():
        yield from _spark_connect()
        return
    if _version("pyspark") is None:
        yield from _spark_package()
        return
    try:
        done = subprocess.run(
            [sys.executable, "-c", SPARK_JOB], capture_output=True, text=True, timeout=SPARK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        todo = "is the master of spark-defaults.conf up, and has it free executors? --no-spark leaves this out"
        yield Finding("Spark", "problem", f"a task has not run within {SPARK_SECONDS} s", todo)
        return
    try:
        worker = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        lines = [line for line in done.stderr.splitlines() if "Error" in line or "Exception" in line]
        yield Finding("Spark", "problem", (lines or ["it could not be started"])[-1][:200], "see docs/clusters.md")
        return
    yield Finding("Spark", "ok", f"{worker['version']} on {worker['master']}, {worker['slots']} slots")
    same = worker["python"].rpartition(".")[0] == ".".join(map(str, sys.version_info[:2]))
    description = f"Python {worker['python']}, hopslite {worker['hopslite']} on {worker['host']}"
    if not same:
        yield Finding(
            "Executors", "problem", description, "driver and executors need the same Python; set PYSPARK_PYTHON"
        )
    elif worker["hopslite"] != __version__:
        yield Finding("Executors", "problem", description, f"install hopslite {__version__} for the executors' Python")
    else:
        yield Finding("Executors", "ok", description)
    yield from spark_gpus(worker["version"], *worker["gpus"])


def _frameworks() -> Iterator[Finding]:
    names = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
    for package, name in names.items():
        version = _version(package)
        todo = "" if version else f"pip install {package}, where your programs need it"
        yield Finding(name, "ok" if version else "note", version or "not installed", todo)


def _extras() -> Iterator[Finding]:
    features = {
        "tensorboard": ("TensorBoard", "curves of runs"),
        "plots": ("Plots", "figures of searches"),
        "interactive": ("Interactive", "plots that respond to the mouse"),
        "pandas": ("pandas", "run.to_pandas() and run.reports()"),
        "optuna": ("Optuna", "tpe, gp, cmaes and qmc, and no studies"),
        "environments": ("uv", "environments of programs of hopslite run"),
        "notebooks": ("Notebooks", "notebooks as programs of hopslite run"),
        "dashboard": ("NiceGUI", "hopslite dashboard"),
        "connect": ("gRPC", "sessions of Spark Connect"),
        "ship": ("Packing", "hopslite ship"),
        "train": ("Hjson", "configurations with comments for hopslite train"),
    }
    for extra, (name, feature) in features.items():
        if extras.missing([extra]):
            yield Finding(name, "note", f"not installed: no {feature}", extras.pip_install([extra]))
        else:
            versions = (
                f"{package} {_version(DISTRIBUTIONS.get(package, package))}" for package in extras.PACKAGES[extra]
            )
            yield Finding(name, "ok", ", ".join(versions))


def _gpus() -> Iterator[Finding]:
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
        finally:
            pynvml.nvmlShutdown()
        yield Finding("GPUs", "ok", f"{len(names)}: {', '.join(sorted({str(name) for name in names}))}")
    except Exception as error:  # noqa: BLE001 - no driver, no library, no card: all the same here
        yield Finding("GPUs", "note", f"none on this machine ({error})")


def _ports(settings: Settings) -> Iterator[Finding]:
    from ..executor.port_reservation import parse_ports

    for name in ("channel_port", "member_ports"):
        try:
            ports = parse_ports(getattr(settings, name), name)
        except HopsliteError as error:
            yield Finding("Ports", "problem", str(error))
            continue
        free = [port for port in ports if _is_free(port)]
        text = (
            f"{name}={getattr(settings, name)}: {len(free)} of {len(ports)} free" if len(ports) > 1 else f"{name}: any"
        )
        state = "ok" if free else "problem"
        yield Finding("Ports", state, text, "" if free else f"choose other ones with HOPSLITE_{name.upper()}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _storage(settings: Settings) -> Iterator[Finding]:
    try:
        project = Project(settings.project)
        problems = project.check_writable()
    except (HopsliteError, OSError, ImportError) as error:
        yield Finding("Project", "problem", without_credentials(str(error)), "see docs/storage.md")
        return
    if problems:
        yield Finding("Project", "problem", problems[0], "choose another with HOPSLITE_PROJECT; see docs/storage.md")
        return
    count = len(project.runs())
    description = f"{project.shown}, {count} run{'s' * (count != 1)}"
    if not is_local(project.fs):
        yield Finding("Project", "ok", description)
        return
    place = project.url
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    state, todo = ("note", "little room is left there") if free < LITTLE else ("ok", "")
    yield Finding("Project", state, f"{description}, {free / (1 << 30):.1f} GB free", todo)


def _tracking(settings: Settings) -> Iterator[Finding]:
    uri = settings.tracking_uri
    if not settings.tracks:
        yield Finding("MLflow", "note", "off (tracking_uri)")
    elif extras.missing(["mlflow"]):
        yield Finding("MLflow", "note", "not installed: runs are not recorded there", extras.pip_install(["mlflow"]))
    elif uri is None:
        where = f"SQLite in the project; hopslite ui opens it (mlflow {_version('mlflow')})"
        yield Finding("MLflow", "ok", where)
    elif uri.startswith(("http://", "https://")):
        shown = without_credentials(uri)
        try:
            with urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=SERVER_SECONDS):
                yield Finding("MLflow", "ok", f"{shown} answers")
        except (OSError, ValueError, http.client.HTTPException) as error:
            yield Finding(
                "MLflow", "problem", f"{shown} does not answer ({error})", "runs wait for it: hopslite track RUN"
            )
    else:
        yield Finding("MLflow", "ok", without_credentials(uri))
