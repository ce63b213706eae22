"""Where trials run: pools of slots, one file each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .. import _plugins
from .._trial import Event, Spec
from ..distribute import Layout
from ..runtime.job import Job

__all__ = ["Pool", "Resources", "make"]


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """What a call asked of the pool; None: as Spark is configured.

    Where trials are distributed, by `layout`, CPUs and GPUs are those of each member.
    """

    parallelism: int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: int | None = None
    layout: Layout | None = None

    def strategy(self) -> Any:
        """The distributed trials' strategy."""
        assert self.layout is not None
        return _plugins.load("distribute", self.layout.strategy)


def make(name: str, resources: Resources, spark: Any, channel_port: str) -> Pool:
    """The pool of this name; for distributed trials its kind that runs them."""
    kind = _plugins.load("pool", name)
    pool: Pool = (kind.GANGS() if resources.layout else kind)(resources, spark, channel_port)
    return pool


class Pool(Protocol):
    """Slots that run trials. All methods are called from the thread of the study's loop.

    A slot that becomes free waits; `submit` hands a trial to a free slot. What happens comes out of `wait` as events:
    `started`, `report`, `output`, `sample`, `ended`, each with its trial id. A trial whose slot is lost ends with cause
    `lost`.
    """

    @property
    def facts(self) -> dict[str, Any]:
        """What the run's record should say of it: application id, configuration, address of a user interface."""

    def start(self, job: Job, label: str, tell: Callable[[Event], None]) -> None:
        """Begin to acquire slots. `label` names the run in Spark's user interface.

        A pool that runs trials in the caller's thread, inside `wait`, gives `tell` their events but the last at once.
        """

    def want(self, slots: int) -> None:
        """How many slots there is work for at the moment; the pool grows to its limit and gives back idle ones."""

    @property
    def free(self) -> int:
        """Slots that wait for a trial."""

    @property
    def size(self) -> int:
        """Slots that are connected, busy ones included."""

    def submit(self, spec: Spec) -> bool:
        """Run a trial on a free slot; False when the last one has been lost meanwhile."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """Block until something happened or a slot became free, for `timeout` seconds at most."""

    def stop(self, trial_id: str, why: str) -> None:
        """Have a running trial stopped at its next report; its `ended` event follows."""

    def kill(self, trial_id: str, why: str) -> None:
        """End a running trial; its `ended` event follows."""

    def close(self) -> None:
        """End all trials, give all slots back; may be called twice and after a failed `start`."""
