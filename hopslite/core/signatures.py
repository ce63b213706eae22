"""Calls of a user's function with the subset of keyword arguments that it accepts."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Parameters", "parameters", "wrapped"]


@dataclasses.dataclass(frozen=True, slots=True)
class Parameters:
    """Names of the parameters that a function accepts by keyword; `open` is True if it has `**kwargs`."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    open: bool

    def takes(self, name: str) -> bool:
        return self.open or name in self.names

    def choose(self, offered: Mapping[str, Any]) -> dict[str, Any]:
        """Subset of the offered arguments that the function accepts."""
        return {name: value for name, value in offered.items() if self.takes(name)}


def parameters(fn: Callable[..., Any]) -> Parameters:
    """Parameters that a function accepts by keyword; any, if it has no signature."""
    try:
        declared = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return Parameters((), (), open=True)
    named = [p for p in declared if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Parameters(
        tuple(p.name for p in named),
        tuple(p.name for p in declared if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)),
        any(p.kind is p.VAR_KEYWORD for p in declared),
    )


def wrapped(wrapper: Any, fn: Callable[..., Any], *names: str, any_name: bool = False) -> None:
    """Give a callable object the name of the function that it calls, and a signature of its own.

    `inspect.unwrap` finds the function, for those who look at its code.
    """
    kinds = inspect.Parameter
    own = [kinds(name, kinds.KEYWORD_ONLY) for name in names]
    own += [kinds("hyperparameters", kinds.VAR_KEYWORD)] if any_name else []
    wrapper.__wrapped__ = fn
    wrapper.__name__ = getattr(fn, "__name__", type(fn).__name__)
    wrapper.__qualname__ = getattr(fn, "__qualname__", wrapper.__name__)
    wrapper.__doc__ = getattr(fn, "__doc__", None)
    wrapper.__signature__ = inspect.Signature(own)
