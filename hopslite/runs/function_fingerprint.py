"""Fingerprint of a training function, kept with its run.

Two functions are the same when they would do the same as far as their own code tells: names of files, line numbers,
comments and the docstring do not count, and neither do the functions that it calls.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..core.redaction import redact_source, redact_value

__all__ = ["ADDRESS", "describe", "is_installed", "shortened"]

SOURCE_BYTES = 100_000
VALUE_CHARS = 200
NESTED = 6  # levels of a value that are looked into
ITEMS = 10_000  # parts of a value that are looked into

# how a function is called; other flags say how its module was compiled
KINDS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe(fn: Callable[..., Any]) -> dict[str, Any]:
    """Describe any callable in JSON: its name, source, hash of its code, defaults and closure variables.

    Of a function that others wrap (decorators, partials, objects that hold it), all layers count that are not those of
    an installed package.
    """
    layers = _Layers()
    layers.visit(fn)
    inner = _innermost(fn)
    return {
        "name": str(getattr(inner, "__qualname__", None) or type(inner).__qualname__),
        "module": str(getattr(inner, "__module__", None) or type(inner).__module__),
        "source": redact_source(layers.source() or "") or None,
        "code": layers.code(),
        "defaults": redact_value(layers.defaults),
        "variables": redact_value(layers.variables),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


class _Layers:
    """Functions, defaults and variables that a callable consists of, in the order of discovery."""

    def __init__(self) -> None:
        self.defaults: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self._codes: list[tuple[types.CodeType, str | None]] = []
        self._names: list[str] = []
        self._seen: dict[int, Any] = {}

    def visit(self, fn: Any) -> None:
        if id(fn) in self._seen:
            return
        self._seen[id(fn)] = fn  # kept, so that no other object gets its id meanwhile
        if isinstance(fn, functools.partial):
            self.visit(fn.func)
            for name in fn.keywords:
                self.defaults.pop(name, None)  # replaced by the partial's
            self._note(self.defaults, {f"argument {i}": value for i, value in enumerate(fn.args)} | fn.keywords)
        elif isinstance(fn, types.MethodType):
            self.visit(fn.__func__)
            self._visit_object(fn.__self__)
        elif isinstance(fn, types.FunctionType):
            self._visit_function(fn)
        elif isinstance(fn, type):
            self._visit_class(fn)
        elif callable(getattr(fn, "__wrapped__", None)):
            self.visit(fn.__wrapped__)
        elif isinstance(fn, (types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType)):
            self._names.append(f"{fn.__module__ if hasattr(fn, '__module__') else ''}.{fn.__qualname__}")
        else:
            self._visit_object(fn)

    def code(self) -> str:
        digest = hashlib.sha256()
        for code, doc in self._own():
            _feed(digest.update, code, doc)
        for name in self._names:
            digest.update(f"name {name}\n".encode())
        return digest.hexdigest()[:32]

    def source(self) -> str | None:
        texts = []
        for code, _ in self._own():
            try:
                texts.append(textwrap.dedent(inspect.getsource(code)))
            except (OSError, TypeError, IndexError, SyntaxError):  # source not available
                continue
        text = "\n".join(dict.fromkeys(texts))
        return text.encode()[:SOURCE_BYTES].decode(errors="ignore") or None

    def _own(self) -> list[tuple[types.CodeType, str | None]]:
        """Code objects outside installed packages; all of them if there are none."""
        own = [(code, doc) for code, doc in self._codes if not is_installed(code.co_filename)]
        return own or self._codes

    def _visit_function(self, fn: types.FunctionType) -> None:
        code = fn.__code__
        self._codes.append((code, fn.__doc__))
        named = code.co_varnames[: code.co_argcount]
        values = fn.__defaults__ or ()
        defaults = dict(zip(named[len(named) - len(values) :], values, strict=True)) | (fn.__kwdefaults__ or {})
        self._note(self.defaults, defaults)
        around = {}
        for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True):
            if name == "__class__":
                continue
            try:
                around[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        self._note(self.variables, around)
        wrapped = getattr(fn, "__wrapped__", None)
        if callable(wrapped):
            self.visit(wrapped)

    def _visit_class(self, cls: type) -> None:
        self._names.append(cls.__qualname__)
        for base in cls.__mro__:
            if base.__module__ == cls.__module__ and not _is_builtin(base):
                self._note(self.variables, {k: v for k, v in vars(base).items() if not _is_special(k, v)})
                for value in vars(base).values():
                    inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
                    if isinstance(inner, types.FunctionType):
                        self.visit(inner)

    def _visit_object(self, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            return
        self.visit(value if isinstance(value, type) else type(value))
        attributes = getattr(value, "described_attributes", None)  # defined by objects that hold secrets
        if not isinstance(attributes, dict):
            attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict) and not isinstance(value, type):
            self._note(self.variables, attributes)

    def _note(self, into: dict[str, str], values: Mapping[str, Any]) -> None:
        """Record the text of simple values; visit functions instead."""
        for name, value in values.items():
            function = getattr(value, "__func__", value)
            if isinstance(function, (types.FunctionType, functools.partial)):
                self.visit(value if not isinstance(value, (staticmethod, classmethod)) else function)
                continue
            key = str(name)
            number = 2
            while key in into:
                key, number = f"{name} ({number})", number + 1
            into[key] = _text(value)


def _innermost(fn: Any) -> Any:
    for _ in range(100):
        inner = fn.func if isinstance(fn, functools.partial) else getattr(fn, "__wrapped__", None)
        if not callable(inner):
            return fn
        fn = inner
    return fn


def is_installed(file: str) -> bool:
    """True if a file belongs to Python or to an installed package."""
    parts = file.split(os.sep)
    return file.startswith((*_installed_folders(), "<frozen")) or "site-packages" in parts or "dist-packages" in parts


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[name].rstrip(os.sep) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_builtin(cls: type) -> bool:
    return cls.__module__ == "builtins"


def _is_special(name: str, value: Any) -> bool:
    """True if an entry of a class is not a plain attribute."""
    return (name.startswith("__") and name.endswith("__")) or callable(value) or hasattr(value, "__get__")


def _feed(update: Callable[[bytes], None], code: types.CodeType, doc: str | None = None) -> None:
    """Hash the behaviour of a code object, without file names and line numbers."""
    constants = list(code.co_consts)
    if doc is not None and constants and constants[0] == doc:
        constants[0] = None
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & KINDS)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    update(repr((code.co_code, getattr(code, "co_exceptiontable", b""), counts, names)).encode())
    for constant in constants:
        if isinstance(constant, types.CodeType):
            update(b"code(")
            _feed(update, constant)
            update(b")")
        else:
            update(f"{_constant(constant)}\n".encode(errors="surrogatepass"))


def _constant(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):  # its order differs between processes
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value)


# --- values


def _text(value: Any) -> str:
    return shortened(_value(value, NESTED, [ITEMS]))


def _value(value: Any, depth: int, left: list[int]) -> str:
    """Text of a value, or its type if it has no stable text; `left` counts the parts still allowed."""

    def texts_of(values: Iterable[Any]) -> Iterator[str]:
        for part in values:
            left[0] -= 1
            if left[0] < 0:
                yield "…"
                return
            yield _value(part, depth - 1, left)

    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, (str, bytes)):  # may be a password, and this goes into the record
        return f"a text (#{hashlib.sha256(repr(value).encode()).hexdigest()[:8]})"
    if isinstance(value, (bool, int, float, complex, type(None), os.PathLike)):
        return ADDRESS.sub("", repr(value))
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    kind = f"<{type(value).__module__}.{type(value).__qualname__}>"
    if type(value) in (list, tuple, set, frozenset, dict) and len(value) > left[0]:
        return f"{kind} of {len(value)}"
    if depth == 0:
        return kind
    if type(value) is list:
        return f"[{', '.join(texts_of(value))}]"
    if type(value) is tuple:
        return f"({', '.join(texts_of(value))})"
    if type(value) in (set, frozenset):
        return f"{{{', '.join(sorted(texts_of(value)))}}}"
    if type(value) is dict:
        return f"{{{', '.join(f'{k}: {v}' for k, v in zip(texts_of(value), texts_of(value.values()), strict=False))}}}"
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        values = texts_of(getattr(value, name, None) for name in fields)
        return f"{type(value).__qualname__}({', '.join(map('='.join, zip(fields, values, strict=False)))})"
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return repr(value.item())
    return kind


def shortened(text: str) -> str:
    """Shorten a long text to its beginning and a hash."""
    if len(text) <= VALUE_CHARS:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{text[: VALUE_CHARS - 40]}… ({len(text)} characters, {digest})"
