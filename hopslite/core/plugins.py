"""Plug-in lookup by name: modules of a package, and entry points of other distributions.

The module `hopslite/<group>/some_name.py` holds the class `SomeName`. Other distributions add theirs with an entry
point in the group `hopslite.<group>`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

from ..errors import UnknownPlugin
from . import installed
from .suggestions import did_you_mean

__all__ = ["is_known", "load", "names"]


def names(group: str) -> list[str]:
    """Sorted names of the plug-ins of a group."""
    return sorted({*_own_names(group), *(entry.name for entry in installed.entry_points(f"hopslite.{group}"))})


def is_known(group: str, name: str) -> bool:
    """True if a group has a plug-in of this name."""
    return name in _own_names(group) or name in names(group)


def load(group: str, name: str) -> Any:
    """Load the class that implements `name` in `group`; other distributions are searched only for other names.

    Raises:
        UnknownPlugin: there is none; the message lists the known names.
    """
    if name in _own_names(group):
        module = importlib.import_module(f"hopslite.{group}.{name}")
        return getattr(module, "".join(part.capitalize() for part in name.split("_")))
    for entry in installed.entry_points(f"hopslite.{group}"):
        if entry.name == name:
            return entry.load()
    known = names(group)
    hint = did_you_mean(name, known, start=" Did you mean")
    raise UnknownPlugin(f"no {group} named {name!r}; known: {', '.join(known)}.{hint}")


@functools.cache
def _own_names(group: str) -> tuple[str, ...]:
    package = importlib.import_module(f"hopslite.{group}")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(name for name in modules if not name.startswith("_"))
