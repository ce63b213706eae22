"""Companion: the process that delivers, shows and draws the runs of a driver, and ends with it.

`follow` starts it, or finds the one that is there. It delivers the journals of the driver's runs to MLflow and
TensorBoard, starts a TensorBoard program when somebody opens a run's page, and draws the figures of runs that have
ended while no other run goes on.
"""

from .client import FollowedRun
from .registry import follow

__all__ = ["FollowedRun", "follow"]
