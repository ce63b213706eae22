"""Looking up names of the predecessors, by what they are called there and in hopslite."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from ._hopsml import HOPSML
from ._maggy import MAGGY
from ._names import Module, Name, Status

__all__ = ["MODULES", "by_current_name", "counterpart", "entry_at", "lookup", "names_in"]

MODULES = (*HOPSML, *MAGGY)


@functools.cache
def _modules() -> Mapping[str, Module]:
    return {module.old: module for module in MODULES}


@functools.cache
def _names() -> Mapping[str, Name]:
    return {name.old: name for module in MODULES for name in module.names()}


@functools.cache
def _current_names() -> Mapping[str, Name]:
    """Of names that two predecessors had, the first one's that is not gone: HopsML's modules come first."""
    entries = sorted(_names().values(), key=lambda name: name.status is Status.GONE)
    return {name.now: name for name in reversed(entries)}


def lookup(old: str) -> Name | None:
    """The entry of a dotted name of a predecessor; None for its modules, and for what it did not have.

    What a package's own module had, `maggy.optimizer.asha.Asha`, is what the package has, `maggy.optimizer.Asha`.
    """
    package, _, name = old.rpartition(".")
    while package and f"{package}.{name}" not in _names() and package not in _modules():
        package = package.rpartition(".")[0]
    return _names().get(f"{package}.{name}")


def names_in(module: str) -> list[Name]:
    """The entries of the names that a module of a predecessor had."""
    return list(_modules()[module].names())


def by_current_name(now: str) -> Name | None:
    """The entry whose counterpart in hopslite has this dotted name."""
    return _current_names().get(now)


def entry_at(now: str) -> Name | None:
    """The entry of what a program gets at a dotted name of hopslite, also through a stand-in or `hopslite.maggy`."""
    inside = now.removeprefix("hopslite.")
    return lookup(f"hops.{inside}") or by_current_name(now) or lookup(inside)


def counterpart(old: str) -> str | None:
    """The dotted name in hopslite of a predecessor's module or name; None where hopslite does not know the module."""
    if old in _modules():
        return _modules()[old].now
    entry = lookup(old)
    if entry is not None:
        return entry.now
    parent, _, name = old.rpartition(".")
    return f"{_modules()[parent].now}.{name}" if parent in _modules() else None
