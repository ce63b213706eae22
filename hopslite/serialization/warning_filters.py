"""Warning filters as plain data: captured on the driver, set in trials."""

from __future__ import annotations

import builtins
import re
import warnings
from collections.abc import Sequence
from typing import Any

__all__ = ["FilterData", "active_filters", "set_filters"]

FilterData = tuple[str, str | None, tuple[str, str], str | None, int]
"""Action, message, category by module and name, module, line."""


def active_filters() -> list[FilterData]:
    """The active warning filters, in order of precedence.

    A filter that turns every warning into an error is left out: the program set it after its imports, and frameworks
    that a trial imports would fail on their own warnings.
    """
    return [
        _described((action, message, category, module, line))
        for action, message, category, module, line in warnings.filters
        if isinstance(category, type)
        and not (action == "error" and category is Warning and message is None and module is None)
    ]


def _described(item: tuple[Any, ...]) -> FilterData:
    """A warning filter as plain data."""
    action, message, category, module, line = item
    return action, _pattern(message), (category.__module__, category.__qualname__), _pattern(module), line


def _pattern(expression: Any) -> str | None:
    return None if expression is None else str(getattr(expression, "pattern", expression))


def set_filters(filters: list[FilterData], framework_filters: Sequence[tuple[Any, ...]]) -> None:
    """Set the filters of this process; those of its own frameworks come first, unless they are among the others."""
    warnings.resetwarnings()
    for action, message, (module_name, name), module, line in reversed(filters):
        category = getattr(builtins, name, None) if module_name == "builtins" else _Category(name, (), {})
        if isinstance(category, _Category):
            category.names = (module_name, name)
        if category is None:
            continue
        compiled = (
            action,
            re.compile(message, re.I) if message else None,
            category,
            re.compile(module) if module else None,
            line,
        )
        warnings.filters.insert(0, compiled)  # type: ignore[attr-defined]
    warnings.filters[:0] = [item for item in framework_filters if _described(item) not in filters]  # type: ignore[index]
    # filters are cached with a version number, which only the functions of the module change
    warnings.filterwarnings("ignore", message="\\Ahopslite: set filters\\Z")
    del warnings.filters[0]  # type: ignore[attr-defined]


class _Category(type):
    """A warning category by name, so that its module need not be imported for a filter."""

    names: tuple[str, str]

    def __subclasscheck__(cls, subclass: type) -> bool:
        return any((base.__module__, base.__qualname__) == cls.names for base in subclass.__mro__)
