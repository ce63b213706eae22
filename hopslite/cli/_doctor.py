"""The command `doctor`: what hopslite needs on this machine, what works of it, and what to do about the rest."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import click

from .. import __version__
from ..config import Settings
from ..errors import HopsliteError
from ..store import Project
from ..store.filesystems import is_local, without_credentials
from ._common import as_json, project_option, say

__all__ = ["doctor_command"]

SPARK_SECONDS = 120
SERVER_SECONDS = 5
LITTLE = 1 << 30  # bytes of free disk below which it is worth a word
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
        found = hopslite.__version__
    except ImportError as error:
        found = f"missing: {error}"
    return [(platform.python_version(), found, platform.node())]
workers = context.parallelize([0], 1).mapPartitions(look).collect()[0]
print(json.dumps({"master": context.master, "version": spark.version, "slots": context.defaultParallelism,
                  "python": workers[0], "hopslite": workers[1], "host": workers[2]}))
spark.stop()
"""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found of one thing: `state` is "ok", "note" (fine without it) or "problem"."""

    what: str
    state: str
    found: str
    todo: str = ""


@click.command("doctor")
@click.option("--spark/--no-spark", "with_spark", default=True, help="Whether to start Spark and run a task on it.")
@as_json
@project_option
def doctor_command(place: str | None, with_spark: bool, is_json: bool) -> int:
    """Check Java, Spark, frameworks, GPUs, ports, storage and the tracking server of this machine."""
    settings = Settings.load(project=place)
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _java,
        _spark if with_spark else _spark_package,
        _frameworks,
        _gpus,
        lambda: _ports(settings),
        lambda: _storage(settings),
        lambda: _tracking(settings),
    ]
    findings = []
    for check in checks:
        for finding in check():
            findings.append(finding)
            if not is_json:
                _show(finding)
    if is_json:
        say([dataclasses.asdict(finding) for finding in findings])
    return 1 if any(finding.state == "problem" for finding in findings) else 0


def _show(finding: Finding) -> None:
    mark, colour = {"ok": ("ok", "green"), "note": ("--", "yellow"), "problem": ("NO", "red")}[finding.state]
    click.echo(f"{click.style(mark, fg=colour, bold=True)}  {finding.what + ':':<12}{finding.found}")
    if finding.todo:
        click.echo(f"    {'':<12}{finding.todo}")


def _python() -> Iterator[Finding]:
    version = sys.version_info[:2]
    found = f"{sys.version.split()[0]} ({sys.executable}), hopslite {__version__}"
    if PYTHONS[0] <= version <= PYTHONS[1]:
        yield Finding("Python", "ok", found)
    else:
        yield Finding("Python", "problem", found, "hopslite needs Python 3.10 to 3.13")


def _java() -> Iterator[Finding]:
    from ..pool import _java

    problem = _java.problem(_version("pyspark"))
    if problem:
        yield Finding("Java", "problem", problem.splitlines()[0], "install Java 17 or 21, or set JAVA_HOME to one")
    else:
        yield Finding("Java", "ok", _java.describe())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _spark_package() -> Iterator[Finding]:
    version = _version("pyspark")
    state = "ok" if version else "problem"
    yield Finding("Spark", state, f"pyspark {version or 'is not installed'}", "" if version else "pip install pyspark")


def _spark() -> Iterator[Finding]:
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
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        lines = [line for line in done.stderr.splitlines() if "Error" in line or "Exception" in line]
        yield Finding("Spark", "problem", (lines or ["it could not be started"])[-1][:200], "see docs/clusters.md")
        return
    yield Finding("Spark", "ok", f"{told['version']} on {told['master']}, {told['slots']} slots")
    same = told["python"].rpartition(".")[0] == ".".join(map(str, sys.version_info[:2]))
    found = f"Python {told['python']}, hopslite {told['hopslite']} on {told['host']}"
    if not same:
        yield Finding("Executors", "problem", found, "driver and executors need the same Python; set PYSPARK_PYTHON")
    elif told["hopslite"] != __version__:
        yield Finding("Executors", "problem", found, f"install hopslite {__version__} for the executors' Python")
    else:
        yield Finding("Executors", "ok", found)


def _frameworks() -> Iterator[Finding]:
    names = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX", "optuna": "Optuna"}
    for package, name in names.items():
        version = _version(package)
        todo = "" if version else f"pip install {package}, where your programs need it"
        yield Finding(name, "ok" if version else "note", version or "not installed", todo)


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
    from ..runtime.ports import parse_ports

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
    found = f"{project.shown}, {count} run{'s' * (count != 1)}"
    if not is_local(project.fs):
        yield Finding("Project", "ok", found)
        return
    place = project.url
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    state, todo = ("note", "little room is left there") if free < LITTLE else ("ok", "")
    yield Finding("Project", state, f"{found}, {free / (1 << 30):.1f} GB free", todo)


def _tracking(settings: Settings) -> Iterator[Finding]:
    uri = settings.tracking_uri
    if not settings.tracks:
        yield Finding("MLflow", "note", "off (tracking_uri)")
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
