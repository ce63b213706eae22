"""A Spark Connect server during a run: its facts, its queries, and whether it is still there."""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ._connect_session import GONE_SECONDS, Endpoint, answer, call, endpoint_of, error_line
from ._connect_task import BatchFunction

__all__ = ["ConnectServer"]

EXIT_ATTRIBUTE = "_hopslite_exit"  # on a session: that its connection is closed at the end
FACTS_ATTRIBUTE = "_hopslite_facts"  # on a session: nothing of it changes later
INTERRUPT_SECONDS = 5.0
WATCH_SECONDS = 2.0  # between two looks at the server
REFRESH_SECONDS = 5.0  # between two questions about its cores, which are also a sign that the session lives
STOPPED = "the Spark Connect session was stopped during the run"
SESSION_ERRORS = re.compile(r"INVALID_HANDLE|SESSION_(CHANGED|CLOSED|NOT_FOUND)|closed channel")
RANGE = re.compile(r"Range \(.*?splits=(?:Some\()?(\d+)")

T = TypeVar("T")


class ConnectServer:
    """The server of a session.

    pyspark retries requests for ten minutes when a server does not answer. So requests that the driver's loop needs are
    made in threads of their own, and another thread watches whether the server still accepts connections.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.endpoint: Endpoint | None = endpoint_of(session)
        _close_at_exit(session)
        self.facts = self._read_facts()
        self._cores = self.answer(self._ask_cores)
        self._refreshed, self._refreshing = time.monotonic(), threading.Lock()
        self._gone: str | None = None
        self._closing = threading.Event()
        threading.Thread(target=self._watch, name="hopslite-connect-watch", daemon=True).start()

    def _read_facts(self) -> dict[str, Any]:
        facts: dict[str, Any] | None = getattr(self.session, FACTS_ATTRIBUTE, None)
        if facts is None:
            conf = self.answer(lambda: dict(self.session.conf.getAll))
            facts = {
                "application_id": conf.get("spark.app.id"),
                "master": conf.get("spark.master", ""),
                "version": self.answer(lambda: str(self.session.version)),
                "ui": None,
                "connect_server": str(self.endpoint or self.session.client.host),
                "conf": {name: str(value) for name, value in conf.items() if not name.startswith("spark.sql.")},
            }
            setattr(self.session, FACTS_ATTRIBUTE, facts)
        return facts

    def answer(self, request: Callable[[], T]) -> T:
        """The result of a short request of the session. Raises SparkUnavailable when the server does not answer."""
        return answer(request, self.endpoint)

    # --- its state

    @property
    def stop_reason(self) -> str | None:
        """Reason why it runs no more queries of this session; None while it does."""
        return STOPPED if self.session.is_stopped else self._gone

    def cores(self) -> int:
        """Number of cores of all executors, as Spark counts them; a few seconds old, and at least 2 on a cluster."""
        if time.monotonic() - self._refreshed >= 1.0:
            self._refresh()
        return self._cores

    def _ask_cores(self) -> int:
        """Spark's default parallelism, which is in the plan of a range; no job is run for it."""
        plan = str(self.session.range(1)._explain_string())
        match = RANGE.search(plan)
        return int(match[1]) if match else 1

    def _refresh(self) -> None:
        """Ask again in the background, if no earlier question is still open."""
        if not self._refreshing.acquire(blocking=False):
            return

        def ask() -> None:
            try:
                self._cores, self._refreshed = self._ask_cores(), time.monotonic()
            except Exception as error:  # noqa: BLE001 - gRPC raises anything
                if SESSION_ERRORS.search(str(error)) and not self._closing.is_set():
                    self._gone = self._gone or f"the session on the Spark Connect server ended: {error_line(error)}"
            finally:
                self._refreshing.release()

        call(ask)

    def _watch(self) -> None:
        unreachable_since: float | None = None
        while not self._closing.wait(WATCH_SECONDS):
            problem = self.endpoint.problem() if self.endpoint else None
            if problem is None:
                unreachable_since = None
                if time.monotonic() - self._refreshed >= REFRESH_SECONDS:
                    self._refresh()
                continue
            unreachable_since = unreachable_since or time.monotonic()
            if time.monotonic() - unreachable_since >= GONE_SECONDS:
                self._gone = f"the Spark Connect server at {self.endpoint} does not answer any more ({problem})"

    def close(self) -> None:
        """End the watch. The connection of a server that is gone is closed, so that pyspark stops its retries."""
        self._closing.set()
        if self._gone is not None and not self.session.is_stopped:
            with contextlib.suppress(Exception):  # no part of its interface, and there is nothing to lose
                self.session.client._channel.close()
                self.session.client._closed = True

    # --- queries

    def query(
        self, function: BatchFunction, rows: int, tags: Sequence[str], barrier: bool = False, profile: Any = None
    ) -> list[str]:
        """Run a function in one task per row, and return the texts that the tasks yield. Uses the thread's tags."""
        from pyspark.sql.types import StringType, StructField, StructType

        schema = StructType([StructField("answer", StringType())])
        for tag in tags:
            self.session.addTag(tag)
        frame = self.session.range(0, rows, 1, rows).mapInArrow(function, schema, barrier=barrier, profile=profile)
        return [str(row[0]) for row in frame.collect()]

    def interrupt(self, tag: str) -> None:
        """Interrupt the queries with a tag; waits only a little for the server."""
        if self.stop_reason is None:
            with contextlib.suppress(concurrent.futures.TimeoutError):
                call(lambda: self.session.interruptTag(tag)).result(INTERRUPT_SECONDS)


def _close_at_exit(session: Any) -> None:
    """Close the connection of a session before the interpreter ends.

    The thread of an open connection may hold a lock when the interpreter kills it, and the interpreter then waits for
    that lock for ever.
    """
    channel = getattr(session.client, "_channel", None)
    if channel is not None and not hasattr(session, EXIT_ATTRIBUTE):
        setattr(session, EXIT_ATTRIBUTE, weakref.finalize(session, channel.close))
