"""Checks of single keywords: each returns the problems with a value, none when it is allowed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeGuard, get_args

from ..core import gpu_shares, plugins
from ..core.plain_values import is_integer, is_number, short
from ..core.suggestions import did_you_mean

__all__ = [
    "Check",
    "any_value",
    "callbacks",
    "display",
    "finite_number",
    "flag",
    "gpus",
    "gpus_of_member",
    "is_path",
    "one_of",
    "path",
    "pool",
    "run_reference",
    "seconds",
    "tags",
    "variables",
    "whole_number",
]

Check: TypeAlias = Callable[[str, Any], list[str]]  # takes a keyword's name and its value

HOOKS = ("on_run_start", "on_trial_start", "on_report", "on_trial_end", "on_run_end")  # of callbacks
POOL_METHODS = ("start", "want", "submit", "wait", "stop", "kill", "close")


def any_value(name: str, value: Any) -> list[str]:
    """No check, for keywords that are checked together with others."""
    return []


def whole_number(least: int, *, optional: bool = False) -> Check:
    """Check for an integer of at least `least`, or None if that is `optional`."""

    def check(name: str, value: Any) -> list[str]:
        if value is None and optional:
            return []
        return [] if is_integer(value, least) else [f"{name}={value!r}; give a whole number of at least {least}"]

    return check


def seconds(*, unlimited: bool = False, default: bool = False, zero: bool = False) -> Check:
    """Check for a duration.

    Args:
        unlimited: None is allowed, for no limit.
        default: None is allowed, for the value of a setting.
        zero: so are 0 and infinity.
    """

    def check(name: str, value: Any) -> list[str]:
        if value is None and (unlimited or default):
            return []
        if zero:
            ok, least = is_number(value) and value >= 0, "of at least 0"
        else:
            ok, least = is_number(value) and value > 0 and math.isfinite(value), "above 0"
        hint = ", or None for no limit" if unlimited else ""
        return [] if ok else [f"{name}={value!r}; give a number of seconds {least}{hint}"]

    return check


def finite_number(*, optional: bool = False) -> Check:
    """Check for a finite number, or None if that is `optional`."""

    def check(name: str, value: Any) -> list[str]:
        if (value is None and optional) or (is_number(value) and math.isfinite(value)):
            return []
        return [f"{name}={value!r}; give a finite number{', or None for none' if optional else ''}"]

    return check


def one_of(literal: Any) -> Check:
    """Check for one of the texts of a `Literal` type."""
    allowed = get_args(literal)

    def check(name: str, value: Any) -> list[str]:
        if isinstance(value, str) and value in allowed:
            return []
        return [f"{name}={value!r}; allowed are {' and '.join(map(repr, allowed))}"]

    return check


def gpus(name: str, value: Any) -> list[str]:
    """Check for whole GPUs or a share of one, or None."""
    problem = None if value is None else gpu_shares.problem(value)
    return [f"{name}={value!r}; {problem}"] if problem else []


def gpus_of_member(name: str, value: Any) -> list[str]:
    """Check for the whole GPUs of a member of a distributed trial."""
    if is_number(value) and 0 < value < 1:
        return [f"{name}={value!r}; members need whole GPUs, as NCCL does not connect two that share one; give 1 or 0"]
    return whole_number(0)(name, value)


def flag(name: str, value: Any) -> list[str]:
    return [] if isinstance(value, bool) else [f"{name}={value!r}; give True or False"]


def path(name: str, value: Any) -> list[str]:
    """Check for a path or URL, or None."""
    return [] if value is None or is_path(value) else [f"{name}={value!r}; give a path or URL as text"]


def is_path(value: Any) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str) and bool(os.fspath(value))


def run_reference(name: str, value: Any) -> list[str]:
    """Check for the name or id of a run, "auto", or None."""
    if value is None or (isinstance(value, str) and value.strip()):
        return []
    return [f"{name}={value!r}; give 'auto', or the name or id of a run, as text"]


def tags(name: str, value: Any) -> list[str]:
    return [] if value is None or _is_text_dict(value) else [f"{name}={value!r}; give a dict of text by text"]


def variables(name: str, value: Any) -> list[str]:
    """Check for environment variables; their values are not shown, as they may be secret."""
    if value is None or _is_text_dict(value):
        return []
    return [f"{name} is no dict of text by text; give each variable's name and value"]


def pool(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        if plugins.is_known("pool", value):
            return []
        pools = plugins.names("pool")
        return [
            f"{name}={value!r}; known pools are {', '.join(pools)}{did_you_mean(value, pools, start='. Did you mean')}"
        ]
    if _has_methods(value, POOL_METHODS):
        return []
    shown = f"{', '.join(POOL_METHODS[:-1])} and {POOL_METHODS[-1]}"
    return [f"{name}={value!r}; give a pool's name, or an object with {shown}"]


def display(name: str, value: Any) -> list[str]:
    if isinstance(value, bool) or _has_methods(value, ("start", "update", "line", "close")):
        return []
    return [f"{name}={value!r}; give True, False, or an object with start, update, line and close"]


def callbacks(name: str, value: Any) -> list[str]:
    """Check for a list of objects with some of the hooks, or None."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        return [f"{name}={short(value)}; give a list of objects with some of the methods {', '.join(HOOKS)}"]
    return [
        problem for position, item in enumerate(value) for problem in _callback_problems(f"{name}[{position}]", item)
    ]


def _callback_problems(name: str, item: Any) -> list[str]:
    if isinstance(item, type):
        return [f"{name} is the class {item.__name__}; give an object of it: {item.__name__}()"]
    hooks = [hook for hook in dir(item) if hook.startswith("on_") and callable(getattr(item, hook, None))]
    if any(hook in HOOKS for hook in hooks):
        return []
    hint = next((text for hook in hooks if (text := did_you_mean(hook, HOOKS, start="; did you mean"))), "")
    return [f"{name}={short(item)} has none of the methods {', '.join(HOOKS)}{hint}"]


def _has_methods(value: Any, methods: Iterable[str]) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _is_text_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for item in value.items() for part in item)
