"""What Spark runs on an executor: a slot, connected to the driver. Imports little, since every slot pays for it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import AuthenticationError
from typing import Any

from ..runtime.job import Job
from ..runtime.slot import serve
from ._link import ClientLink

__all__ = ["run_slot"]

LEAVE_SECONDS = 3.0  # for a slot to end by itself once its session is over


def run_slot(
    partition: Iterable[int],
    *,
    address: tuple[str, int],
    key: bytes,
    job: Job,
    slot: int = 0,
    gpus: list[str] | None = None,
    group: int | None = None,
    gpus_by_rank: Mapping[int, list[str] | None] | None = None,
    driver: str = "",
) -> Iterator[str]:
    """What Spark runs on an executor; yields why it could not serve, or nothing.

    Args:
        partition: the slot's rank in its group, where there are groups.
        slot: the number of the Spark job that this task belongs to.
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
    done = threading.Event()
    if job.isolation == "none":
        threading.Thread(target=_leave, args=(link, done), name="hopslite-leave", daemon=True).start()
    try:
        identity: dict[str, Any] = {"host": socket.gethostname(), "slot": slot, "gpus": gpus}
        if group is not None:
            identity |= {"group": group, "rank": rank, "address": _own_address(context, link, driver)}
        serve(_Identified(link, identity), job, gpus)
    finally:
        done.set()
        link.close()
    return iter(())


def _leave(link: ClientLink, done: threading.Event) -> None:
    """End this process where a trial runs in it although the session is over: it may be run elsewhere by now."""
    link.over.wait()
    if not done.wait(LEAVE_SECONDS):
        os.write(2, b"hopslite: the driver is gone or has given this slot up, so the trial ends here\n")
        os._exit(1)


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
