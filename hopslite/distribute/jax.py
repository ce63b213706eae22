"""JAX's `jax.distributed`: what `initialize()` reads without arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._trial import Member
from . import Placed, Size, ranks

__all__ = ["Jax"]


class Jax:
    """Equal members, numbered by process id; number 0 is the chief and has the coordinator.

    JAX takes the coordinator's address from a variable of its own, but the number of processes only from those of
    batch systems that it knows; Slurm's are set because nothing else in a member's process reads them.
    """

    TITLE = "jax.distributed - Distributed Training"
    ALL_LISTEN = False

    @staticmethod
    def problems(size: Size) -> list[str]:
        return ranks(size, "jax")

    @staticmethod
    def members(size: Size) -> list[Member]:
        assert size.workers is not None
        return [Member("worker" if rank else "chief", rank) for rank in range(size.workers)]

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        variables = {
            "JAX_COORDINATOR_ADDRESS": gang[0].address,
            "JAX_NUM_PROCESSES": str(len(gang)),
            "JAX_PROCESS_ID": str(position),
            "SLURM_JOB_ID": "1",
            "SLURM_STEP_NODELIST": gang[0].host,
            "SLURM_NTASKS": str(len(gang)),
            "SLURM_PROCID": str(position),
            "SLURM_LOCALID": "0",  # each member sees only its own devices
        }
        if gang[position].gpus:
            variables["JAX_LOCAL_DEVICE_IDS"] = ",".join(str(index) for index in range(len(gang[position].gpus)))
        return variables

    @staticmethod
    def preset(gang: Sequence[Member], given: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
        return {}
