"""Broadcast variables of Spark that a training function refers to.

PySpark pickles such a variable as its number, and finds the number again only in the Python worker of a task whose own
function refers to the variable. So a slot's task refers to those of the training function, and tells the processes
that it starts where the values are: Spark has written each to a local file. The parent process of trials loads them,
once per slot, and trials share its memory.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import pickle
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..runs.function_fingerprint import is_installed

__all__ = ["broadcast_environment", "is_broadcast", "load_values", "number_of", "paths_in_task", "register"]

_VARIABLE = "HOPSLITE_BROADCASTS"  # JSON: paths by number
_MODULES = ("pyspark.core.broadcast", "pyspark.broadcast")  # from 4.0 on, and before


def is_broadcast(value: Any) -> bool:
    """True for a broadcast variable of Spark."""
    return type(value).__name__ == "Broadcast" and type(value).__module__ in _MODULES


def number_of(broadcast: Any) -> int:
    """The number of a broadcast variable on the driver."""
    return int(broadcast._jbroadcast.id())


def paths_in_task(broadcasts: Iterable[Any]) -> dict[str, str]:
    """The files of broadcast variables by number, in a Python worker of Spark.

    Raises:
        ValueError: there are none, since Spark encrypts what it writes to disks.
    """
    wanted = {id(broadcast): broadcast for broadcast in broadcasts}
    if not wanted:
        return {}
    registry = sys.modules[type(next(iter(wanted.values()))).__module__]._broadcastRegistry
    known = {str(number): broadcast for number, broadcast in registry.items() if id(broadcast) in wanted}
    if not all(hasattr(broadcast, "_path") for broadcast in known.values()):
        raise ValueError(
            "broadcast variables do not reach trials with spark.io.encryption.enabled; write the data to a file and "
            "name that with inputs=, or run without isolation (isolation='none')"
        )
    return {number: broadcast._path for number, broadcast in known.items()}


def broadcast_environment(paths: Mapping[str, str]) -> dict[str, str]:
    """The environment variable by which processes know the files of broadcast variables."""
    return {_VARIABLE: json.dumps(dict(paths))} if paths else {}


def register() -> list[Any]:
    """Have PySpark know the broadcast variables that the environment names; values are loaded when they are used.

    Returns:
        The variables.
    """
    paths: dict[str, str] = json.loads(os.environ.get(_VARIABLE) or "{}")
    if not paths:
        return []
    module = _module()
    return [module._broadcastRegistry.setdefault(int(n), module.Broadcast(path=path)) for n, path in paths.items()]


def load_values() -> None:
    """Register broadcast variables and load their values, for the processes that are forked from this one.

    A value with classes of the user's own is left to the trial, which has them.
    """
    for broadcast in register():
        with contextlib.suppress(Exception), open(broadcast._path, "rb", 1 << 20) as file:
            broadcast._value = _InstalledUnpickler(file).load()  # a failure meets the trial that uses it


def _module() -> Any:
    for name in _MODULES:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    raise ModuleNotFoundError("pyspark is not installed here, and the training function uses a broadcast variable")


class _InstalledUnpickler(pickle.Unpickler):
    """Unpickler that knows only classes of installed packages."""

    def find_class(self, module: str, name: str) -> Any:
        top = sys.modules.get(module.partition(".")[0])
        spec = getattr(top, "__spec__", None) or importlib.util.find_spec(module.partition(".")[0])
        origin = getattr(spec, "origin", None)
        if spec is None or not (origin in ("built-in", "frozen") or is_installed(origin or "")):
            raise pickle.UnpicklingError(f"{module} belongs to the program")
        return super().find_class(module, name)
