"""Causes of failed Spark jobs, read from the messages of Spark's exceptions."""

from __future__ import annotations

import re

__all__ = ["explain", "failed_rank"]

WORKER_ERROR = "Error from python worker:"
LONGEST = 500  # characters of a cause


def failed_rank(error: BaseException) -> int | None:
    """The rank of the failed task of a barrier job, whose other tasks Spark ends."""
    match = re.search(r"barrier task ResultTask\(\d+, (\d+)\)", str(getattr(error, "java_exception", "") or error))
    return int(match[1]) if match else None


def explain(error: BaseException) -> str:
    """The line of a Spark failure that names the cause."""
    text = str(getattr(error, "java_exception", "") or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "No module named 'hopslite'" in text:
        return "hopslite is not installed in the executors' Python; install it there, or ship it with --py-files"
    if "PYTHON_VERSION_MISMATCH" in text or "Python in worker has different version" in text:
        return "driver and executors need the same minor version of Python; set PYSPARK_PYTHON to one that has it"
    if WORKER_ERROR in lines[:-1]:  # the next line is the first that the Python printed
        return f"{WORKER_ERROR} {lines[lines.index(WORKER_ERROR) + 1]}"[:LONGEST]
    errors = [line for line in lines if "Error" in line.split(":")[0] and not line.startswith(("at ", "File "))]
    return (errors[-1] if errors else lines[0] if lines else type(error).__name__)[:LONGEST]
