"""PyTorch's `torch.distributed`: what `init_process_group()` reads without arguments (`env://`)."""

from __future__ import annotations

from collections.abc import Sequence

from . import Placed
from ._ranks import Ranks

__all__ = ["Torch"]


class Torch(Ranks):
    """Equal members, numbered by rank; rank 0 is the chief.

    A member with GPUs sees only its own, from device 0 on, so its `LOCAL_RANK` is 0: `cuda:LOCAL_RANK` is right.
    """

    TITLE = "torch.distributed - Distributed Training"

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        own = gang[position]
        beside = [rank for rank, placed in enumerate(gang) if placed.host == own.host] if not own.gpus else [position]
        return {
            "MASTER_ADDR": gang[0].host,
            "MASTER_PORT": str(gang[0].port),
            "RANK": str(position),
            "WORLD_SIZE": str(len(gang)),
            "LOCAL_RANK": str(beside.index(position)),
            "LOCAL_WORLD_SIZE": str(len(beside)),
        }
