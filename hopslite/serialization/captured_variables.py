"""Checks of the variables that a training function captures: Spark objects are refused, large variables reported."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle

from ..errors import NotSerializable
from .broadcasts import is_broadcast

__all__ = ["large_variables", "refuse_spark_objects", "variables"]

MB = 1 << 20
LARGE = 50 * MB
SHOWN = 3

_DATA = "write what trials need to a file and name that with inputs="
_ADVICE = {
    "DataFrame": f"take its rows with toPandas() before the call, or {_DATA}",
    "RDD": f"take its elements with collect() before the call, or {_DATA}",
    "Accumulator": "it would stay 0; return the number from the function, or report it with hopslite.report",
    "SparkSession": "there is none in a trial: do before the call what needs it and pass the result (toPandas()), "
    f"or {_DATA}",
}
_ADVICE |= {"SparkContext": _ADVICE["SparkSession"], "SQLContext": _ADVICE["SparkSession"]}
_OTHER = "it lives in the driver's Spark: make plain values of it before the call"
_PACKAGES = ("pyspark.", "py4j.")
_PLAIN = ("pyspark.ml.linalg", "pyspark.mllib.linalg", "pyspark.sql.types", "pyspark.errors", "pyspark.cloudpickle")


def refuse_spark_objects(fn: Callable[..., Any], objects: list[Any]) -> None:
    """Refuse a function that captures a session, a DataFrame or another object of the driver's Spark.

    Raises:
        NotSerializable: the message names the variable and an alternative.
    """
    for name, value in variables(fn, objects):
        culprit = _spark_object(value)
        if culprit is None:
            continue
        kind = type(culprit).__name__
        advice = next((_ADVICE[base.__name__] for base in type(culprit).__mro__ if base.__name__ in _ADVICE), _OTHER)
        relation = f"{'is' if culprit is value else 'holds'} {'an' if kind[0] in 'AEIOU' else 'a'}"
        raise NotSerializable(
            f"{_display_name(fn)} cannot be sent to an executor: {name} {relation} {kind} of Spark; {advice}"
        )


def large_variables(fn: Callable[..., Any], objects: list[Any], size: int) -> str | None:
    """A line that names the largest variables of a large function; None if the function is not large.

    Args:
        size: of the serialized program, in bytes.
    """
    if size <= LARGE:
        return None
    sizes = [(_size(value), name, type(value)) for name, value in variables(fn, objects)]
    sizes = sorted((item for item in sizes if item[0] > MB), key=lambda item: -item[0])[:SHOWN]
    parts = ", ".join(f"{name} ({kind.__module__}.{kind.__qualname__}) {n // MB} MB" for n, name, kind in sizes)
    return (
        f"{_display_name(fn)} sends {size // MB} MB to every slot{f': {parts}' if parts else ''}. Keep such data in a "
        "file and name that with inputs=, which each machine fetches once, or in a broadcast variable of Spark"
    )


def _display_name(fn: Callable[..., Any]) -> str:
    return f"{getattr(fn, '__qualname__', type(fn).__qualname__)}()"


def variables(fn: Any, objects: list[Any]) -> Iterator[tuple[str, Any]]:
    """All values that a function refers to, each with a description for its author."""
    for index, value in enumerate(objects):
        yield f"hyperparameter value {index + 1} of those that travel with the function", value
    yield from _variables_of(fn, "", set())


def _variables_of(fn: Any, owner: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The variables of a function, and of the functions that are pickled with it."""
    if id(fn) in seen:
        return
    seen.add(id(fn))
    if isinstance(fn, functools.partial):
        for value in (*fn.args, *fn.keywords.values()):
            yield f"an argument of functools.partial{owner}", value
        yield from _variables_of(fn.func, owner, seen)
        return
    if inspect.ismethod(fn):
        yield f"the object whose method {fn.__name__}() is", fn.__self__
    fn = inspect.unwrap(getattr(fn, "__func__", fn))
    code = getattr(fn, "__code__", None)
    if code is None:
        if hasattr(fn, "__dict__") and not isinstance(fn, type):
            for name, value in vars(fn).items():
                yield f"the attribute {name!r} of {type(fn).__name__}{owner}", value
        return
    for name, value in _referenced_variables(fn, code):
        if _is_pickled_by_value(value):
            yield from _variables_of(value, f" of {value.__qualname__}()", seen)
        else:
            yield name + owner, value


def _referenced_variables(fn: Any, code: Any) -> Iterator[tuple[str, Any]]:
    for name in dict.fromkeys(_global_names(code)):
        if name in fn.__globals__:
            yield f"the global variable {name!r}", fn.__globals__[name]
    for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield f"the variable {name!r} of the enclosing function", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name, value in inspect.signature(fn).parameters.items():
        if value.default is not value.empty:
            yield f"the default of argument {name!r}", value.default


def _is_pickled_by_value(value: Any) -> bool:
    return inspect.isfunction(value) and (value.__module__ == "__main__" or "<" in value.__qualname__)


def _global_names(code: Any) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _global_names(constant)


def _is_spark_object(value: Any) -> bool:
    if is_broadcast(value):
        return False
    module = str(getattr(type(value), "__module__", ""))
    return module.startswith(_PACKAGES) and not module.startswith(_PLAIN)


class _SparkObjectFinder(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickler without output that stops at the first Spark object, however deep."""

    first: Any = None

    def reducer_override(self, obj: Any) -> Any:
        if _is_spark_object(obj):
            self.first = obj
            raise pickle.PicklingError("it is Spark's")
        return super().reducer_override(obj)


def _spark_object(value: Any) -> Any:
    """The first Spark object in a value; None when there is none."""
    if inspect.ismodule(value) or isinstance(value, type):
        return None
    search = _SparkObjectFinder(_ByteCounter())
    with contextlib.suppress(Exception):  # other reasons why it cannot be pickled are reported elsewhere
        search.dump(value)
    return search.first


class _ByteCounter(io.RawIOBase):
    """File that counts bytes and discards them."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.size += count
        return count


def _size(value: Any) -> int:
    """Size of a serialized value in bytes; 0 if it is pickled by name."""
    counter = _ByteCounter()
    try:
        cloudpickle.Pickler(counter).dump(value)
    except Exception:  # noqa: BLE001 - a size that is not known is not shown
        return 0
    return counter.size
