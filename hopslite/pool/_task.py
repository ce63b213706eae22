"""What Spark runs on an executor: a slot, connected to the driver. Imports little, since every slot pays for it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from ..runtime.job import Job
from ..runtime.slot import serve

__all__ = ["ClientLink", "HANDSHAKE_SECONDS", "run_slot", "shut"]

HANDSHAKE_SECONDS = 10.0


def shut(connection: socket.socket) -> None:
    """Wake whoever reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ClientLink:
    """The slot's end."""

    def __init__(self, address: tuple[str, int], key: bytes) -> None:
        connected = socket.create_connection(address, timeout=HANDSHAKE_SECONDS)
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = Connection(os.dup(connected.fileno()))
        self._address = str(connected.getsockname()[0])
        self._sending = threading.Lock()
        guard = threading.Timer(HANDSHAKE_SECONDS, shut, [connected])
        guard.daemon = True
        guard.start()
        try:
            answer_challenge(self._link, key)
            deliver_challenge(self._link, key)
        finally:
            guard.cancel()
            connected.close()

    def fileno(self) -> int:
        return self._link.fileno()

    def local_address(self) -> str:
        """This machine's address on the way to the driver."""
        return self._address

    def send(self, message: dict[str, Any]) -> None:
        frame = json.dumps(message).encode()
        with self._sending:
            self._link.send_bytes(frame)

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._link.recv_bytes())
        return message

    def close(self) -> None:
        self._link.close()


def run_slot(
    partition: Iterable[int],
    *,
    address: tuple[str, int],
    key: bytes,
    job: Job,
    gpus: list[str] | None = None,
    group: int | None = None,
    gpus_by_rank: Mapping[int, list[str] | None] | None = None,
    driver: str = "",
) -> Iterator[str]:
    """What Spark runs on an executor; yields why it could not serve, or nothing.

    Args:
        partition: the slot's rank in its group, where there are groups.
        gpus: what this slot may use in local mode, where Spark assigns none; `gpus_by_rank` for groups.
        driver: the driver's address.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    rank = next(iter(partition))
    if gpus_by_rank is not None:
        gpus = gpus_by_rank[rank]
    assigned = context.resources().get("gpu") if context else None
    if assigned is not None:
        gpus = list(assigned.addresses)
    elif (job.gpus is not None or len(job.members) > 1) and gpus is None:
        gpus = []  # several members on one machine must not share what none of them was given
    if job.members and not job.members[rank]["gpu"]:
        gpus = []
    try:
        link = ClientLink(address, key)
    except (OSError, EOFError, AuthenticationError) as error:
        return iter([f"{socket.gethostname()} cannot reach the driver at {address[0]}:{address[1]} ({error!r})"])
    try:
        identity: dict[str, Any] = {"host": socket.gethostname(), "gpus": gpus}
        if group is not None:
            identity |= {"group": group, "rank": rank, "address": _own_address(context, link, driver)}
        serve(_Identified(link, identity), job, gpus)
    finally:
        link.close()
    return iter(())


def _own_address(context: Any, link: ClientLink, driver: str) -> str:
    """The name by which other executors reach this one: what Spark has registered, as far as it tells."""
    from pyspark import BarrierTaskContext

    if isinstance(context, BarrierTaskContext):
        return str(context.getTaskInfos()[context.partitionId()].address).rpartition(":")[0].strip("[]")
    own = link.local_address()
    # beside the driver the connection is a local one; others reach this machine as they reach the driver
    return driver if own.startswith("127.") or own == "::1" else own


class _Identified:
    """A link that adds who and where it is to `ready` and `started` messages."""

    def __init__(self, link: ClientLink, identity: dict[str, Any]) -> None:
        self._link, self._identity = link, identity
        self.fileno, self.receive = link.fileno, link.receive

    def send(self, message: dict[str, Any]) -> None:
        self._link.send({**message, **self._identity} if message["type"] in ("ready", "started") else message)
