"""Strategy for JAX: the variables that `jax.distributed.initialize()` reads when it is called without arguments."""

from __future__ import annotations

from collections.abc import Sequence

from . import Placed
from ._ranks import Ranks

__all__ = ["Jax"]


class Jax(Ranks):
    """Equal members with a process id; process 0 is the chief and runs the coordinator.

    JAX takes the coordinator's address from a variable of its own, but the number of processes only from those of batch
    systems that it knows. So members get the variables of Slurm that JAX reads; other libraries that look for Slurm
    (Lightning, MPI's launchers) may find these variables, too: a job with one task for each member.
    """

    TITLE = "jax.distributed - Distributed Training"

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
