"""The number of executors of a Spark session, of whichever kind."""

from __future__ import annotations

import contextlib
from typing import Any

from ..errors import SparkUnavailable
from ..executor.context import is_for_trials
from ._backend import Backend
from ._connect_backend import ConnectBackend
from ._connect_session import is_wanted
from ._spark_backend import SparkBackend

__all__ = ["executors_of"]


def executors_of(spark: Any = None) -> int:
    """Number of executors of a session or context; by default of the active session, or else of a new one.

    Raises:
        SparkUnavailable: Spark does not start, or this is a trial.
    """
    if is_for_trials():
        raise SparkUnavailable("a trial does not know the cluster; count its executors before, and pass the number on")
    kind: type[Backend] = ConnectBackend if is_wanted(spark) else SparkBackend
    if kind is SparkBackend:
        spark = _session_of(spark)
    with contextlib.closing(kind(spark)) as backend:
        return backend.cluster(None, None).executors()


def _session_of(spark: Any) -> Any:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    return SparkSession(spark) if isinstance(spark, SparkContext) else spark
