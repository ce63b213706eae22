"""PySpark's `SparkFiles` and `TaskContext` in the process of a trial.

PySpark sets them in the Python worker, which is the slot's process. A trial is another process, and imports PySpark
only if the user's program does, so they are set when PySpark's modules have been imported there.
"""

from __future__ import annotations

import decimal
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

__all__ = ["ATTRIBUTES", "restore"]

ATTRIBUTES = ("stageId", "partitionId", "attemptNumber", "taskAttemptId", "localProperties", "cpus")  # of TaskContext
_MODULES = ("pyspark.core.files", "pyspark.files", "pyspark.taskcontext")


def restore(facts: Mapping[str, Any]) -> None:
    """Have PySpark's classes describe the slot's task, once they are imported.

    Args:
        facts: `files`, the absolute path of the directory with files that Spark has sent; `context`, the `ATTRIBUTES`
            of the task's context by name; `cpu_amount`, its text or None; `resources`, addresses by name; `barrier`,
            True in a barrier stage.
    """

    def on_import(module: ModuleType) -> None:
        if hasattr(module, "SparkFiles"):
            module.SparkFiles._root_directory, module.SparkFiles._is_running_on_worker = facts["files"], True
        if hasattr(module, "TaskContext"):
            module.TaskContext._setTaskContext(_context(module, facts))

    for name in _MODULES:
        if name in sys.modules:
            on_import(sys.modules[name])
    sys.meta_path.insert(0, _AfterImport(_MODULES, on_import))


def _context(module: Any, facts: Mapping[str, Any]) -> Any:
    kind = module.BarrierTaskContext if facts["barrier"] else module.TaskContext
    context = object.__new__(kind)
    for name, value in facts["context"].items():
        setattr(context, f"_{name}", value)
    if facts["cpu_amount"] is not None:
        context._cpuAmount = decimal.Decimal(facts["cpu_amount"])
    context._resources = {
        name: module.ResourceInformation(name, addresses) for name, addresses in facts["resources"].items()
    }
    if facts["barrier"]:
        kind._setTaskContext(context)
        addresses = facts["context"]["localProperties"].get("addresses", "")
        context.getTaskInfos = lambda: [module.BarrierTaskInfo(part.strip()) for part in addresses.split(",")]
        context.barrier = context.allGather = _refuse_barrier
    return context


def _refuse_barrier(*_: Any) -> NoReturn:
    raise RuntimeError(
        "barrier() and allGather() of Spark belong to the task that has started this trial; wait for other members of "
        "the trial with a collective operation of its framework, for example torch.distributed.barrier()"
    )


class _AfterImport(importlib.abc.MetaPathFinder):
    """Import hook that calls a function with each of some modules when it has been imported."""

    def __init__(self, names: Sequence[str], on_import: Callable[[ModuleType], None]) -> None:
        self._names, self._on_import = names, on_import

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:  # a loader of an archive loads other modules, too
                execute(module)
                if module.__name__ == fullname:
                    self._on_import(module)

            loader.exec_module = exec_module
        return spec
