"""`TF_CONFIG`, by which TensorFlow's strategies and servers know their cluster.

https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .._trial import Member
from . import Placed

__all__ = ["legacy_keras", "tf_config"]


def tf_config(gang: Sequence[Placed], position: int, evaluator_in_cluster: bool) -> dict[str, str]:
    """The variable for one member.

    Args:
        evaluator_in_cluster: whether the others are told of the evaluator; a coordinator that knows of it waits for a
            server that it never starts.
    """
    own = gang[position].member
    cluster: dict[str, list[str]] = {}
    for placed in gang:
        role = placed.member.role
        if role != "evaluator" or evaluator_in_cluster or own.role == "evaluator":
            cluster.setdefault(role, []).append(placed.address)
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": own.role, "index": own.index}})}


def legacy_keras(gang: Sequence[Member], given: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
    """`tf.keras` is Keras 2 for several members, where it is installed: Keras 3 cannot train under these strategies."""
    wanted = len(gang) > 1 and "tf_keras" in installed and "TF_USE_LEGACY_KERAS" not in given
    return {"TF_USE_LEGACY_KERAS": "1"} if wanted else {}
