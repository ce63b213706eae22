"""Finding the implementations of an interface by name: modules of its package, and entry points.

The module `hopslite/<group>/some_name.py` holds the class `SomeName`. Other distributions add theirs with an entry
point in the group `hopslite.<group>`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from typing import Any

from .errors import UnknownPlugin

__all__ = ["load", "names"]


def names(group: str) -> list[str]:
    """The known plugin names of a group, sorted."""
    package = importlib.import_module(f"hopslite.{group}")
    own = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
    return sorted(own | {entry.name for entry in importlib.metadata.entry_points(group=f"hopslite.{group}")})


def load(group: str, name: str) -> Any:
    """The class that implements `name` in `group`.

    Raises:
        UnknownPlugin: there is none; the message lists the known names.
    """
    known = names(group)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownPlugin(f"no {group} named {name!r}; known: {', '.join(known)}.{hint}")
    for entry in importlib.metadata.entry_points(group=f"hopslite.{group}"):
        if entry.name == name:
            return entry.load()
    module = importlib.import_module(f"hopslite.{group}.{name}")
    return getattr(module, "".join(part.capitalize() for part in name.split("_")))
