"""Sessions of Spark Connect: slots are tasks of queries, and no SparkContext is needed."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import platform
import uuid
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..channel.relay import RelayExit
from ..channel.server import Server
from ..errors import InvalidArguments, SparkUnavailable
from ..storage.run_directory import RunDir
from ._backend import Backend, JobNames, SlotTask
from ._cluster_capacity import ClusterCapacity
from ._connect_archive import add_hopslite
from ._connect_cluster import ConnectCluster
from ._connect_server import ConnectServer
from ._connect_session import call, error_line, is_connect_session, open_session
from ._connect_task import probe_function, slot_function
from ._job_failures import explain

__all__ = ["ConnectBackend"]

log = logging.getLogger(__name__)

PROBE_SECONDS = 40.0  # for an executor to answer; with all cores in use the slots are queued anyway
ARCHIVE_ATTRIBUTE = "_hopslite_archive"  # on a session whose executors have been checked: what was sent to them
CHECKED_ATTRIBUTE = "_hopslite_checked"  # on a session: by address of the driver, why executors cannot connect to it
NO_ROUTE = (
    "trials report to the machine of the program, so executors must be able to connect to it. If they reach it at "
    "another address, set HOPSLITE_CHANNEL_HOST to that; if a firewall is between, open ports in it and set "
    "HOPSLITE_CHANNEL_PORT to them"
)


class ConnectBackend(Backend):
    """A session of Spark Connect: the given or active one, or a new one.

    Args:
        channel_host: address at which executors reach this process; None looks it up.
        channel: "direct": executors connect to this process; "relay": messages go through the project; "auto": the
            latter where executors cannot connect.
    """

    how_to_reach = NO_ROUTE

    def __init__(
        self, spark: Any = None, *, channel_host: str | None = None, channel: str = "auto", **options: Any
    ) -> None:
        if spark is not None and not is_connect_session(spark):
            raise InvalidArguments("spark", [f"{spark!r} is not a session of Spark Connect"])
        self._server = ConnectServer(open_session(spark))
        self._host, self._channel = channel_host, channel
        self._relay: RelayExit | None = None

    @property
    def facts(self) -> dict[str, Any]:  # type: ignore[override]
        return self._server.facts

    def cluster(self, cpus: int | None, gpus: float | None, unit: str = "trial") -> ConnectCluster:
        return ConnectCluster(self._server, cpus, gpus, unit, self._host)

    @property
    def closed(self) -> bool:
        return self._server.stop_reason is not None

    @property
    def stop_reason(self) -> str | None:
        return self._server.stop_reason

    def run(
        self, cluster: ClusterCapacity, task: SlotTask, ranks: Sequence[int], barrier: bool, names: JobNames
    ) -> list[str]:
        assert isinstance(cluster, ConnectCluster)
        function = slot_function(task, ranks, self._archive)
        return self._server.query(function, len(ranks), [names.group, names.tag], barrier, cluster.profile)

    def cancel(self, tag: str) -> None:
        self._server.interrupt(tag)

    def cancel_group(self, group: str) -> None:
        self._server.interrupt(group)

    def start_failure(self, cluster: ClusterCapacity, problem: str) -> SparkUnavailable:
        return SparkUnavailable(f"no slot could be started on {self.facts['connect_server']}: {problem}")

    def close(self) -> None:
        if self._relay is not None:
            self._relay.close()
        self._server.close()

    # --- what executors have

    @property
    def _archive(self) -> str:
        """Name of the archive with hopslite that executors were sent; empty if they have their own."""
        return str(getattr(self._server.session, ARCHIVE_ATTRIBUTE, ""))

    def check(self, cluster: ClusterCapacity, address: tuple[str, int]) -> None:
        """Check an executor's Python and its way to the driver, once per session and address of the driver.

        Where hopslite is missing, this one is sent.
        """
        checked: dict[str, str | None] = getattr(self._server.session, CHECKED_ATTRIBUTE, {})
        way = address[0] if self._channel != "relay" else "relay"
        if way not in checked:
            facts = self._usable_executor(address if self._channel != "relay" else None)
            if facts is None:  # the slots will tell
                return
            setattr(self._server.session, CHECKED_ATTRIBUTE, {**checked, way: _blocked(facts, address)})
            checked = getattr(self._server.session, CHECKED_ATTRIBUTE)
        if blocked := checked[way]:
            if self._channel == "direct":
                raise SparkUnavailable(f"{blocked}: {NO_ROUTE}")
            self._channel = "relay"
            self.notes = (f"{blocked}, so messages of trials go through the project (channel=relay)",)

    def _usable_executor(self, address: tuple[str, int] | None) -> dict[str, Any] | None:
        """Facts of an executor whose Python can run trials."""
        facts = self._probe(address)
        if facts and _lacks_hopslite(facts) and not self._archive:
            setattr(self._server.session, ARCHIVE_ATTRIBUTE, add_hopslite(self._server.session))
            facts = self._probe(address)
        if facts and (problem := _problem(facts)):
            raise SparkUnavailable(problem)
        return facts

    def executor_facts(self) -> dict[str, Any] | None:
        """Host, interpreter and version of hopslite of an executor; None if none has a free core.

        Raises:
            SparkUnavailable: its Python cannot run trials.
        """
        return self._probe(None)

    def start_relay(self, run: RunDir, server: Server) -> str | None:
        if self._channel != "relay":
            return None

        def excuse_silence(is_out: bool) -> None:
            server.silence_excused = is_out

        self._relay = RelayExit(run, server.address, excuse_silence)
        return self._relay.url

    def _probe(self, address: tuple[str, int] | None) -> dict[str, Any] | None:
        """Facts that an executor tells of itself; None if none has had a free core."""
        tag = f"hopslite-probe-{uuid.uuid4().hex}"
        answer = call(lambda: self._server.query(probe_function(address), 1, [tag]))
        try:
            return dict(json.loads(answer.result(PROBE_SECONDS)[0]))
        except concurrent.futures.TimeoutError:
            self._server.interrupt(tag)
            log.debug("no executor has answered within %g s", PROBE_SECONDS)
            return None
        except Exception as error:
            raise SparkUnavailable(self._failed_probe(error)) from error
        except BaseException:  # Ctrl-C
            self._server.interrupt(tag)
            raise

    def _failed_probe(self, error: Exception) -> str:
        own, server = _client_version(), str(self.facts["version"])
        text = explain(error)
        if text == error_line(error) and _minor(own) != _minor(server):
            text += f". The server runs Spark {server}, and the client is pyspark {own}; install the same minor version"
        elif "minor version of Python" in text:
            text += f" (here it is {platform.python_version()}; on the server's side spark.pyspark.python says which)"
        return f"the executors of {self.facts['connect_server']} cannot run trials: {text}"


def _blocked(facts: dict[str, Any], address: tuple[str, int]) -> str | None:
    """Description of an executor that cannot connect to the driver; None if it can."""
    if "route" not in facts:
        return None
    host, port = address
    return f"executors on {facts['host']} cannot connect to this machine at {host}:{port} ({facts['route']})"


def _lacks_hopslite(facts: dict[str, Any]) -> bool:
    return "No module named 'hopslite'" in facts.get("problem", "")


def _problem(facts: dict[str, Any]) -> str | None:
    """The problem that keeps an executor's Python from running trials; None when it can."""
    if "problem" not in facts:
        return None
    return (
        f"the executors' Python cannot run trials: {facts['executable']} on {facts['host']}, Python {facts['python']}, "
        f"fails to load hopslite {__version__} ({facts['problem']}). Install there what is missing; docs/clusters.md "
        "lists what executors need"
    )


def _client_version() -> str:
    import pyspark

    return str(pyspark.__version__)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
