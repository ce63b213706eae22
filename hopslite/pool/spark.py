"""Pool that runs trials on Spark executors: each on a slot of its own, or distributed over a group of slots."""

from __future__ import annotations

from ._spark_gangs import SparkGangs
from ._spark_slots import SparkSlots

__all__ = ["Spark"]


class Spark(SparkSlots):
    """Pool with one slot per trial, and its variant for distributed trials."""

    GANGS = SparkGangs
