"""TensorFlow's ParameterServerStrategy: a chief that coordinates, workers that compute, servers that keep variables."""

from __future__ import annotations

from collections.abc import Sequence

from .._trial import Member
from . import Placed, Size
from ._tf_config import legacy_keras, tf_config

__all__ = ["ParameterServer"]


class ParameterServer:
    """TensorFlow 2's coordinator model; with `every_member` all run the training function, as with TensorFlow 1.

    In the coordinator model the chief alone runs the training function, and `workers` come on top of it; with
    `every_member` it is one of the `workers`, as in HopsML. A coordinator computes nothing and takes no GPU.
    """

    TITLE = "ParameterServerStrategy - Distributed Training"
    ALL_LISTEN = False
    preset = staticmethod(legacy_keras)

    @staticmethod
    def problems(size: Size) -> list[str]:
        return [] if size.ps else ["num_ps=0; give at least 1 parameter server"]

    @staticmethod
    def members(size: Size) -> list[Member]:
        assert size.workers is not None
        server = not size.every_member
        workers = [Member("worker", index, server=server) for index in range(size.workers - size.every_member)]
        keepers = [Member("ps", index, gpu=False, server=server) for index in range(size.ps)]
        return [Member("chief", 0, gpu=not server), *workers, *keepers, *[Member("evaluator", 0)] * size.evaluator]

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        coordinated = any(placed.member.server for placed in gang)
        variables = tf_config(gang, position, evaluator_in_cluster=not coordinated)
        if gang[position].member.server:
            variables["GRPC_FAIL_FAST"] = "use_caller"  # calls to a server that is still starting wait for it
        return variables

    @staticmethod
    def serve() -> None:
        """What members do that run a server: TensorFlow's, until the chief has finished and they are ended."""
        import tensorflow as tf

        cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        server = tf.distribute.Server(
            cluster.cluster_spec(), job_name=cluster.task_type, task_index=cluster.task_id, protocol="grpc", start=True
        )
        server.join()
