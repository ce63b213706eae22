"""Interface of the pools in which trials run; each pool is one module of this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..core import plugins
from ..core.settings import Settings
from ..core.types import Event, Spec
from ..distribute import Layout
from ..executor.job_spec import Job

__all__ = ["ON_SPARK", "Pool", "Resources", "make"]

ON_SPARK = ("spark", "spark_connect")  # pools whose trials run on executors


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """Resources that a call requests from the pool; None: as Spark is configured.

    For distributed trials (`layout`), CPUs and GPUs are those of each member. Below 1, `gpus_per_trial` is a share 1/n
    of a GPU that n trials use together.
    """

    parallelism: int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    layout: Layout | None = None

    def strategy(self) -> Any:
        """The strategy of distributed trials."""
        assert self.layout is not None
        return plugins.load("distribute", self.layout.strategy)


def make(name: str, resources: Resources, spark: Any, settings: Settings) -> Pool:
    """Create the pool with this name; for distributed trials the variant that runs them.

    "spark" is the pool for the kind of session: "spark_connect" for those of Spark Connect.
    """
    from ._connect_session import is_wanted  # imported late: each slot imports this package, and none needs it

    if name == "spark" and is_wanted(spark):
        name = "spark_connect"
    kind = plugins.load("pool", name)
    more = {setting: getattr(settings, setting) for setting in getattr(kind, "SETTINGS", ())}
    pool: Pool = (kind.GANGS if resources.layout else kind)(resources, spark, settings.channel_port, **more)
    return pool


def runs_in_process(pool: str | Pool) -> bool:
    """True if trials run in the driver's own process, so that nothing has to be serialized."""
    return bool(getattr(plugins.load("pool", pool) if isinstance(pool, str) else pool, "in_process", False))


class Pool(Protocol):
    """Slots that run trials.

    All methods are called from the thread of the driver's loop. `submit` hands a trial to a free slot. `wait` returns
    the events: `started`, `report`, `output`, `sample`, `ask`, `ended`, each with its trial id. A trial whose slot is
    lost ends with cause `lost`. Two events have no trial: `no_room` (a `slot` on a `host` cannot write its disk, for
    the reason `problem`) and `room` (it can write again, or is gone); between the two the slot is not free.
    """

    @property
    def facts(self) -> dict[str, Any]:
        """Facts for the run's record: application id, configuration, address of a user interface."""

    def start(self, job: Job, label: str, on_event: Callable[[Event], None]) -> None:
        """Begin to acquire slots.

        `label` names the run in Spark's user interface. A pool that runs trials in the caller's thread, inside `wait`,
        passes their events to `on_event` at once, except the last. It also passes `polled` from time to time, for the
        loop to look for reasons to stop the trial.
        """

    def want(self, slots: int) -> None:
        """Set the number of slots with work at the moment; the pool grows to its limit and releases idle slots."""

    @property
    def free(self) -> int:
        """Number of slots that wait for a trial."""

    @property
    def size(self) -> int:
        """Number of connected slots, including busy ones."""

    def submit(self, spec: Spec) -> bool:
        """Run a trial on a free slot; False when the last free slot has been lost meanwhile."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """Block until an event arrives or a slot becomes free, for at most `timeout` seconds."""

    def stop(self, trial_id: str, why: str) -> None:
        """Stop a running trial at its next report; its `ended` event follows."""

    def answer(self, event: Event, answer: dict[str, Any]) -> None:
        """Answer the request of an `ask` event, for which the trial waits."""

    def kill(self, trial_id: str, why: str) -> None:
        """Kill a running trial; its `ended` event follows."""

    def close(self) -> None:
        """End all trials and release all slots; may be called twice and after a failed `start`."""
