"""Strategy for TensorFlow's MirroredStrategy (one worker) and MultiWorkerMirroredStrategy (several workers)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.types import Member
from . import Placed, Size
from ._tf_config import legacy_keras, tf_config

__all__ = ["MultiWorkerMirrored"]


class MultiWorkerMirrored:
    """Chief and workers that run the training function, and optionally an evaluator. The chief counts as a worker."""

    TITLE = "MirroredStrategy - Distributed Training"
    ALL_LISTEN = True
    preset = staticmethod(legacy_keras)

    @staticmethod
    def problems(size: Size) -> list[str]:
        problems = []
        if size.ps:
            problems.append(f"num_ps={size.ps}; parameter servers need strategy='parameter_server'")
        if size.every_member:
            problems.append("every_member=True; all members run train_fn anyway, leave it out")
        return problems

    @staticmethod
    def members(size: Size) -> list[Member]:
        assert size.workers is not None
        workers = [Member("worker", index) for index in range(size.workers - 1)]
        return [Member("chief", 0), *workers, *[Member("evaluator", 0)] * size.evaluator]

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        return tf_config(gang, position, evaluator_in_cluster=True) if len(gang) > 1 else {}
