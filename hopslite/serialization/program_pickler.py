"""Pickler for a user's program: cloudpickle, with functions and classes of `__main__` bound to their names.

cloudpickle pickles a program's definitions by value. Three things would change, and are corrected here:

- Functions get the trial's `__main__` as their globals, and top-level functions and classes are attributes of it, so
  that `pickle`, `torch.save` and worker processes find them by name, and every reference means the same object.
- Code keeps the name of its file, so that tracebacks, `inspect` and AutoGraph find its source.
- Objects that pickle themselves as a name in `__main__` (`functools.lru_cache`, `typing.NewType`, singletons with a
  `__reduce__`) are rebuilt, as are `functools.singledispatch` and `functools.cached_property`.
"""

from __future__ import annotations

import copyreg
import dis
import functools
import inspect
import io
import pickle
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from enum import EnumMeta
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, TypeVar

import cloudpickle

from ..runs.function_fingerprint import is_installed
from .broadcasts import is_broadcast, number_of
from .program_unpickling import (
    MAIN_NAMES,
    Bound,
    Postponed,
    all_members,
    class_state,
    make_bound,
    make_cached,
    make_class,
    make_context_variable,
    make_function,
    make_singledispatch,
    make_type_variable,
    program_attribute,
    set_after_parts,
    set_attributes,
    set_cached,
    set_cached_property,
    set_cell,
    set_function,
    set_singledispatch,
)

__all__ = ["MAIN_NAMES", "ProgramPickler", "is_own_module", "is_plain"]

