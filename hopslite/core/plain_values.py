"""Checks and conversions of callers' values: numbers and lists, also those of NumPy and pandas."""

from __future__ import annotations

import numbers
import operator
import sys
from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView
from typing import Any, TypeGuard

__all__ = ["is_bool", "is_integer", "is_number", "is_time", "listed", "plain", "short"]


def plain(value: Any) -> Any:
    """Python bool, int or float for a number of another type, such as NumPy's; other values unchanged."""
    if isinstance(value, (bool, int, float, str, type(None))) and not _is_of_numpy(value, "generic"):
        return value
    if is_time(value):  # whose item() is a number where nanoseconds count
        return value
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):  # also arrays of one element
        item = value.item()
        return item if isinstance(item, bool | int | float) else value
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        return float(value) if isinstance(value, numbers.Real) else value
    except OverflowError:  # a fraction too large for a float
        return value


def is_bool(value: Any) -> TypeGuard[bool]:
    """True for a bool, also one of NumPy's."""
    return isinstance(value, bool) or _is_of_numpy(value, "bool_")


def is_number(value: Any) -> bool:
    """True for a real number of any type; bools and times are not counted as numbers."""
    return isinstance(value, numbers.Real) and not is_time(value) and not is_bool(value)


def is_integer(value: Any, minimum: int | None = None) -> TypeGuard[int]:
    """True for an integer of any type, of at least `minimum`; bools and times are not counted as integers."""
    if not isinstance(value, numbers.Integral) or not is_number(value):
        return False
    return minimum is None or int(value) >= minimum


def is_time(value: Any) -> bool:
    """True for a NumPy datetime64 or timedelta64, which registers as an integer although it has a unit."""
    return _is_of_numpy(value, "datetime64") or _is_of_numpy(value, "timedelta64")


def _is_of_numpy(value: Any, kind: str) -> bool:
    """True for an instance of NumPy's class `kind`, without importing NumPy, which most trials do not need.

    While another thread imports NumPy its module lacks classes; there are no instances of those then.
    """
    numpy_class = getattr(sys.modules.get("numpy"), kind, None)
    return numpy_class is not None and isinstance(value, numpy_class)


def listed(values: Any) -> list[Any] | str:
    """List of the items of a sequence, dict view or one-dimensional array or series, or the reason against it."""
    if _is_of_numpy(values, "ndarray") and values.ndim == 1 and values.dtype.kind in "mM":
        return list(values)  # tolist breaks nanosecond times
    if isinstance(values, KeysView | ValuesView | ItemsView) or _is_sequence(values):
        return list(values)
    for convert in ("tolist", "to_list", "to_pylist"):  # NumPy and pandas, Polars, Arrow
        if _has_one_axis(values) and callable(getattr(values, convert, None)):
            return list(getattr(values, convert)())
    if isinstance(values, set | frozenset):
        return f"given the set {values!r}, which has no order; use a list, for instance sorted(…)"
    if isinstance(values, Iterator):
        return f"given {short(values)}, which can be read only once; use list(…)"
    if (
        not isinstance(values, dict | str | bytes)
        and hasattr(type(values), "__iter__")
        and getattr(values, "ndim", 1) == 1
    ):
        return f"given {short(values)} ({type(values).__name__}); use list(…)"
    kind = f"an array of {values.ndim} dimensions" if _is_of_numpy(values, "ndarray") else type(values).__name__
    return f"given {short(values)} ({kind}); write a list, even of one value: [{short(values)}]"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _has_one_axis(value: Any) -> bool:
    return not isinstance(value, type) and getattr(value, "ndim", 1) == 1


def short(value: Any) -> str:
    """`repr` of a value in at most 78 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers of thousands of digits
        return f"a value of type {type(value).__name__} that is too large to be shown"
    return text if len(text) <= 80 else text[:77] + "…"
