"""The values of all keywords in one call: completed by defaults, and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from ..core.plain_values import plain
from . import checks
from .declarations import Keyword, declarations
from .keywords import Options

__all__ = ["completed", "planned", "problems", "project_path"]


def completed(values: Mapping[str, Any], declared: Mapping[str, Keyword] | None = None) -> Options:
    """All keywords of a call: values as they are given, with Python's numbers for NumPy's, and otherwise defaults.

    Args:
        declared: the keywords of the call's verb, where they may be others than those of `Options`.
    """
    keywords = {**declarations(Options), **(declared or {})}
    return cast(Options, {name: plain(values.get(name, keyword.default)) for name, keyword in keywords.items()})


def planned(options: Options) -> Options:
    """The values that are kept in the run's plan; defaults for keywords that it had not when it was stored."""
    kept = {name: value for name, value in completed(options).items() if declarations(Options)[name].planned}
    return cast(Options, kept)


def problems(options: Options, declared: Mapping[str, Keyword] | None = None) -> list[str]:
    """Problems of single keywords, then of combinations."""
    keywords = {**declarations(Options), **(declared or {})}
    return [
        *(problem for name, keyword in keywords.items() for problem in keyword.check(name, options.get(name))),
        *_conflicts(options),
    ]


def _conflicts(options: Options) -> list[str]:
    conflicts = []
    if options["isolation"] == "none" or options["pool"] == "inline":
        for name, limit in (
            ("trial_timeout", options["trial_timeout"]),
            ("heartbeat_timeout", options["heartbeat_timeout"]),
        ):
            if limit is not None:
                conflicts.append(f"{name} works only with isolation='process' on Spark, where a trial can be killed")
    for name, value in (("retry_failed", options["retry_failed"]), ("force", options["force"])):
        if value is True and options["resume"] is None:
            conflicts.append(f"{name}=True works only with resume=")
    return conflicts


def project_path(options: Options) -> str | None:
    """`project` as text; None if it is left out or invalid."""
    project = options["project"]
    return os.fspath(project) if checks.is_path(project) else None
