"""Conversion of a training function's return value to a metric, recorded outputs and files."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..core.plain_values import is_time
from ..core.types import json_safe
from ..errors import ReturnValueError
from ..storage.fs.local_files import put_local

__all__ = ["Outputs", "read_outputs", "to_number"]


class Outputs:
    """Outputs of a trial: `metric` (None when there is none), `values` by name, `files` to be kept by name.

    `metrics` are those of a run that optimises several.
    """

    __slots__ = ("files", "kept", "metric", "metrics", "values")

    def __init__(
        self,
        metric: float | None,
        values: dict[str, Any],
        files: dict[str, str],
        metrics: dict[str, float] | None = None,
    ) -> None:
        self.metric, self.values, self.files, self.metrics = metric, values, files, metrics
        self.kept: set[str] = set()  # the names of files that have been copied to the trial's directory


def to_number(value: Any) -> float | int | None:
    """A real number (also of NumPy, 0-d arrays and tensors) as a Python number; None for other values."""
    if value is None or isinstance(value, (bool, str, bytes, complex)) or is_time(value):
        return None
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if getattr(value, "shape", ()) != () or type(value).__name__ in ("bool_", "bool"):
        return None
    for convert in (lambda v: v.item(), lambda v: v.numpy().item(), float):
        try:
            converted = convert(value)
        except (AttributeError, TypeError, ValueError, OverflowError, RuntimeError):
            continue
        return to_number(converted) if converted is not value else None
    return None


def read_outputs(
    returned: Any, optimization_key: str | None, needs_metric: bool, objectives: tuple[str, ...] = ()
) -> Outputs:
    """Outputs from the return value of a training function.

    Args:
        returned: a number, which is the metric whatever its key, or a dict with numbers, text, or names of files that
            the
            function wrote.
        optimization_key: the key of the metric in a dict; with HopsML's default "metric", a dict with a single
            numeric value needs no key.
        needs_metric: searches need one; `launch` takes anything.
        objectives: the names of several metrics, all of which are in the dict; or a tuple has their values in this
            order.

    Raises:
        ReturnValueError: it contains no metric; the message names the returned value and what to return instead.
    """
    if objectives:
        returned = _by_name(returned, objectives)
    values = dict(returned) if isinstance(returned, dict) else {_default_name(returned, optimization_key): returned}
    values = {str(name): value for name, value in values.items()}
    numbers = {name: converted for name, value in values.items() if (converted := to_number(value)) is not None}
    metric = None if objectives else _metric(returned, values, numbers, optimization_key, needs_metric)
    metrics = {name: float(numbers[name]) for name in objectives} if objectives else None
    files = {name: os.fspath(v) for name, v in values.items() if isinstance(v, (str, os.PathLike)) and _is_file(v)}
    plain = {n: numbers[n] if n in numbers else json_safe(_to_numpy(v)) for n, v in values.items()}
    return Outputs(metric, plain, files, metrics)


def _by_name(returned: Any, objectives: tuple[str, ...]) -> dict[str, Any]:
    """A returned dict or tuple as a dict in which all objectives are numbers.

    Raises:
        ReturnValueError: it is something else, or one of them is missing or not a number.
    """
    wanted = ", ".join(map(repr, objectives))
    if isinstance(returned, (tuple, list)) and len(returned) == len(objectives):
        returned = dict(zip(objectives, returned, strict=True))
    if not isinstance(returned, dict):
        count = f" of {len(returned)} values" if isinstance(returned, (tuple, list)) else ""
        raise ReturnValueError(
            f"the training function returned {_describe(returned)}{count}; return a dict with {wanted}, or a tuple of "
            f"{len(objectives)} numbers in this order"
        )
    numbers = {str(name): number for name, value in returned.items() if (number := to_number(value)) is not None}
    wrong = [name for name in objectives if name not in numbers]
    if wrong:
        shown = ", ".join(
            f"{name!r} is {_describe(returned[name])}" if name in returned else f"{name!r} is missing" for name in wrong
        )
        raise ReturnValueError(
            f"the returned dict needs a number for each of {wanted}: {shown}; the numeric ones are: "
            f"{', '.join(map(repr, numbers)) or 'none'}",
            outputs=numbers,
        )
    return returned


def _default_name(returned: Any, key: str | None) -> str:
    """The name of a value that is not in a dict: the metric's name for a number, "metric" otherwise, as in HopsML."""
    return key if key is not None and to_number(returned) is not None else "metric"


