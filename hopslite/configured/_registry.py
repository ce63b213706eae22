"""Objects that programs make known to configurations by their bare names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["export_config", "exported"]

T = TypeVar("T", bound=Callable[..., Any])

# A decorator can only leave its mark in a table of the process; a notebook cell that runs again replaces its entry.
_exported: dict[str, Callable[..., Any]] = {}


def export_config(target: T) -> T:
    """Make a class or function known to configurations by its bare name.

    >>> @export_config
    ... def small_batches(batch_size=8):
    ...     return [batch_size], [batch_size]
    >>> "small_batches" in exported()
    True

    In a program that calls `configured.train`, or in a file that is given as `imports=` (`hopslite train --import`),
    a configuration then has `{"small_batches": {"batch_size": 4}}`, or `"${small_batches}"` for the function itself.

    Args:
        target: a class, or a function; it is returned unchanged.
    """
    _exported[target.__name__] = target
    return target


def exported() -> dict[str, Callable[..., Any]]:
    """The objects that this process has exported, by name."""
    return dict(_exported)
