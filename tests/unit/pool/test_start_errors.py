"""Reasons why Spark does not start, in one line, from checks before the start and from its exceptions."""

from __future__ import annotations

import socket

import pytest

from hopslite.errors import SparkUnavailable
from hopslite.pool._spark_session import open_session
from hopslite.pool._start_errors import problem_with_master, problem_with_options, reason

PARSE = """An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: org.apache.spark.SparkException: Could not parse Master URL: 'nope://x'
\tat org.apache.spark.SparkContext$.createTaskScheduler(SparkContext.scala:3391)
\tat py4j.Gateway.invoke(Gateway.java:238)
"""
CAUSED = """An error occurred while calling o12.showString.
: org.apache.spark.SparkException: [INTERNAL_ERROR.X] it broke
\tat a.b.C(D.scala:1)
Caused by: java.net.UnknownHostException: nowhere
\tat e.f.G(H.java:2)
\t... 12 more
"""


@pytest.mark.parametrize(
    "master", ["local", "local[*]", "local[4, 2]", "local-cluster[2,1,1024]", "mesos://x", "nope://x"]
)
def test_masters_that_may_be(master: str) -> None:
    assert problem_with_master(master) is None


@pytest.mark.parametrize(
    ("master", "problem"),
    [
        ("local[x]", "'local[x]' is not a master URL; give one such as local[4]"),
        ("local(2)", "is not a master URL"),
        ("yarn", "needs HADOOP_CONF_DIR or YARN_CONF_DIR"),
        ("spark://nowhere.invalid:7077", "no master answers at nowhere.invalid:7077 ("),
    ],
)
def test_masters_that_cannot_be(master: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert problem in str(problem_with_master(master))


def test_masters_that_do_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert problem_with_master(f"spark://127.0.0.1:{port}") is None
        assert problem_with_master(f"spark://127.0.0.1:1,127.0.0.1:{port}") is None
        assert problem_with_master(f"k8s://https://127.0.0.1:{port}") is None
    for master in (f"spark://127.0.0.1:{port}", f"k8s://https://127.0.0.1:{port}", f"k8s://127.0.0.1:{port}"):
        assert problem_with_master(master) == (
            f"no master answers at 127.0.0.1:{port} (Connection refused); start it, or give another master "
            f"than {master}"
        )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("--conf nope pyspark-shell", "--conf nope in PYSPARK_SUBMIT_ARGS has no value"),
        ("--conf=nope pyspark-shell", "--conf nope in"),
        ("--conf 'a=b", "cannot be parsed"),
        ("--conf a=b", "the last word of PYSPARK_SUBMIT_ARGS has to be pyspark-shell"),
        ("--conf a=b -c c=d pyspark-shell", None),
        ("", None),
    ],
)
def test_options(monkeypatch: pytest.MonkeyPatch, given: str, problem: str | None) -> None:
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", given)
    found = problem_with_options()
    assert (problem is None and found is None) or str(problem) in str(found)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (PARSE, "Could not parse Master URL: 'nope://x'; give one such as local[4], local[*], spark://HOST:7077, yarn "
         "or k8s://https://HOST:443"),
        (CAUSED, "it broke (UnknownHostException: nowhere)"),
        ("[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number.",
         "Java ended before Spark was up, for the reason printed above; check spark-defaults.conf and JAVA_HOME"),
        ("two\nlines", "two lines"),
    ],
)  # fmt: skip
def test_reasons(said: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSPARK_SUBMIT_ARGS", raising=False)
    assert reason(RuntimeError(said)) == line


def test_it_is_said_before_java_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyspark.SparkContext._active_spark_context", None)
    monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", lambda: None)
    with pytest.raises(SparkUnavailable, match=r"not a master URL; give one"):
        open_session(master="local[x]")
