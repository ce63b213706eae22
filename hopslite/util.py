"""Functions of HopsML's `hops.util` that do not need the Hopsworks server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import InvalidArguments
from .pool._executor_count import executors_of
from .predecessors import absent_name

__all__ = ["get_job_name", "grid_params", "num_executors", "num_param_servers"]


def num_executors(spark: Any = None) -> int:
    """The number of executors that the Spark application has or will have; in local mode 1, the driver itself.

    With dynamic allocation it is `spark.dynamicAllocation.maxExecutors`, where that is set.

    Args:
        spark: a SparkSession or a SparkContext; default: the active session, or else a new `local[*]` one.

    Raises:
        SparkUnavailable: there is no Spark, or this is a trial.
    """
    return executors_of(spark)


def num_param_servers() -> int:
    """The number of parameter servers that the variable `NUM_TF_PS` asks for, as on Hopsworks; without it 0.

    hopslite does not read the variable: pass it on with `parameter_server(train, num_ps=num_param_servers())`.

    Raises:
        InvalidArguments: the variable is not a whole number of at least 0.
    """
    number = os.environ.get("NUM_TF_PS", "").strip() or "0"
    if not number.isdecimal():
        raise InvalidArguments("num_param_servers()", [f"NUM_TF_PS={number!r}; set it to a whole number"])
    return int(number)


def grid_params(dict: Mapping[str, Any]) -> dict[str, list[Any]]:  # noqa: A002 - HopsML's name of it
    """Every combination of the listed values, as columns for `launch`'s `args_dict`.

    >>> grid_params({"lr": [0.1, 0.01], "depth": [1, 2]})
    {'lr': [0.1, 0.1, 0.01, 0.01], 'depth': [1, 2, 1, 2]}

    Args:
        dict: a list of values per argument.

    Raises:
        InvalidArguments: a value is not a list, or is empty.
    """
    columns = {name: _values(values) for name, values in dict.items()}
    problems = [f"{name} is {dict[name]!r}; give a list of values" for name, values in columns.items() if not values]
    if problems:
        raise InvalidArguments("grid_params()", problems)
    rows = list(itertools.product(*columns.values()))
    return {name: [row[index] for row in rows] for index, name in enumerate(columns)}


def _values(values: Any) -> list[Any]:
    """The items of a list or another iterable; empty for text and for objects that are not iterable."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping)) else []


def get_job_name() -> str | None:
    """The name of the Hopsworks job that runs this program, from the variable `HOPSWORKS_JOB_NAME`; elsewhere None."""
    return os.environ.get("HOPSWORKS_JOB_NAME")


if not TYPE_CHECKING:  # type checkers are to know the names that are there

    def __getattr__(name: str) -> Any:
        return absent_name(__name__, name)
