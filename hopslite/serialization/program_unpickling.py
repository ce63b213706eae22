"""Functions that reconstruct the parts of a pickled program in the process of a trial.

The dependencies of a class or a function (bases, metaclass, cells) are created first and empty, and get their state
afterwards, since all of these refer to each other in circles.
"""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import CellType, CodeType, FunctionType
from typing import Any, TypeVar

T = TypeVar("T")

MAIN_NAMES = ("__main__", "__mp_main__")


class Bound:
    """Placeholder for the value of a variable that the trial's `__main__` has by the same name."""


class Postponed:
    """The state of an object that was pickled without it; unpickling this sets it."""

    def __init__(self, set_state: Callable[[Any, Any], Any], obj: Any, state: Any) -> None:
        self._call = set_state, (obj, state)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def set_after_parts(obj: Any, state: tuple[list[Any], Callable[[Any, Any], Any], Any]) -> None:
    """Set an object's state; the postponed states of its parts come before it in the pickle."""
    _, set_state, own = state
    set_state(obj, own)


def set_cell(cell: CellType, contents: tuple[Any, ...]) -> None:
    for value in contents:  # none where the variable is not assigned yet
        cell.cell_contents = value


def all_members(kind: enum.EnumMeta) -> dict[str, Any]:
    """The members of an Enum by name, including aliases."""
    return dict(kind.__members__)


def class_state(kind: type, state: Any, set_state: Any) -> tuple[Any, Any]:
    """The state of a class and the function that sets it; for an Enum with the attributes of its members."""
    if not isinstance(kind, enum.EnumMeta):
        return state, set_state
    members: dict[str, Any] = {}
    for name, member in all_members(kind).items():
        state[0].pop(name, None)  # cloudpickle has aliases there
        members[name] = {k: v for k, v in vars(member).items() if not k.endswith("_")}
    return (set_state, state, members), set_enum


def set_enum(made: Any, state: tuple[Callable[[Any, Any], Any], Any, dict[str, dict[str, Any]]]) -> None:
    set_state, own, members = state
    set_state(made, own)
    for name, attributes in members.items():
        vars(made[name]).update(attributes)


@contextmanager
def _without_hooks(bases: tuple[Any, ...], metaclass: type | None) -> Iterator[None]:
    """Disable the program's hooks of class creation, which have run in the driver, with unknown arguments."""
    ancestors = [kind for base in types.resolve_bases(bases) for kind in base.__mro__]
    hooks = [(kind, "__init_subclass__") for kind in ancestors]
    hooks += [(kind, name) for kind in (metaclass or type).__mro__ for name in ("__new__", "__init__", "__prepare__")]
    hidden = []
    for kind, name in hooks:
        is_own = kind.__module__ in MAIN_NAMES or kind.__module__ not in sys.modules
        if is_own and name in vars(kind):
            hidden.append((kind, name, vars(kind)[name]))
            type.__delattr__(kind, name)
    try:
        yield
    finally:
        for kind, name, hook in hidden:
            type.__setattr__(kind, name, hook)


def _program_globals() -> dict[str, Any]:
    return vars(sys.modules["__main__"])


def program_attribute(name: str) -> Any:
    return getattr(sys.modules["__main__"], name)


def make_bound(name: str, make: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    made = make(*arguments)
    _program_globals().setdefault(name, made)
    return made


def make_class(name: str, make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
    is_enum = isinstance(arguments[0], tuple)
    if is_enum and sys.version_info >= (3, 11):  # functions are members only where that is said
        members = {key: enum.member(value) for key, value in arguments[3].items()}
        arguments = (*arguments[:3], members, *arguments[4:])
    with _without_hooks(*((arguments[0], None) if is_enum else (arguments[2], arguments[0]))):
        made = make(*arguments)
    made.__qualname__ = name  # cloudpickle forgets it, and `pickle` finds a class inside of another one by it
    return made


def make_type_variable(name: str, make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Create a type variable of the program, in the module where `pickle` looks for it."""
    made = make(*arguments)
    made.__module__ = "__main__"
    return _program_globals().setdefault(name, made)


def make_context_variable(name: str, default: tuple[Any, ...], value: tuple[Any, ...]) -> ContextVar[Any]:
    made: ContextVar[Any] = ContextVar(name, default=default[0]) if default else ContextVar(name)
    for current in value:
        made.set(current)
    return made


def make_function(code: CodeType, closure: tuple[Any, ...] | None) -> FunctionType:
    return FunctionType(code, _program_globals(), None, None, closure)


def set_function(function: FunctionType, state: tuple[Callable[..., None], tuple[Any, dict[str, Any]]]) -> None:
    set_state, (attributes, slots) = state
    known = function.__globals__
    new = {name: value for name, value in slots["__globals__"].items() if name not in known}
    slots["__globals__"] = {name: value for name, value in new.items() if type(value) is not Bound}
    for name in new.keys() - slots["__globals__"].keys():
        with suppress(Exception):  # it is left out, or cannot be loaded: calling the function says so
            program_attribute(name)
    set_state(function, (attributes, slots))


def make_cached(maxsize: int | None, typed: bool) -> Any:
    """Create a cached function that calls `target`, which is set later: functions may refer to their cached selves."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return call.target(*args, **kwargs)  # type: ignore[attr-defined]

    return functools.lru_cache(maxsize, typed)(call)


def set_cached(cached: Any, state: tuple[Any, Mapping[str, Any]]) -> None:
    function, attributes = state
    cached.__wrapped__.target = function
    functools.update_wrapper(cached, function)
    vars(cached).update(attributes)


def _unregistered(*args: Any) -> Any:
    raise NotImplementedError("no implementation is registered")


def make_singledispatch() -> Any:
    return functools.singledispatch(_unregistered)


def set_singledispatch(function: Any, state: tuple[list[tuple[type, Any]], dict[str, Any]]) -> None:
    registry, attributes = state
    for kind, implementation in registry:
        function.register(kind, implementation)
    functools.update_wrapper(function, function.registry[object])
    vars(function).update(attributes)


def set_cached_property(made: Any, attributes: dict[str, Any]) -> None:
    made.__init__(attributes["func"])
    vars(made).update(attributes)


def set_attributes(made: Any, state: tuple[dict[str, Any] | None, dict[str, Any] | None]) -> None:
    for attributes in state:
        for name, value in (attributes or {}).items():
            object.__setattr__(made, name, value)
