"""The Spark Connect session of a run: the given or active one, or a new one of the environment's server."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import itertools
import os
import shlex
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..core import extras
from ..core.redaction import redact
from ..core.text_table import is_terminal
from ..errors import InvalidArguments, MissingExtra, SparkUnavailable
from ..executor.context import is_for_trials
from ._start_errors import IN_A_TRIAL

__all__ = [
    "Endpoint",
    "OLDEST_SPARK",
    "answer",
    "call",
    "current_session",
    "endpoint_of",
    "error_line",
    "is_connect_session",
    "is_wanted",
    "open_session",
    "remote_address",
]

OLDEST_SPARK = (4, 0)  # before, queries of Python functions have neither resource profiles nor all of their arguments
DEFAULT_PORT = 15002
PATIENCE_SECONDS = 3.0  # for a server to accept a connection
# For an answer of a server that accepts connections: a busy one that loads its classes needs a minute, and gRPC waits
# up to two before it connects again to one that was away. pyspark itself tries for ten minutes.
ANSWER_SECONDS = 300.0
NOTE_SECONDS = 10.0  # until a terminal shows that an answer is awaited
GONE_SECONDS = 10.0  # without a connection: the server has ended, and with it its executors
LOOK_SECONDS = 2.0  # between two looks whether the server still accepts connections
LONGEST = 400  # characters of an error
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")

T = TypeVar("T")


class Endpoint(NamedTuple):
    """Address of a Spark Connect server, without what may be secret in its URL."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"sc://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def problem(self) -> str | None:
        """Reason why nothing accepts connections there; None if something does, or if a proxy is between."""
        if any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
            return None
        try:
            socket.create_connection((self.host, self.port), PATIENCE_SECONDS).close()
        except OSError as error:
            return str(error.strerror or error)
        return None


