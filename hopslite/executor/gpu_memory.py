"""Memory of a GPU that several trials use together."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["memory_growth"]

# TensorFlow takes all of a GPU's memory at its start, and JAX three quarters. PyTorch takes what it needs.
TENSORFLOW = "TF_FORCE_GPU_ALLOW_GROWTH"
JAX = "XLA_PYTHON_CLIENT_PREALLOCATE"
JAX_MEMORY = (JAX, "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_ALLOCATOR")


def memory_growth(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with which frameworks take memory of a GPU as they need it.

    Those of a framework whose memory the environment sets already are left out.

    >>> memory_growth({"TF_FORCE_GPU_ALLOW_GROWTH": "false"})
    {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
    """
    variables = {} if TENSORFLOW in environment else {TENSORFLOW: "true"}
    return variables if any(name in environment for name in JAX_MEMORY) else {**variables, JAX: "false"}
