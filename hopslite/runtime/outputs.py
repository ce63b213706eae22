"""From a training function's return value to a metric, recorded outputs and files."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from typing import Any

from .._trial import json_safe
from ..errors import ReturnValueError

__all__ = ["Outputs", "number", "read_outputs"]


class Outputs:
    """What a trial returned: `metric` (None when there is none), `values` by name, `files` to keep."""

    __slots__ = ("files", "metric", "values")

    def __init__(self, metric: float | None, values: dict[str, Any], files: dict[str, str]) -> None:
        self.metric, self.values, self.files = metric, values, files


def number(value: Any) -> float | int | None:
    """`value` as a Python number when it is a real number (numpy, 0-d arrays and tensors included), else None."""
    if value is None or isinstance(value, (bool, str, bytes, complex)):
        return None
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if getattr(value, "shape", ()) != () or type(value).__name__ in ("bool_", "bool"):
        return None
    for convert in (lambda v: v.item(), lambda v: v.numpy().item(), float):
        try:
            found = convert(value)
        except (AttributeError, TypeError, ValueError, OverflowError, RuntimeError):
            continue
        return number(found) if found is not value else None
    return None


def read_outputs(returned: Any, optimization_key: str | None, needs_metric: bool) -> Outputs:
    """What a training function returned.

    Args:
        returned: a number, which is the metric whatever its key, or a dict whose values are numbers, text, or names of
            files that it wrote.
        optimization_key: the key of the metric in a dict; with HopsML's default "metric", a dict with a single
            numeric value needs no key.
        needs_metric: searches need one; `launch` takes anything.

    Raises:
        ReturnValueError: no metric can be taken from it; the message names what was returned and what to return.
    """
    values = dict(returned) if isinstance(returned, dict) else {_name(returned, optimization_key): returned}
    values = {str(name): value for name, value in values.items()}
    numbers = {name: found for name, value in values.items() if (found := number(value)) is not None}
    metric = _metric(returned, values, numbers, optimization_key, needs_metric)
    files = {name: os.fspath(v) for name, v in values.items() if isinstance(v, (str, os.PathLike)) and _is_file(v)}
    plain = {n: numbers[n] if n in numbers else json_safe(_unwrap(v)) for n, v in values.items()}
    return Outputs(metric, plain, files)


def _name(returned: Any, key: str | None) -> str:
    """What a value that is no dict is recorded as: a number by the metric's name, all else as HopsML did."""
    return key if key is not None and number(returned) is not None else "metric"


def _metric(
    returned: Any, values: dict[str, Any], numbers: dict[str, Any], key: str | None, needs_metric: bool
) -> float | None:
    if key is not None and key in numbers:
        return float(numbers[key])
    if not needs_metric:
        if key is not None and isinstance(returned, dict):
            raise ReturnValueError(_missing(values, numbers, key))
        return float(numbers["metric"]) if key is None and values.keys() == numbers.keys() == {"metric"} else None
    if not isinstance(returned, dict):
        raise ReturnValueError(
            f"the training function returned {_shown(returned)}; return a number, or a dict with a number in it"
        )
    if not returned:
        raise ReturnValueError("the training function returned an empty dict; put at least the metric into it")
    if key in (None, "metric") and "metric" not in values and len(numbers) == 1:
        return float(next(iter(numbers.values())))
    raise ReturnValueError(_missing(values, numbers, key))


def _missing(values: dict[str, Any], numbers: dict[str, Any], key: str | None) -> str:
    if key in values:
        return f"the value of {key!r} is {_shown(values[key])}, not a number"
    found = ", ".join(map(repr, numbers)) or "none"
    return (
        f"no key {key!r} among the returned {', '.join(map(repr, values))}; the numeric ones are: {found}. "
        "Say which one to optimise with optimization_key= (metric_key= for launch)"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:80]}{'…' if len(text) > 80 else ''}" if value is not None else "None"


def _unwrap(value: Any) -> Any:
    """Arrays of frameworks as nested lists."""
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
    except (OSError, ValueError):  # a long text, or one with a zero byte, is no file name
        return False


def keep_files(outputs: Outputs, directory: str, recorded_as: Callable[[str], str]) -> list[str]:
    """Copy returned files into the trial's directory; their values become where they are. The names are returned."""
    taken: set[str] = set()
    for name, path in outputs.files.items():
        base = target = os.path.basename(path)
        inside = os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory)
        stem, extension = os.path.splitext(base)
        count = 1
        while target in taken or (not inside and os.path.exists(os.path.join(directory, target))):
            count += 1
            target = f"{stem}-{count}{extension}"
        taken.add(target)
        if not inside:
            shutil.copyfile(path, os.path.join(directory, target))
        outputs.values[name] = recorded_as(target)
    return sorted(taken)


def check_finite(metric: float | None, optimization_key: str | None) -> str | None:
    """Why a metric cannot be compared, or None."""
    if metric is None or math.isfinite(metric):
        return None
    return f"the metric {optimization_key or 'metric'!r} is {metric}, which cannot be compared"


def write_json(path: str, value: Any) -> None:
    write_text(path, json.dumps(value, default=json_safe))


def write_text(path: str, text: str) -> None:
    """Write a small file at once, under a temporary name first."""
    temporary = f"{path}.tmp"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        data = text.encode()
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)
    os.replace(temporary, path)