def is_connect_session(spark: Any) -> bool:
    """True for a session of Spark Connect."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def is_wanted(spark: Any) -> bool:
    """True if a run belongs on Spark Connect: by its session, or by the active one, or by the environment."""
    if spark is not None:
        return is_connect_session(spark)
    if current_session() is not None:
        return True
    return not _has_classic_session() and (remote_address() is not None or _is_client_only())


def current_session() -> Any:
    """The active Spark Connect session, or the default one; None when there is none, or a classic one is in use."""
    module = sys.modules.get("pyspark.sql.connect.session")
    if module is None or (_has_classic_session() and "SPARK_CONNECT_MODE_ENABLED" not in os.environ):
        return None
    return module.SparkSession.getActiveSession() or module.SparkSession._get_default_session()


def _has_classic_session() -> bool:
    module = sys.modules.get("pyspark.core.context") or sys.modules.get("pyspark.context")
    return module is not None and module.SparkContext._active_spark_context is not None


def _is_client_only() -> bool:
    """True if the installed pyspark is a client without Spark itself (`pyspark-client`)."""
    try:
        return (
            importlib.util.find_spec("pyspark") is not None
            and importlib.util.find_spec("pyspark.core") is None
            and importlib.util.find_spec("pyspark.context") is None
        )
    except (ImportError, ValueError):
        return False


def remote_address() -> str | None:
    """The server that SPARK_REMOTE or the options of `spark-submit` (`--remote`, `spark.remote`) name, or None."""
    if address := os.environ.get("SPARK_REMOTE"):
        return address
    try:
        words = shlex.split(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
    except ValueError:  # reported where Spark is started with them
        return None
    for option, value in itertools.pairwise(words):
        if option == "--remote":
            return value
        if option in ("--conf", "-c") and value.startswith("spark.remote="):
            return value.partition("=")[2]
    return None


def open_session(spark: Any = None, remote: str | None = None) -> Any:
    """The given session, or one of the server at `remote`, or the active one, or one of the environment's server.

    A new session is the process's default one, as after `SparkSession.builder.remote(…).getOrCreate()`.

    Raises:
        SparkUnavailable: there is no server, or it does not answer or is too old; or this is a trial.
        InvalidArguments: the session was stopped.
        MissingExtra: packages of Spark Connect are not installed.
    """
    session = spark if spark is not None or remote else current_session()
    if session is None:
        if is_for_trials():
            raise SparkUnavailable(IN_A_TRIAL)
        return _checked(_new_session(remote or remote_address()))
    if session.is_stopped:
        raise InvalidArguments("spark", ["this session was stopped; create a new one, or leave it out"])
    return _checked(session)


def _new_session(remote: str | None) -> Any:
    extras.require("connect", "Spark Connect")
    if remote is None:
        raise SparkUnavailable(
            "the installed pyspark is a client of Spark Connect only, and no server is named: set "
            "SPARK_REMOTE=sc://HOST:15002, or make a session with SparkSession.builder.remote()"
        )
    endpoint = None if remote.startswith("local") else _parse(remote)
    if endpoint and (problem := endpoint.problem()):
        raise SparkUnavailable(_unreachable(endpoint, problem))
    try:
        if endpoint is None:  # starts a server in this process
            from pyspark.sql import SparkSession

            return SparkSession.builder.remote(remote).getOrCreate()
        from pyspark.sql.connect.session import SparkSession as ConnectSession

        return answer(ConnectSession.builder.remote(remote).getOrCreate, endpoint)
    except ImportError as error:
        raise MissingExtra(f"Spark Connect: {error_line(error)}. {extras.pip_install(['connect'])}") from error
    except SparkUnavailable:
        raise
    except Exception as error:
        raise SparkUnavailable(f"no session of {endpoint or remote}: {error_line(error)}") from error


def _unreachable(endpoint: Endpoint | str, problem: str) -> str:
    return (
        f"no Spark Connect server answers at {redact(str(endpoint))} ({problem}); start it, or give the address of "
        "another one with SPARK_REMOTE or SparkSession.builder.remote()"
    )


def _parse(remote: str) -> Endpoint:
    try:
        url = urllib.parse.urlsplit(remote)
        if url.scheme == "sc" and url.hostname:
            return Endpoint(url.hostname, url.port or DEFAULT_PORT)
    except ValueError:
        pass
    raise SparkUnavailable(f"{redact(remote)!r} is not the address of a Spark Connect server; give sc://HOST:PORT")


def endpoint_of(session: Any) -> Endpoint | None:
    """The server of a session; None if its connection was built in another way than by a URL."""
    builder = getattr(session.client, "_builder", None)
    try:
        host, _, port = str(builder.endpoint).rpartition(":")  # type: ignore[union-attr]
        return Endpoint(host.strip("[]"), int(port))
    except Exception:  # noqa: BLE001 - it is the user's own builder
        return None


def _checked(session: Any) -> Any:
    """The session, whose server has answered and is new enough."""
    endpoint = endpoint_of(session)
    try:
        version = answer(lambda: str(session.version), endpoint)
    except SparkUnavailable:
        raise
    except Exception as error:
        place = f" at {endpoint}" if endpoint else ""
        raise SparkUnavailable(f"the Spark Connect server{place} refuses this session: {error_line(error)}") from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SPARK:
        raise SparkUnavailable(
            f"the Spark Connect server runs Spark {version}; trials need 4.0 or newer there, or a classic session"
        )
    return session


def call(function: Callable[[], T]) -> concurrent.futures.Future[T]:
    """Call a function in a thread that nothing waits for at the end: with a server that is gone, pyspark retries."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where the result is used
            future.set_exception(error)

    threading.Thread(target=run, name="hopslite-connect", daemon=True).start()
    return future


def answer(request: Callable[[], T], endpoint: Endpoint | None) -> T:
    """The result of a short request, awaited as long as the server accepts connections, at most `ANSWER_SECONDS`.

    Raises:
        SparkUnavailable: there was no answer, or no connection for `GONE_SECONDS`.
    """
    future = call(request)
    begun = connected = time.monotonic()
    noted = False
    while True:
        try:
            return future.result(min(LOOK_SECONDS, ANSWER_SECONDS))
        except concurrent.futures.TimeoutError:
            if future.done():  # the request's own
                raise
        now = time.monotonic()
        problem = endpoint.problem() if endpoint else None
        connected = connected if problem else now
        if now - connected >= GONE_SECONDS or now - begun >= ANSWER_SECONDS:
            reason = problem or f"no answer within {ANSWER_SECONDS:g} s"
            raise SparkUnavailable(_unreachable(endpoint, reason) if endpoint else f"Spark Connect: {reason}")
        if not noted and now - begun >= NOTE_SECONDS and is_terminal(sys.stderr):
            noted = True
            sys.stderr.write(f"Waiting for an answer of {endpoint or 'the Spark Connect server'} …\n")
            sys.stderr.flush()


def error_line(error: BaseException) -> str:
    """The line of an error of Spark Connect that says what is wrong, without traces and gRPC's details."""
    details = getattr(error, "details", None)
    text = str(details() if callable(details) else error)
    if "details = " in text:
        text = text.partition("details = ")[2].partition("\n")[0].strip(' "')
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return redact((lines or [type(error).__name__])[0])[:LONGEST]
