"""The Spark session of a run: the given or active one, or a new local session that uses this interpreter."""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.redaction import redact
from ..core.text_table import is_terminal
from ..errors import InvalidArguments, SparkUnavailable
from ..executor.context import is_for_trials
from . import _connect_session, _java_check, _start_errors
from ._connect_session import is_connect_session
from ._gateway import start_gateway

__all__ = ["is_stopping", "open_session", "without_announcement"]

LOG4J = Path(__file__).with_name("log4j2.properties")
_is_announced = contextvars.ContextVar("is_announced", default=True)
STOPPING_SECONDS = 30.0  # for a session that is being stopped to end, before a new one is created


def open_session(spark: Any = None, master: str | None = None) -> Any:
    """The given session, or the active one, or a new one.

    A new session uses `master`, or the setting of `spark-submit` or `spark-defaults.conf`, otherwise `local[*]`; its
    executors run this interpreter unless `PYSPARK_PYTHON` names another. It is kept for later runs and ends with the
    process. If the active session is being stopped, this waits for its end.

    Raises:
        SparkUnavailable: there is no usable Java, Spark does not start, a session does not end, or this is a trial.
        InvalidArguments: `spark` is not a session.
    """
    if is_connect_session(spark) or (master or "").startswith("sc://"):
        return _connect_session.open_session(spark, master)
    from pyspark import __version__
    from pyspark.sql import SparkSession

    if spark is not None:
        if not isinstance(spark, SparkSession):
            raise InvalidArguments("spark", [f"{spark!r} is not a SparkSession; leave it out to use the active one"])
        if is_stopping(spark.sparkContext):
            raise InvalidArguments(
                "spark", ["this session was stopped, or is being stopped; create a new one, or leave it out"]
            )
        return spark
    active = _active_session()
    if active is not None:
        return open_session(active)  # with the same checks
    if is_for_trials():
        raise SparkUnavailable(_start_errors.IN_A_TRIAL)
    if master is not None and (remote := os.environ.get("SPARK_REMOTE")):
        raise SparkUnavailable(
            f"the master is {master}, and SPARK_REMOTE={redact(remote)} names a Spark Connect server; give one of them"
        )
    problem = _start_errors.problem_with_master(master) if master is not None else None
    if problem is None and not os.environ.get("PYSPARK_GATEWAY_PORT"):  # which names a JVM that runs already
        problem = _start_errors.problem_with_options() or _java_check.problem(__version__)
    if problem:
        raise SparkUnavailable(problem)
    _announce()
    with _executors_use_this_interpreter(), _keep_interrupt_handler(), _default_log_settings():
        try:
            return _new_session(master)
        except SparkUnavailable:
            raise
        except Exception as error:
            raise SparkUnavailable(f"Spark did not start: {_start_errors.reason(error)}") from error


@contextlib.contextmanager
def without_announcement() -> Iterator[None]:
    """Start sessions without a word in this thread as long as the block lasts."""
    token = _is_announced.set(False)
    try:
        yield
    finally:
        _is_announced.reset(token)


def _announce() -> None:
    """Tell the user of a terminal what takes some seconds in which nothing else is shown."""
    if _is_announced.get() and is_terminal(sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write("Starting Spark …\n")
            sys.stderr.flush()


def is_stopping(context: Any) -> bool:
    """True if a SparkContext is being stopped, or was: with `stop()`, or by Spark itself."""
    try:
        return context._jsc is None or bool(context._jsc.sc().isStopped())
    except Exception:  # noqa: BLE001 - it ended during the call
        return True


def _active_session() -> Any:
    """The active session; None when there is none, or when it has ended meanwhile.

    Raises:
        SparkUnavailable: it is being stopped and does not end.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    deadline = time.monotonic() + STOPPING_SECONDS
    while True:
        context = SparkContext._active_spark_context
        if context is None or not is_stopping(context):
            try:
                active = SparkSession.getActiveSession()
                return SparkSession(context) if active is None and context is not None else active
            except Exception:
                if context is None or not is_stopping(context):
                    raise
        if time.monotonic() >= deadline:
            raise SparkUnavailable(
                f"the active Spark session was stopped and has not ended within {STOPPING_SECONDS:g} s (has "
                "the cluster ended its application?); call its stop(), or give a new one with spark="
            )
        time.sleep(0.1)


@contextlib.contextmanager
def _keep_interrupt_handler() -> Iterator[None]:
    """Restore the program's SIGINT handler, which a new SparkContext replaces."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.getsignal(signal.SIGINT) if in_main_thread else None
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


def _new_session(master: str | None) -> Any:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    start_gateway()
    conf = SparkConf()  # with the settings of spark-submit, spark-defaults.conf and PYSPARK_SUBMIT_ARGS
    if master is not None:
        conf.setMaster(master)
    if master is None and (problem := _start_errors.problem_with_master(str(conf.get("spark.master", "local[*]")))):
        raise SparkUnavailable(problem)
    conf.setIfMissing("spark.master", "local[*]").set("spark.ui.showConsoleProgress", "false")  # hopslite shows its own
    if conf.get("spark.master").startswith("local["):  # other machines do not have to reach it
        conf.setIfMissing("spark.driver.host", "127.0.0.1").setIfMissing("spark.driver.bindAddress", "127.0.0.1")
    if conf.get("spark.app.name", "pyspark-shell") == "pyspark-shell":
        conf.setAppName("hopslite")
    return SparkSession.builder.config(conf=conf).getOrCreate()


@contextlib.contextmanager
def _executors_use_this_interpreter() -> Iterator[None]:
    """Set the variable from which PySpark takes the executors' interpreter; its default is any python3."""
    if "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]


@contextlib.contextmanager
def _default_log_settings() -> Iterator[None]:
    """Have a new Spark use our `log4j2.properties` if logging is not configured."""
    from pyspark.find_spark_home import _find_spark_home

    options = os.environ.get("SPARK_SUBMIT_OPTS")
    folder = Path(os.environ.get("SPARK_CONF_DIR") or Path(_find_spark_home(), "conf"))
    if "log4j" in (options or "") or any(folder.glob("log4j*")):
        yield
        return
    os.environ["SPARK_SUBMIT_OPTS"] = f"{options or ''} -Dlog4j2.configurationFile={LOG4J.as_uri()}".strip()
    try:
        yield
    finally:
        del os.environ["SPARK_SUBMIT_OPTS"]
        if options is not None:
            os.environ["SPARK_SUBMIT_OPTS"] = options
