"""The variable `TF_CONFIG`, which describes the cluster to TensorFlow's strategies and servers.

https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ..core.types import Member
from . import Placed

__all__ = ["legacy_keras", "tf_config"]


def tf_config(gang: Sequence[Placed], position: int, evaluator_in_cluster: bool) -> dict[str, str]:
    """The variable for one member.

    Args:
        evaluator_in_cluster: True if the other members' variable contains the evaluator; a coordinator would wait for
            the evaluator's server, which never starts.
    """
    own = gang[position].member
    cluster: dict[str, list[str]] = {}
    for placed in gang:
        role = placed.member.role
        if role != "evaluator" or evaluator_in_cluster or own.role == "evaluator":
            cluster.setdefault(role, []).append(placed.address)
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": own.role, "index": own.index}})}


def legacy_keras(gang: Sequence[Member], environ: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
    """Select Keras 2 as `tf.keras` for several members: Keras 3 cannot train under these strategies."""
    is_needed = len(gang) > 1 and "tf_keras" in installed and "TF_USE_LEGACY_KERAS" not in environ
    return {"TF_USE_LEGACY_KERAS": "1"} if is_needed else {}
