"""Functions of Spark Connect queries: the slot, and the probe of the executors' Python.

They are pickled by value, as executors may lack hopslite; so they import all that they use themselves.
"""

from __future__ import annotations

import builtins
import functools
import pickle
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ._backend import SlotTask

__all__ = ["BatchFunction", "gpu_function", "probe_function", "slot_function"]

BatchFunction = Callable[[Any], Iterator[Any]]  # from record batches to record batches with one column of texts


def slot_function(task: SlotTask, ranks: Sequence[int], archive: str) -> BatchFunction:
    """The function of a query over `range(len(ranks))` whose tasks run slots, and tell why they could not.

    Args:
        archive: name of the archive with hopslite among the session's Python files; empty if executors have it.
    """
    return functools.partial(_by_value(_serve), program=pickle.dumps(task), ranks=tuple(ranks), archive=archive)


def probe_function(address: tuple[str, int] | None, seconds: float = 0.0) -> BatchFunction:
    """The function of a query that describes an executor and its Python as JSON.

    Args:
        address: where a connection to the driver is tried.
        seconds: for which each task stays, so that others run elsewhere.
    """
    return functools.partial(_by_value(_probe), address=address, seconds=seconds)


def gpu_function() -> BatchFunction:
    """The function of a query that lists the GPUs of an executor's machine as JSON."""
    return _by_value(_list_gpus)


def _by_value(function: BatchFunction) -> Callable[..., Iterator[Any]]:
    """A copy that cloudpickle takes for one of the program's `__main__`, and pickles with its code."""
    copy = types.FunctionType(function.__code__, {"__name__": "__main__", "__builtins__": builtins}, function.__name__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = "__main__"
    return copy


def _serve(batches: Any, *, program: bytes = b"", ranks: tuple[int, ...] = (), archive: str = "") -> Iterator[Any]:
    import os
    import pickle
    import shutil
    import sys
    import tempfile
    import zipfile

    import pyarrow

    for index, entry in enumerate(sys.path):
        if archive and os.path.basename(entry) == archive:  # as files, which the processes of trials are started from
            folder = f"{entry}.files"
            if not os.path.isdir(folder):
                unpacked = tempfile.mkdtemp(dir=os.path.dirname(entry))
                with zipfile.ZipFile(entry) as file:
                    file.extractall(unpacked)
                try:
                    os.rename(unpacked, folder)
                except OSError:  # another slot was faster
                    shutil.rmtree(unpacked, ignore_errors=True)
            sys.path[index] = folder
    numbers = (ranks[number] for batch in batches for number in batch.column(0).to_pylist())
    for problem in pickle.loads(program)(numbers):
        yield pyarrow.RecordBatch.from_pydict({"answer": [problem]})


def _list_gpus(batches: Any) -> Iterator[Any]:
    import json

    import pyarrow

    from hopslite.executor.system_metrics import visible_gpus

    list(batches)
    yield pyarrow.RecordBatch.from_pydict({"answer": [json.dumps(visible_gpus())]})


def _probe(batches: Any, *, address: tuple[str, int] | None = None, seconds: float = 0.0) -> Iterator[Any]:
    import json
    import os
    import platform
    import socket
    import sys
    import time

    import pyarrow

    rows = sum(batch.num_rows for batch in batches)  # read to the end, so that Spark uses this process again
    facts = {
        "rows": rows,
        "host": socket.gethostname(),
        "executable": sys.executable,
        "python": platform.python_version(),
        "executor": os.environ.get("SPARK_EXECUTOR_DIRS", ""),
    }
    try:
        import hopslite.pool._spark_task

        facts["hopslite"] = hopslite.__version__
    except Exception as error:  # noqa: BLE001 - whatever it is, trials cannot run
        facts["problem"] = " ".join(str(error).split())
    time.sleep(seconds)
    if address is not None:
        try:
            socket.create_connection((address[0], address[1]), 3.0).close()
        except OSError as error:
            facts["route"] = str(error.strerror or error)
    yield pyarrow.RecordBatch.from_pydict({"answer": [json.dumps(facts)]})
