"""Strategy for PyTorch: the variables that `init_process_group()` reads when it is called without arguments (`env://`)."""

from __future__ import annotations

from collections.abc import Sequence

from . import Placed
from ._ranks import Ranks

__all__ = ["Torch"]


class Torch(Ranks):
    """Equal members with a rank; rank 0 is the chief.

    A member with GPUs sees only its own, from device 0 on, so its `LOCAL_RANK` is 0: `cuda:LOCAL_RANK` is right.
    """

    TITLE = "torch.distributed - Distributed Training"

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        member = gang[position]
        ranks_on_host = (
            [rank for rank, placed in enumerate(gang) if placed.host == member.host] if not member.gpus else [position]
        )
        return {
            "MASTER_ADDR": gang[0].host,
            "MASTER_PORT": str(gang[0].port),
            "RANK": str(position),
            "WORLD_SIZE": str(len(gang)),
            "LOCAL_RANK": str(ranks_on_host.index(position)),
            "LOCAL_WORLD_SIZE": str(len(ranks_on_host)),
        }
