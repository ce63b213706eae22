"""Stand-ins for modules and names of the predecessors that hopslite does not have.

Importing them works, so that a program starts although it imports more than it uses. Using one raises `NotSupported`
with the advice of the list of names.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any, NoReturn

from ..errors import NotSupported
from ._index import entry_at, names_in
from ._names import Status

__all__ = ["Absent", "MODULES_GONE", "StandIn", "absent_name", "register"]

# HopsML's modules that hopslite does not have.
MODULES_GONE = (
    "beam", "constants", "credentials_provider", "dataset", "elasticsearch", "exceptions", "facets", "featurestore",
    "hive", "jobs", "kafka", "project", "secret", "service_discovery", "serving", "tls", "user", "version", "xattr",
)  # fmt: skip


class Absent:
    """A name that hopslite does not have; calling it, subclassing it or reading an attribute raises `NotSupported`."""

    def __init__(self, name: str, advice: str) -> None:
        self._name, self._advice = name, advice

    def _error(self) -> NotSupported:
        return NotSupported(f"hopslite has no {self._name}: {self._advice}", name=self._name)

    def __call__(self, *args: Any, **keywords: Any) -> NoReturn:
        raise self._error()

    def __mro_entries__(self, bases: Any) -> NoReturn:
        raise self._error()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # of pickle, inspect and notebooks, which ask every object for theirs
            raise AttributeError(name)
        raise self._error()

    def __repr__(self) -> str:
        return f"<{self._name}, which hopslite does not have: {self._advice}>"


class StandIn(types.ModuleType):
    """A module of HopsML's that hopslite does not have, with its names."""

    def __getattr__(self, name: str) -> Any:
        names = names_in(self.__name__.replace("hopslite", "hops", 1))
        if name == "__all__":  # of `from hopslite.kafka import *`
            return sorted(entry.name for entry in names)
        try:
            return absent_name(self.__name__, name)
        except AttributeError as error:
            raise AttributeError(f"{error}; {names[0].note}") from None

    def __reduce__(self) -> tuple[Any, ...]:  # by its name, as modules travel with a function
        return importlib.import_module, (self.__name__,)


def absent_name(module: str, name: str) -> Any:
    """The value of a predecessor's name that `module` of hopslite does not define; for a module's `__getattr__`.

    Raises:
        AttributeError: no predecessor had such a name.
    """
    entry = entry_at(f"{module}.{name}")
    if entry is None or (entry.status is not Status.GONE and entry.now == f"{module}.{name}"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    parent, _, last = entry.now.rpartition(".")
    if parent != module:
        return getattr(importlib.import_module(parent), last)
    if entry.is_exception:
        return _exception(module, name, entry.note)
    return Absent(f"{module.removeprefix('hopslite.')}.{name}", entry.note)


@functools.cache  # one class for all who ask, and for pickle
def _exception(module: str, name: str, advice: str) -> type[NotSupported]:
    return type(name, (NotSupported,), {"__module__": module, "__doc__": f"Never raised: {advice}."})


def register() -> None:
    """Make the modules importable, also as `import hopslite.kafka`; Python looks for a module here first."""
    for name in MODULES_GONE:
        module = StandIn(f"hopslite.{name}", f"HopsML's `hops.{name}`, which hopslite does not have.")
        module.__spec__ = ModuleSpec(module.__name__, None)  # for `importlib.util.find_spec`
        sys.modules.setdefault(module.__name__, module)
