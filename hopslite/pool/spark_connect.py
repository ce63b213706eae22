"""Pool that runs trials on Spark executors over Spark Connect, without a SparkContext."""

from __future__ import annotations

from ._connect_backend import ConnectBackend
from ._spark_gangs import SparkGangs
from ._spark_slots import SparkSlots

__all__ = ["SparkConnect"]


class _ConnectGangs(SparkGangs):
    """The variant for distributed trials."""

    BACKEND = ConnectBackend


class SparkConnect(SparkSlots):
    """Pool with one slot per trial; each slot is a query of a single long-lived task."""

    BACKEND = ConnectBackend
    SETTINGS = ("channel_host", "channel")
    GANGS = _ConnectGangs
