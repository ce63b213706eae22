"""Strategy for TensorFlow's ParameterServerStrategy: a coordinating chief, workers, and servers that keep variables."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.types import Member
from . import Placed, Size
from ._tf_config import legacy_keras, tf_config

__all__ = ["ParameterServer"]


class ParameterServer:
    """TensorFlow 2's coordinator model or, with `every_member`, TensorFlow 1's model where all members train.

    In the coordinator model the chief alone runs the training function, in addition to the `workers`; with
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
        servers = [Member("ps", index, gpu=False, server=server) for index in range(size.ps)]
        return [Member("chief", 0, gpu=not server), *workers, *servers, *[Member("evaluator", 0)] * size.evaluator]

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        coordinated = any(placed.member.server for placed in gang)
        variables = tf_config(gang, position, evaluator_in_cluster=not coordinated)
        if gang[position].member.server:
            variables["GRPC_FAIL_FAST"] = "use_caller"  # calls to a server that is still starting wait for it
        return variables

    @staticmethod
    def serve() -> None:
        """Run TensorFlow's server in this member until the process is ended."""
        import tensorflow as tf

        cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        server = tf.distribute.Server(
            cluster.cluster_spec(), job_name=cluster.task_type, task_index=cluster.task_id, protocol="grpc", start=True
        )
        server.join()
