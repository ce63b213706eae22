"""The Spark task of a slot, which connects to the driver and serves trials.

Imports little, since every slot pays for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import AuthenticationError
from typing import Any

from ..channel.addresses import interface_towards
from ..channel.client import ReconnectingClient
from ..channel.relay import RelayEntrance
from ..executor.job_spec import Job
from ..executor.slot import remote_access, serve
from ..executor.spark_task import ATTRIBUTES
from ..serialization.broadcasts import paths_in_task

__all__ = ["run_slot"]

FAREWELL_SECONDS = 2.0  # for the last messages to be written to the relay
EXIT_SECONDS = 3.0  # for a slot to end by itself once its session is over


def run_slot(
    partition: Iterable[int],
    *,
    address: tuple[str, int],
    key: bytes,
    job: Job,
    slot: int = 0,
    trials_per_gpu: int = 1,
    gpus: list[str] | None = None,
    group: int | None = None,
    gpus_by_rank: Mapping[int, list[str] | None] | None = None,
    driver: str = "",
    relay: str | None = None,
) -> Iterator[str]:
    """Serve as a slot in a Spark task; yields the reason why it cannot, or nothing.

    Args:
        partition: the slot's rank in its group, where there are groups.
        slot: the number of the Spark job that this task belongs to.
        trials_per_gpu: how many slots use a GPU together.
        gpus: addresses for this slot in local mode, where Spark assigns none; `gpus_by_rank` for groups.
        driver: the driver's address.
        relay: URL of the relay through which the slot reaches the driver, instead of `address`.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    try:
        job = dataclasses.replace(job, spark_task=_task_facts(context, job), broadcasts=())
    except ValueError as error:
        return iter([str(error)])
    rank = _rank(partition, reuses_worker=job.isolation == "process")
    if gpus_by_rank is not None:
        gpus = gpus_by_rank[rank]
    assigned = context.resources().get("gpu") if context else None
    if assigned is not None:
        gpus = list(assigned.addresses)
    elif (job.gpus is not None or len(job.members) > 1) and gpus is None:
        gpus = []  # several members on one machine must not share GPUs that none of them was assigned
    if job.members and not job.members[rank]["gpu"]:
        gpus = []
    with contextlib.ExitStack() as stack:
        try:
            if relay is not None:
                address = stack.enter_context(_relayed(relay, job))
                driver = interface_towards(driver) or driver
            client = stack.enter_context(contextlib.closing(ReconnectingClient(address, key)))
        except (OSError, EOFError, AuthenticationError) as error:
            way = f"through {relay}" if relay else f"at {address[0]}:{address[1]}"
            return iter([f"{socket.gethostname()} cannot reach the driver {way} ({error!r})"])
        done = threading.Event()
        stack.callback(done.set)
        if job.isolation == "none":
            threading.Thread(
                target=_exit_when_session_over, args=(client, done), name="hopslite-leave", daemon=True
            ).start()
        identity: dict[str, Any] = {"host": socket.gethostname(), "slot": slot, "gpus": gpus}
        if group is not None:
            identity |= {"group": group, "rank": rank, "address": _own_address(context, client, driver)}
        serve(_IdentifyingClient(client, identity), job, gpus, trials_per_gpu)
    return iter(())


def _task_facts(context: Any, job: Job) -> dict[str, Any] | None:
    """Facts of this task for its trials, see `executor.spark_task`; the directory of files is made absolute.

    A trial that runs in this process, without isolation, has another working directory than the task.

    Raises:
        ValueError: broadcast variables of the training function cannot be had.
    """
    from pyspark import BarrierTaskContext, SparkFiles

    if context is None:
        return None
    SparkFiles._root_directory = os.path.abspath(SparkFiles.getRootDirectory())
    cpu_amount = getattr(context, "_cpuAmount", None)  # from pyspark 4.3 on
    return {
        "files": SparkFiles._root_directory,
        "context": {name: getattr(context, f"_{name}", None) for name in ATTRIBUTES},
        "cpu_amount": None if cpu_amount is None else str(cpu_amount),
        "resources": {name: list(known.addresses) for name, known in (context.resources() or {}).items()},
        "barrier": isinstance(context, BarrierTaskContext),
        "broadcasts": paths_in_task(job.broadcasts) if job.isolation == "process" else {},
    }


@contextlib.contextmanager
def _relayed(url: str, job: Job) -> Iterator[tuple[str, int]]:
    """The address of an entrance to the relay on this machine."""
    with remote_access(job):
        entrance = RelayEntrance(url)
        try:
            yield entrance.address
        finally:
            entrance.close(FAREWELL_SECONDS)


def _rank(partition: Iterable[int], reuses_worker: bool) -> int:
    """The only element of a partition.

    Spark uses a Python worker again only if the task has read its input to the end. The next run's slot then starts
    without the imports; trials that ran in the worker itself have left their modules and threads there.
    """
    elements = iter(partition)
    rank = next(elements)
    if reuses_worker:
        list(elements)
    return rank


def _exit_when_session_over(client: ReconnectingClient, done: threading.Event) -> None:
    """End this process if a trial still runs in it after the session is over: it may run elsewhere by now."""
    client.session_over.wait()
    if not done.wait(EXIT_SECONDS):
        os.write(2, b"hopslite: the driver is gone or has given this slot up, so the trial ends here\n")
        os._exit(1)


def _own_address(context: Any, client: ReconnectingClient, driver: str) -> str:
    """This executor's address for other executors, as registered with Spark if available."""
    from pyspark import BarrierTaskContext

    if isinstance(context, BarrierTaskContext):
        return str(context.getTaskInfos()[context.partitionId()].address).rpartition(":")[0].strip("[]")
    own = client.local_address()
    # beside the driver the connection is a local one; others reach this machine as they reach the driver
    return driver if own.startswith("127.") or own == "::1" else own


class _IdentifyingClient:
    """Client that adds the slot's identity to `ready` and `started` messages."""

    def __init__(self, client: ReconnectingClient, identity: dict[str, Any]) -> None:
        self._link, self._identity = client, identity
        self.fileno, self.receive = client.fileno, client.receive

    def send(self, message: dict[str, Any]) -> None:
        self._link.send({**message, **self._identity} if message["type"] in ("ready", "started") else message)
