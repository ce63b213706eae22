"""Check that the executors' Python can run trials, once per session and without Spark's Python code."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

import cloudpickle

from .. import __version__
from ..errors import SparkUnavailable
from ._shell_probe import PACKAGE_VERSIONS, run_program

__all__ = ["check", "differences", "minor", "own_packages", "start_failure", "with_driver_python"]

log = logging.getLogger(__name__)

CHECKED_ATTRIBUTE = "_hopslite_checked_python"  # on a SparkContext: executors cannot get another Python later
PROBE_PROGRAM = (
    PACKAGE_VERSIONS
    + """
import json, sys
print(sys.executable)
print("%d.%d.%d" % sys.version_info[:3])
try:
    import hopslite.pool._spark_task
    print("")
except Exception as error:
    print(" ".join(str(error).split()))
print(json.dumps(package_versions()))
"""
)


def with_driver_python(context: Any) -> Any:
    """A copy of a SparkContext whose jobs run this interpreter; the original is left for the user's own jobs."""
    copy = object.__new__(type(context))
    copy.__dict__.update(context.__dict__)
    copy.pythonExec = sys.executable or context.pythonExec
    return copy


def check(context: Any) -> None:
    """Check the Python of one executor; packages of other versions than the driver's are named in a warning.

    Raises:
        SparkUnavailable: trials cannot run there; the message names both Pythons.
    """
    if getattr(context, CHECKED_ATTRIBUTE, False):
        return
    answers = run_program(context, PROBE_PROGRAM, "check the executors' Python")
    if answers is None:
        return
    problem = _problem(context.pythonExec, answers[0])
    if problem:
        raise SparkUnavailable(problem)
    if different := differences(_packages(answers[0]), own_packages()):
        log.warning("the executors of %s have other packages than the driver: %s", context.master, "; ".join(different))
    setattr(context, CHECKED_ATTRIBUTE, True)


def start_failure(context: Any, is_local: bool, problem: str) -> SparkUnavailable:
    """The error of a run without slots; it names both Pythons if executors started too late to be checked before."""
    try:
        if not is_local:
            check(context)
    except SparkUnavailable as error:
        return error
    return SparkUnavailable(f"no slot could be started on {context.master}: {problem}")


def _problem(executable: str, answer: list[str]) -> str | None:
    """The problem that keeps this Python from running trials; None when it can."""
    host, *lines = answer or [""]
    path, version, failure = lines[:3] if len(lines) in (3, 4) else ("", "", "")
    own = platform.python_version()
    if not version[:1].isdigit():
        error_text = f" ({lines[-1]})" if lines else ""
        description = f"{executable} on {host} does not run{error_text}"
    elif minor(version) != minor(own) or failure:
        hopslite_state = "without hopslite" if "'hopslite'" in failure else f"whose hopslite does not work ({failure})"
        description = (
            f"{path or executable} on {host} is Python {version} {hopslite_state if failure else 'with hopslite'}"
        )
    else:
        return None
    chosen = os.environ.get("PYSPARK_PYTHON")
    setting = f"PYSPARK_PYTHON={chosen}" if chosen else f"PYSPARK_PYTHON is not set, so Spark takes {executable!r}"
    return (
        f"the executors' Python cannot run trials: {description}, and this is {sys.executable}, Python {own} "
        f"with hopslite {__version__}. Both need the same minor version, and hopslite. {setting}: set it to such "
        "a Python on the executors before the session is made"
    )


def _packages(answer: list[str]) -> dict[str, str]:
    """Versions of packages by name in an answer."""
    try:
        return {str(name): str(version) for name, version in json.loads(answer[4]).items()}
    except (IndexError, ValueError, AttributeError):
        return {}


def own_packages() -> dict[str, str]:
    """Versions of the driver's packages whose versions executors should have."""
    import pyspark

    return {"hopslite": __version__, "cloudpickle": cloudpickle.__version__, "pyspark": pyspark.__version__}


def differences(packages: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    """Differences between the executors' packages and the driver's, each with what to do.

    Of pyspark, which the cluster's Spark brings, only the minor version matters. Packages whose version is not known
    are passed over.
    """
    cures = {
        "hopslite": "install hopslite=={own} for the executors' Python",
        "cloudpickle": "functions may not be loaded there; install cloudpickle=={own} for the executors' Python",
        "pyspark": "install pyspark=={theirs} for the driver, as the cluster's Spark",
    }
    different = []
    for name, cure in cures.items():
        theirs, ours = packages.get(name), own.get(name)
        if theirs is None or ours is None or theirs == ours:
            continue
        if name != "pyspark" or minor(theirs) != minor(ours):
            different.append(f"{name} is {theirs}, here it is {ours} ({cure.format(own=ours, theirs=theirs)})")
    return different


def minor(version: str) -> list[str]:
    """The first two parts of a version."""
    return version.split(".")[:2]
