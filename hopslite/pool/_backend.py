"""Interface of the kinds of Spark sessions to the pools on Spark: classic sessions, and those of Spark Connect."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..channel.server import Server
from ..errors import SparkUnavailable
from ..storage.run_directory import RunDir
from ._cluster_capacity import ClusterCapacity

__all__ = ["Backend", "JobNames", "SlotTask"]

SlotTask = Callable[[Iterable[int]], Iterator[str]]  # from the ranks of a partition to the reasons why it cannot serve


@dataclasses.dataclass(frozen=True, slots=True)
class JobNames:
    """Names of a slot's Spark job.

    Args:
        group: common to all jobs of a run, to cancel them together.
        tag: of this slot's jobs only.
        description: for Spark's user interface.
    """

    group: str
    tag: str
    description: str


class Backend(abc.ABC):
    """A Spark session that runs the tasks of slots: the given or active one, or a new one.

    Methods may be called from any thread.
    """

    facts: dict[str, Any]  # for the run's record
    how_to_reach: str  # advice where executors cannot connect to the driver
    notes: tuple[str, ...] = ()  # for the user, of what was decided at the start

    @abc.abstractmethod
    def __init__(self, spark: Any = None, **options: Any) -> None: ...

    @abc.abstractmethod
    def cluster(self, cpus: int | None, gpus: float | None, unit: str = "trial") -> ClusterCapacity:
        """The capacity of the cluster for trials with these requests."""

    @abc.abstractmethod
    def check(self, cluster: ClusterCapacity, address: tuple[str, int]) -> None:
        """Check that executors can run trials.

        Args:
            address: that of the run's channel, as executors see it.

        Raises:
            SparkUnavailable: they cannot; the message says why.
        """

    @property
    @abc.abstractmethod
    def closed(self) -> bool:
        """True once the session is known to run no more jobs; costs nothing."""

    @property
    @abc.abstractmethod
    def stop_reason(self) -> str | None:
        """Reason why the session runs no more jobs; None while it does."""

    @abc.abstractmethod
    def run(
        self, cluster: ClusterCapacity, task: SlotTask, ranks: Sequence[int], barrier: bool, names: JobNames
    ) -> list[str]:
        """Run a job with one task per rank to its end, and return the reasons why its slots could not serve."""

    @abc.abstractmethod
    def cancel(self, tag: str) -> None:
        """Cancel the jobs with this tag."""

    @abc.abstractmethod
    def cancel_group(self, group: str) -> None:
        """Cancel the jobs of a run."""

    @abc.abstractmethod
    def start_failure(self, cluster: ClusterCapacity, problem: str) -> SparkUnavailable:
        """The error of a run without slots, for the reason that the last one gave."""

    def start_relay(self, run: RunDir, server: Server) -> str | None:
        """Start a relay of the channel through the run's directory and return its URL; None where none is needed."""
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Release what the backend holds beside the session, which is left as it is."""
