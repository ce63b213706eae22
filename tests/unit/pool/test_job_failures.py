"""Causes of failed Spark jobs, from texts as Spark writes them."""

import pytest

from hopslite.pool._job_failures import explain, failed_rank

AT = "\tat org.apache.spark.api.python.PythonWorkerFactory.startDaemon(PythonWorkerFactory.scala:231)"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            f"Job aborted.\nSparkException: \nError from python worker:\n  this is another python\n{AT}",
            "Error from python worker: this is another python",
        ),
        ("Error from python worker:", "Error from python worker:"),
        (f"failed\nValueError: no such thing\n{AT}", "ValueError: no such thing"),
        ("ModuleNotFoundError: No module named 'hopslite'", "hopslite is not installed in the executors' Python; "),
        ("[PYTHON_VERSION_MISMATCH] Python in worker", "driver and executors need the same minor version of Python; "),
        ("", "RuntimeError"),
        (f"Error from python worker:\n{'x' * 1000}", f"Error from python worker: {'x' * 474}"),
    ],
)
def test_the_cause_is_named_in_one_line(text: str, cause: str) -> None:
    line = explain(RuntimeError(text))
    assert line.startswith(cause) if cause.endswith("; ") else line == cause
    assert len(line) <= 500 and "\n" not in line


def test_the_rank_of_the_member_that_failed_first() -> None:
    assert (
        failed_rank(RuntimeError("Could not recover from a failed barrier ResultStage: barrier task ResultTask(3, 1)"))
        == 1
    )
    assert failed_rank(RuntimeError("Job 3 cancelled")) is None
