"""How a training function and hyperparameter values travel from the driver to a trial."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cloudpickle

from ..errors import NotSerializable

__all__ = ["REPORTER", "Values", "call_arguments", "deserialize", "own", "serialize"]

REPORTER = "reporter"  # the argument that every training function may have
_KEY = "$object"


class Values:
    """The wire form of hyperparameters: JSON where it is exact, otherwise a reference to a value that travelled before.

    A grid may hold classes, tuples or arrays; those go along with the training function, once.
    """

    def __init__(self, choices: Iterable[Any]) -> None:
        self.objects: list[Any] = []
        self._index: dict[int, int] = {}
        for value in choices:
            if not _is_exact_json(value) and id(value) not in self._index:
                self._index[id(value)] = len(self.objects)
                self.objects.append(value)

    def to_wire(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {k: {_KEY: self._index[id(v)]} if id(v) in self._index else _plain(v) for k, v in params.items()}

    @staticmethod
    def from_wire(params: Mapping[str, Any], objects: list[Any]) -> dict[str, Any]:
        return {k: objects[v[_KEY]] if isinstance(v, dict) and _KEY in v else v for k, v in params.items()}


def _plain(value: Any) -> Any:
    """With Python's numbers in place of NumPy's, which JSON does not know: an algorithm may well suggest such."""
    if type(value) is dict:
        return {k: _plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    is_scalar = getattr(value, "shape", None) == () and not isinstance(value, type)
    return value.item() if is_scalar and callable(getattr(value, "item", None)) else value


def own(params: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the values, so that a trial that changes what it was given changes nobody else's."""
    return {name: _copy(value) for name, value in params.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, (str, int, float, type(None))):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - there are things that cannot be copied, and each has errors of its own
        return value


def _is_exact_json(value: Any) -> bool:
    """Whether JSON gives back the same value with the same type."""
    if type(value) in (str, int, float, bool, type(None)):
        return True
    if type(value) is list:
        return all(map(_is_exact_json, value))
    if type(value) is dict:
        return _KEY not in value and all(type(k) is str and _is_exact_json(v) for k, v in value.items())
    return False


def serialize(fn: Callable[..., Any], objects: list[Any]) -> bytes:
    """The training function with everything that it refers to.

    Raises:
        NotSerializable: it cannot travel; the message names the variable at fault where one can be found.
    """
    try:
        return bytes(cloudpickle.dumps((fn, objects)))
    except Exception as error:
        culprit = _find_culprit(fn, objects)
        name = getattr(fn, "__qualname__", repr(fn))
        raise NotSerializable(
            f"{name}() cannot be sent to an executor: {culprit or error}. Create such objects inside the function, "
            "or pass what they are made from"
        ) from error


def _find_culprit(fn: Callable[..., Any], objects: list[Any]) -> str | None:
    fn = inspect.unwrap(fn)
    fn = getattr(fn, "__func__", fn)
    names: dict[str, Any] = {}
    code = getattr(fn, "__code__", None)
    if code is not None:
        names |= {f"the global variable {n!r}": fn.__globals__[n] for n in _global_names(code) if n in fn.__globals__}
        for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True):
            names[f"the variable {name!r} of the enclosing function"] = _cell(cell)
        parameters = list(inspect.signature(fn).parameters.values())
        names |= {f"the default of argument {p.name!r}": p.default for p in parameters if p.default is not p.empty}
    names |= {f"the hyperparameter value {value!r}": value for value in objects}
    for name, value in names.items():
        try:
            cloudpickle.dumps(value)
        except Exception as error:  # noqa: BLE001
            return f"{name} ({type(value).__module__}.{type(value).__qualname__}) cannot be pickled: {_line(error)}"
    return None


def _global_names(code: Any) -> list[str]:
    found = list(code.co_names)
    for constant in code.co_consts:
        if inspect.iscode(constant):
            found += _global_names(constant)
    return found


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def deserialize(payload: bytes) -> tuple[Callable[..., Any], list[Any]]:
    fn, objects = pickle.loads(payload)
    return fn, objects


def call_arguments(
    fn: Callable[..., Any], params: Mapping[str, Any], reporter: Any = None
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments for calling `fn` with hyperparameters by name.

    A parameter named `reporter` that is no hyperparameter gets the reporter.
    """
    code = getattr(fn, "__code__", None)
    if code is not None and not code.co_posonlyargcount:  # the usual case: the call itself checks the names
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return [], {REPORTER: reporter, **params} if REPORTER in taken else dict(params)
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