def _metric(
    returned: Any, values: dict[str, Any], numbers: dict[str, Any], key: str | None, needs_metric: bool
) -> float | None:
    if key is not None and key in numbers:
        return float(numbers[key])
    if not needs_metric:
        if key is not None and isinstance(returned, dict):
            raise _missing_metric(values, numbers, key)
        return float(numbers["metric"]) if key is None and values.keys() == numbers.keys() == {"metric"} else None
    if not isinstance(returned, dict):
        raise ReturnValueError(
            f"the training function returned {_describe(returned)}; return a number, or a dict with a number in it"
        )
    if not returned:
        raise ReturnValueError(
            "the training function returned an empty dict; put at least the metric into it", outputs={}
        )
    if key in (None, "metric") and "metric" not in values and len(numbers) == 1:
        return float(next(iter(numbers.values())))
    raise _missing_metric(values, numbers, key)


def _missing_metric(values: dict[str, Any], numbers: dict[str, Any], key: str | None) -> ReturnValueError:
    """The error for a dict without the metric; `outputs` are the numbers in it, which are recorded."""
    numeric = ", ".join(map(repr, numbers)) or "none"
    if key in values:
        message = f"the value of {key!r} is {_describe(values[key])}, not a number; the numeric ones are: {numeric}"
        return ReturnValueError(message, outputs=numbers)
    by_lower = {name.lower(): name for name in numbers}
    matches = difflib.get_close_matches(str(key).lower(), by_lower, 1)
    hint = f"Did you mean {by_lower[matches[0]]!r}? " if matches else ""
    return ReturnValueError(
        f"no key {key!r} among the returned {', '.join(map(repr, values))}; the numeric ones are: {numeric}. "
        f"{hint}Say which one to optimise with optimization_key= (metric_key= for launch)",
        outputs=numbers,
    )


def _describe(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:80]}{'…' if len(text) > 80 else ''}" if value is not None else "None"


def _to_numpy(value: Any) -> Any:
    """Arrays of frameworks as NumPy arrays, if they can be converted."""
    numpy = getattr(value, "numpy", None)
    if callable(numpy):
        try:
            return numpy()
        except (TypeError, RuntimeError):
            return repr(value)
    return value


def _is_file(value: str | os.PathLike[str]) -> bool:
    try:
        return os.path.isfile(value)
    except (OSError, ValueError):  # a long text, or one with a zero byte, is not a file name
        return False


def keep_files(outputs: Outputs, directory: str, recorded_path: Callable[[str], str]) -> list[str]:
    """Copy returned files into the trial's directory; their values become their recorded paths.

    Returns their names. The names are returned.

    After a failure it can be called again, and continues with the remaining files.
    """
    stored_names = outputs.kept
    for name, path in list(outputs.files.items()):
        base = target = os.path.basename(path)
        inside = os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory)
        stem, extension = os.path.splitext(base)
        count = 1
        while target in stored_names or (not inside and os.path.exists(os.path.join(directory, target))):
            count += 1
            target = f"{stem}-{count}{extension}"
        if not inside:
            put_local(path, os.path.join(directory, target))
        stored_names.add(target)
        outputs.values[name] = recorded_path(target)
        del outputs.files[name]
    return sorted(stored_names)


def check_finite(outputs: Outputs, optimization_key: str | None) -> str | None:
    """The reason why a metric cannot be compared, or None."""
    checked: Mapping[str, float | None] = outputs.metrics or {optimization_key or "metric": outputs.metric}
    for name, metric in checked.items():
        if metric is not None and not math.isfinite(metric):
            return f"the metric {name!r} is {metric}, which cannot be compared"
    return None


def write_json(path: str, value: Any) -> None:
    write_text(path, json.dumps(value, default=json_safe))


def write_text(path: str, text: str) -> None:
    """Write a small file atomically, under a temporary name first."""
    temporary = f"{path}.tmp"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        data = text.encode()
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)
    os.replace(temporary, path)
