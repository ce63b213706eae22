"""Serialization of a training function and of hyperparameter values between driver and trials."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.plain_values import is_time
from ..errors import NotSerializable
from . import program
from .captured_variables import variables

__all__ = ["REPORTER", "Values", "call_arguments", "copied_values", "serialize"]

REPORTER = "reporter"  # the argument that every training function may have
_KEY = "$object"


class Values:
    """The wire form of hyperparameters: JSON if that is exact, otherwise a reference to a serialized object.

    A grid may hold classes, tuples or arrays; those are serialized once, with the training function.
    """

    def __init__(self, choices: Iterable[Any]) -> None:
        self.objects: list[Any] = []
        self._index: dict[int, int] = {}
        for value in choices:
            if not _is_exact_json(value) and id(value) not in self._index:
                self._index[id(value)] = len(self.objects)
                self.objects.append(value)

    def to_wire(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {k: {_KEY: self._index[id(v)]} if id(v) in self._index else _to_plain(v) for k, v in params.items()}

    @staticmethod
    def from_wire(params: Mapping[str, Any], objects: list[Any]) -> dict[str, Any]:
        return {k: objects[v[_KEY]] if isinstance(v, dict) and _KEY in v else v for k, v in params.items()}


def _to_plain(value: Any) -> Any:
    """A value with Python's numbers instead of NumPy's, which JSON does not support but algorithms may suggest."""
    if type(value) is dict:
        return {k: _to_plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_to_plain, value))
    is_scalar = getattr(value, "shape", None) == () and not isinstance(value, type)
    return value.item() if is_scalar and callable(getattr(value, "item", None)) and not is_time(value) else value


def copied_values(params: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the values, so that a trial that modifies them does not affect others."""
    return {name: _copy(value) for name, value in params.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, (str, int, float, type(None))):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - some objects cannot be copied, and their types raise different errors
        return value


def _is_exact_json(value: Any) -> bool:
    """True if JSON returns the same value with the same type."""
    if type(value) in (str, int, float, bool, type(None)):
        return True
    if type(value) is list:
        return all(map(_is_exact_json, value))
    if type(value) is dict:
        return _KEY not in value and all(type(k) is str and _is_exact_json(v) for k, v in value.items())
    return False


def serialize(fn: Callable[..., Any], objects: list[Any]) -> bytes:
    """Serialize the training function with everything that it refers to.

    Raises:
        NotSerializable: it cannot be serialized; the message names the cause, if it is a single variable.
    """
    try:
        return program.serialize(fn, objects)
    except Exception as error:
        culprit = _find_culprit(fn, objects)
        name = getattr(fn, "__qualname__", repr(fn))
        raise NotSerializable(
            f"{name}() cannot be sent to an executor: {culprit or error}. Create such objects inside the function, "
            "or pass what they are made from"
        ) from error


def _find_culprit(fn: Callable[..., Any], objects: list[Any]) -> str | None:
    """Description of the variable that cannot be pickled, of the function or of a function that it calls."""
    for name, value in variables(fn, objects):
        try:
            program.serialize(_no_op, [value])
        except Exception as error:  # noqa: BLE001
            return (
                f"{name} ({type(value).__module__}.{type(value).__qualname__}) cannot be pickled: {_first_line(error)}"
            )
    return None


def _no_op() -> None:
    """A function that can be pickled, for checking a value."""


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def call_arguments(
    fn: Callable[..., Any], params: Mapping[str, Any], reporter: Any = None
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments for calling `fn` with hyperparameters by name.

    A parameter named `reporter` that is no hyperparameter gets the reporter.
    """
    code = getattr(fn, "__code__", None)
    has_signature = hasattr(fn, "__wrapped__") or hasattr(fn, "__signature__")  # of its own, as decorators give it
    if code is not None and not code.co_posonlyargcount and not has_signature:  # the call itself checks the names
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return [], {REPORTER: reporter, **params} if REPORTER in names else dict(params)
    try:
        signature = inspect.signature(fn)
    except ValueError:  # some builtins have none
        return [], dict(params)
    if REPORTER in signature.parameters:
        params = {REPORTER: reporter, **params}
    by_position = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY]
    args = [params[name] for name in by_position if name in params]
    kwargs = {name: value for name, value in params.items() if name not in by_position}
    return args, kwargs
