"""Running a program with the executors' Python in one Spark job that needs none of Spark's Python code.

So it works where that Python has another version than the driver's, or lacks packages.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import shlex
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

__all__ = ["PACKAGE_VERSIONS", "Patience", "run_program", "shell_script"]

# Source for programs: versions of packages by name, without importing pyspark, which takes half a second. It has to be
# valid in any version of Python. Spark puts its own pyspark before an installed one.
PACKAGE_VERSIONS = """
def package_versions():
    import os, re, sys, zipfile
    versions = {}
    for name in ("hopslite", "cloudpickle"):
        try:
            versions[name] = str(__import__(name).__version__)
        except Exception:
            pass
    spark = os.path.join(os.environ.get("SPARK_HOME", "/none"), "python")
    for place in [os.path.join(spark, "lib", "pyspark.zip"), spark] + sys.path:
        try:
            if os.path.isfile(place):
                archive = zipfile.ZipFile(place)
                text = archive.read("pyspark/version.py").decode()
                archive.close()
            else:
                with open(os.path.join(place, "pyspark", "version.py")) as file:
                    text = file.read()
            versions["pyspark"] = re.search("__version__[^=]*= *[\\"']([^\\"']+)", text).group(1)
            break
        except Exception:
            pass
    return versions
"""


@dataclasses.dataclass(frozen=True)
class Patience:
    """Seconds that a job may take.

    Attributes:
        start: for the first executor to start; without one no trial can run either.
        queue: from then on, for a free core.
        run: from the first task on, for a Python to start on executors that are busy.
    """

    start: float = 15.0
    queue: float = 3.0
    run: float = 30.0


def run_program(
    context: Any,
    program: str,
    description: str,
    *,
    tasks: int = 1,
    variables: Mapping[str, str] | None = None,
    patience: Patience = Patience(),
) -> list[list[str]] | None:
    """Lines that each task prints, the first of which is its host's name; None when Spark does not run them in time.

    Args:
        description: of the job, in Spark's user interface.
        variables: of the program's environment; they are sent as data of the tasks and are in no command line.
    """
    tag = f"hopslite-python-{uuid.uuid4().hex}"
    answer: concurrent.futures.Future[list[list[str]]] = concurrent.futures.Future()

    def ask() -> None:
        try:
            context.setJobGroup(tag, f"hopslite: {description}")
            jvm = context._jvm
            words, items, environment = jvm.java.util.ArrayList(), jvm.java.util.ArrayList(), jvm.java.util.HashMap()
            for word in ("/bin/sh", "-c", shell_script(context, program)):
                words.add(word)
            for _ in range(tasks):
                items.add("")
            for name, value in (variables or {}).items():
                environment.put(name, value)
            lists = context._jsc.parallelize(items, tasks).pipe(words, environment).glom().collect()
            answer.set_result([[str(line) for line in lines] for lines in lists])
        except Exception as error:  # noqa: BLE001 - if the probe cannot run, the slots report the problem
            answer.set_exception(error)

    threading.Thread(target=ask, name="hopslite-python", daemon=True).start()
    if not _await_answer(context, tag, answer, patience):
        with contextlib.suppress(Exception):  # the context may be stopped
            context.cancelJobGroup(tag)
        return None
    return None if answer.exception() else answer.result()


def shell_script(context: Any, program: str) -> str:
    """Shell script that runs the executors' Python as Spark does, and always succeeds."""
    path = [os.path.join(".", name) for name in context._python_includes]  # --py-files, in the working directory
    own = context.environment.get("PYTHONPATH", "")
    python = shlex.quote(context.pythonExec)
    variables = ":".join(map(shlex.quote, [*path, *filter(None, [own])]))
    return (
        f"export PYTHONPATH={variables}${{PYTHONPATH:+:$PYTHONPATH}}; hostname; "
        f"{python} -c {shlex.quote(program)} 2>&1; true"
    )


def _await_answer(
    context: Any, group: str, answer: concurrent.futures.Future[list[list[str]]], patience: Patience
) -> bool:
    """Wait for an answer as long as the job may still begin, or is running."""
    started = time.monotonic()
    has_executor: float | None = None
    runs: float | None = None
    while not concurrent.futures.wait([answer], 0.05).done:
        now = time.monotonic()
        has_executor = has_executor or (now if _executors(context) else None)
        limit = started + patience.start if has_executor is None else has_executor + patience.queue
        runs = runs or (now if _is_running(context, group) else None)
        if runs is not None:
            limit = runs + patience.run
        if now >= limit:
            return False
    return True


def _executors(context: Any) -> int:
    """Number of executors, without the driver."""
    try:
        return int(context._jsc.sc().statusStore().executorList(True).size()) - 1
    except Exception:  # noqa: BLE001 - the context is being stopped
        return 0


def _is_running(context: Any, group: str) -> bool:
    """True if an executor is running a task of the job group."""
    try:
        tracker = context.statusTracker()
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        return any(stage.numActiveTasks for stage in stages if stage)
    except Exception:  # noqa: BLE001
        return False
