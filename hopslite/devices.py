"""For training functions: which GPUs there are."""

from __future__ import annotations

from .runtime.system import visible_gpus

__all__ = ["get_num_gpus"]


def get_num_gpus() -> int:
    """How many GPUs this trial may use: those that Spark assigned to it, as `CUDA_VISIBLE_DEVICES` says.

    Outside of a trial, or where Spark assigns none, those that the NVIDIA driver reports; 0 without a driver.
    """
    return len(visible_gpus())