_CACHED = type(functools.lru_cache(len))
_NAMESPACE_READERS = frozenset(["globals", "eval", "exec", "vars"])
_CUSTOM_UNPICKLING = ("__reduce__", "__reduce_ex__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_SINGLEDISPATCH_ATTRIBUTES = frozenset(["registry", "dispatch", "register", "_clear_cache", "__wrapped__"])
_PLAIN_ITEMS = 1000
_PLAIN_LEAVES = (bool, int, float, complex, str, bytes, type(None))


class ProgramPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles a training function with the part of its program that it refers to.

    Args:
        main: the program's `__main__`.
        bound: names that the trial's `__main__` has already or loads on demand: references to them stay references, and
            other variables are left out. None: everything is pickled by value.
        root: with `bound`, the one name that is pickled by value nevertheless.

    Attributes:
        filenames: the files of all code that was pickled.
        names: the top-level functions and classes of `main` that were pickled by value.
        parents: with `bound`, the bases and metaclasses that are references, those first that others are derived from.
        reads_namespace: some code looks names up at run time (`globals()`, `eval`).
        needs_trial_load: some object has unpickling code of the user's, which may fail in another process.
        broadcasts: broadcast variables of Spark, by number.
    """

    def __init__(
        self, file: io.BytesIO, main: ModuleType, bound: Collection[str] | None = None, root: str | None = None
    ) -> None:
        super().__init__(file)
        self.filenames: set[str] = set()
        self.names: set[str] = set()
        self.parents: list[str] = []
        self.broadcasts: dict[int, Any] = {}
        self.reads_namespace = self.needs_trial_load = False
        self._main, self._bound, self._root = main, bound, root
        self._importable: dict[str, bool] = {}
        self._user_types: dict[type, bool] = {}
        self._started: set[int] = set()  # classes and cells whose state is placed in the pickle
        self._postponed: set[int] = set()  # those of them whose state follows with the object that they are part of

    def dump(self, obj: Any) -> None:
        with self._registered():
            super().dump(obj)

    @contextmanager
    def _registered(self) -> Iterator[None]:
        """Undo registrations of modules that are pickled by value, which cloudpickle keeps for the process."""
        before = set(cloudpickle.list_registry_pickle_by_value())
        try:
            yield
        finally:
            for name in set(cloudpickle.list_registry_pickle_by_value()) - before:
                cloudpickle.unregister_pickle_by_value(sys.modules[name])

    # --- reductions

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            return self._code(obj)
        if isinstance(obj, CellType) and id(obj) in self._started:
            return CellType, ()
        if isinstance(obj, ModuleType):
            self._check_module(obj.__name__)
            return NotImplemented
        if is_broadcast(obj):
            self.broadcasts[number_of(obj)] = obj
        if isinstance(obj, (type, FunctionType, _CACHED)):
            self._check_module(obj.__module__)
            if self._is_bound(obj):
                return program_attribute, (obj.__qualname__,)
        if isinstance(obj, FunctionType) and _is_singledispatch(obj) and not _is_importable_object(obj):
            return self._at_name(obj, make_singledispatch, (), _singledispatch_state(obj), set_singledispatch)
        if isinstance(obj, _CACHED) and not _is_importable_object(obj):
            parameters = obj.cache_parameters()
            arguments = parameters["maxsize"], parameters["typed"]
            return self._at_name(obj, make_cached, arguments, (obj.__wrapped__, vars(obj)), set_cached)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented:
            return reduced if isinstance(obj, (type, FunctionType)) else self._instance(obj)
        make, arguments, *details = reduced
        if len(details) == 4 and isinstance(obj, type):  # it is pickled by value
            return self._class(obj, make, arguments, *class_state(obj, details[0], details[3]))
        return reduced

    def _class(self, obj: type, make: Any, arguments: Any, state: Any, set_state: Any) -> tuple[Any, ...]:
        """Reduction of a class, followed by the states of its bases and metaclass, and then its own.

        They often refer to the class, as in a registry of subclasses; before it is made there would be two of it.
        """
        if isinstance(obj, EnumMeta):  # with aliases, which cloudpickle leaves out
            arguments = (
                *arguments[:3],
                {name: member.value for name, member in all_members(obj).items()},
                *arguments[4:],
            )
        if id(obj) in self._postponed:
            return self._at_name(obj, make, arguments, None, None)[:2]
        self._started.add(id(obj))
        parts = []
        for kind in reversed((*inspect.getmro(obj)[1:], *inspect.getmro(type(obj)))):
            self._check_module(kind.__module__)
            if self._is_bound(kind):
                self.parents.append(kind.__qualname__)
            if id(kind) in self._started or self._is_bound(kind):
                continue
            reduced = super().reducer_override(kind)
            if reduced is not NotImplemented and len(reduced) == 6:
                parts.append(self._postpone(kind, *class_state(kind, reduced[2], reduced[5])))
        return self._at_name(obj, make, arguments, (parts, set_state, state), set_after_parts)

    def _postpone(self, obj: Any, state: Any, set_state: Any) -> Postponed:
        self._started.add(id(obj))
        self._postponed.add(id(obj))
        return Postponed(set_state, obj, state)

    def _at_name(self, obj: Any, make: Any, arguments: Any, state: Any, set_state: Any) -> tuple[Any, ...]:
        """Reduction of an object that is bound to its name in the trial's `__main__` before its state is loaded.

        It is bound early, since functions and classes refer to each other in circles.
        """
        if isinstance(obj, type):
            make, arguments = make_class, (obj.__qualname__, make, arguments)
        if self._is_top_level(obj):
            self.names.add(obj.__qualname__)
            return make_bound, (obj.__qualname__, make, arguments), state, None, None, set_state
        return make, arguments, state, None, None, set_state

    def _is_top_level(self, obj: Any) -> bool:
        name = getattr(obj, "__qualname__", None)
        return (
            getattr(obj, "__module__", None) in MAIN_NAMES
            and isinstance(name, str)
            and vars(self._main).get(name) is obj
        )

    def _is_bound(self, obj: Any) -> bool:
        return (
            self._bound is not None
            and obj.__qualname__ != self._root
            and obj.__qualname__ in self._bound
            and self._is_top_level(obj)
        )

    def _check_module(self, name: str | None) -> None:
        """Register a module for pickling by value if it exists in this process only, not as an importable file."""
        if name is None or name in MAIN_NAMES or name not in sys.modules:
            return
        top = name.partition(".")[0]
        if top not in self._importable:
            self._importable[top] = _can_import(top)
        if not self._importable[top] and name not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(sys.modules[name])

    def _code(self, code: CodeType) -> tuple[Any, ...]:
        make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
        self.filenames.add(code.co_filename)
        if not self.reads_namespace and not _NAMESPACE_READERS.isdisjoint(code.co_names):
            self.reads_namespace = any(
                step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in _NAMESPACE_READERS
                for step in dis.get_instructions(code)
            )
        name = code.co_filename  # cloudpickle writes "<dynamic-code>", so that equal cells have equal pickles
        return make, tuple(name if type(part) is str and part == "<dynamic-code>" else part for part in arguments)

    def _dynamic_function_reduce(self, func: FunctionType) -> tuple[Any, ...]:
        make, arguments, state, _, _, set_state = super()._dynamic_function_reduce(func)
        closure = func.__closure__
        # functions that share a variable share its cell, which cloudpickle copies for each of them
        cells = [
            self._postpone(c, _optional(functools.partial(getattr, c, "cell_contents")), set_cell)
            for c in closure or ()
            if id(c) not in self._started
        ]
        state[1]["__closure__"] = None
        if func.__globals__ is not vars(self._main):
            arguments = (*arguments[:4], closure)
            return make, arguments, (cells, set_state, state), None, None, set_after_parts
        code = arguments[0]
        if self._bound is not None:
            names = [name for name in state[1]["__globals__"] if name in self._bound]
            state[1]["__globals__"] = dict.fromkeys(names, Bound())
            state[1]["_cloudpickle_submodules"] = []
        return self._at_name(
            func, make_function, (code, closure), (cells, set_function, (set_state, state)), set_after_parts
        )

    def _instance(self, obj: Any) -> Any:
        """Reduction of any other object: its own, unless that is a name in `__main__`."""
        kind = type(obj)
        if self._is_user_type(kind):
            self.needs_trial_load = True
        reducer = self.dispatch_table.get(kind)
        if kind is ContextVar:
            return make_context_variable, (obj.name, Context().run(_optional, obj.get), _optional(obj.get))
        if isinstance(obj, functools.cached_property):  # it has a lock before Python 3.12
            attributes = {name: value for name, value in vars(obj).items() if name != "lock"}
            return copyreg.__newobj__, (kind,), attributes, None, None, set_cached_property  # type: ignore[attr-defined]
        reduced = reducer(obj) if reducer else obj.__reduce_ex__(self.proto)
        if isinstance(reduced, str) and getattr(obj, "__module__", None) in MAIN_NAMES:
            return self._named(obj, reduced)
        if isinstance(obj, TypeVar) and self._is_variable(obj):
            return make_type_variable, (obj.__name__, *reduced)
        return reduced

    def _is_variable(self, obj: Any) -> bool:
        return obj.__module__ in MAIN_NAMES and vars(self._main).get(obj.__name__) is obj

    def _named(self, obj: Any, name: str) -> tuple[Any, ...]:
        """Reduction by value of an object that claims to be a variable of `__main__`."""
        kind: Any = type(obj)
        if kind.__name__ in ("ParamSpec", "TypeVarTuple"):
            return make_type_variable, (name, kind, (obj.__name__,))
        if kind.__new__ is not object.__new__ or not kind.__flags__ & 1 << 9:  # Py_TPFLAGS_HEAPTYPE
            raise pickle.PicklingError(
                f"{name} is a {kind.__module__}.{kind.__qualname__}, which is pickled as a name of the program and "
                "cannot be made again from its parts"
            )
        slots = {slot: getattr(obj, slot) for slot in copyreg._slotnames(kind) if hasattr(obj, slot)}  # type: ignore[attr-defined]
        state = (getattr(obj, "__dict__", None) or None, slots or None)
        return make_bound, (name, copyreg.__newobj__, (kind,)), state, None, None, set_attributes  # type: ignore[attr-defined]

    def _is_user_type(self, kind: type) -> bool:
        """True if unpickling an object of this type runs user code."""
        if kind not in self._user_types:
            self._user_types[kind] = any(
                not is_own_module(base.__module__) and not set(_CUSTOM_UNPICKLING).isdisjoint(vars(base))
                for base in kind.__mro__
            )
        return self._user_types[kind]


def is_own_module(name: str) -> bool:
    """True if a module belongs to Python, to an installed package, or to hopslite."""
    if name.partition(".")[0] == "hopslite":
        return True
    module = sys.modules.get(name)
    if name in MAIN_NAMES or module is None:
        return False
    file = getattr(module, "__file__", None)
    return file is None or is_installed(file)


def _can_import(top: str) -> bool:
    """True if another process with the same import path can import a top-level module."""
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return True
    for finder in sys.meta_path:
        try:
            if finder.find_spec(top, None) is not None:
                return True
        except (AttributeError, ImportError, ValueError):
            continue
    return False


def _is_importable_object(obj: Any) -> bool:
    """True if an object can be pickled as an attribute of a module that others can import, too."""
    module = sys.modules.get(str(obj.__module__))
    by_value = (*MAIN_NAMES, *cloudpickle.list_registry_pickle_by_value())
    if module is None or obj.__module__ in by_value:
        return False
    try:
        return functools.reduce(getattr, obj.__qualname__.split("."), module) is obj
    except AttributeError:
        return False


def is_plain(value: Any, leaves: tuple[type, ...] = _PLAIN_LEAVES, depth: int = 3) -> bool:
    """True if a value is a number, a text, or a small container of such."""
    if type(value) in leaves:
        return True
    if depth == 0 or type(value) not in (list, tuple, set, frozenset, dict) or len(value) > _PLAIN_ITEMS:
        return False
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return all(is_plain(part, leaves, depth - 1) for part in parts)


def _optional(get: Callable[[], Any]) -> tuple[Any, ...]:
    """A variable's value as a tuple; empty if it has none yet."""
    try:
        return (get(),)
    except (LookupError, ValueError):
        return ()


def _is_singledispatch(function: FunctionType) -> bool:
    attributes = vars(function)
    return isinstance(attributes.get("registry"), MappingProxyType) and "dispatch" in attributes


def _singledispatch_state(function: Any) -> tuple[list[tuple[type, Any]], dict[str, Any]]:
    attributes = {name: value for name, value in vars(function).items() if name not in _SINGLEDISPATCH_ATTRIBUTES}
    return list(function.registry.items()), attributes
