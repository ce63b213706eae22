"""GPUs of a trial, for training functions."""

from __future__ import annotations

from .executor.system_metrics import visible_gpus

__all__ = ["get_num_gpus"]


def get_num_gpus() -> int:
    """Number of GPUs that are assigned to this trial, from `CUDA_VISIBLE_DEVICES`.

    Outside of a trial, or where Spark assigns none, those that the NVIDIA driver reports; 0 without a driver.
    """
    return len(visible_gpus())
