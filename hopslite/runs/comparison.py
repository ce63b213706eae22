"""Comparison of runs: facts under common names, environments, and sources."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core import formatting
from ..core.types import State
from ..result import Run
from ..storage.records import git_of, record_of
from ..storage.run_directory import RunDir
from .time_spent import seconds_of

__all__ = ["comparable", "packages_in", "source_difference"]

MOST_LINES = 20_000  # of a source that is compared, as that takes quadratic time


def comparable(run: Run, directory: RunDir, shown_time: Callable[[float], str]) -> dict[str, Any]:
    """Facts of a run under names that are the same for all runs.

    Args:
        shown_time: makes a text of a time in seconds since the epoch.
    """
    files = dict(zip(_FILES, directory.read_many(_FILES), strict=True))
    record, git = record_of(files["run.json"]) or {}, git_of(files["git.json"])
    function = record.get("function") or {}
    spaces = record.get("space")
    flat = {f"space {name}": value for name, value in spaces.items()} if isinstance(spaces, dict) else {"space": spaces}
    params = {f"best {name}": value for name, value in (run._best.params if run._best else {}).items()}
    time = seconds_of(run)
    return {
        "run_id": run.run_id,
        "name": run.name,
        "version": run.version,
        "verb": run.verb,
        "state": str(run.state),
        "note": run.description,
        **{f"tag {key}": value for key, value in sorted(run.tags.items())},
        run.optimization_key or "metric": run._best.metric if run._best else None,
        **params,
        "direction": str(run.direction or ""),
        **flat,
        "trials": len(run.trials),
        "failed": run.counts.get(State.FAILED, 0),
        "stopped": run.counts.get(State.STOPPED, 0),
        "duration": formatting.duration(run.duration),
        "median trial": formatting.duration(time["median_trial"]),
        "busy slots": None if time["busy"] is None else round(time["busy"], 1),
        "seed": run.seed,
        **{f"input {name}": value for name, value in (record.get("inputs") or {}).items()},
        "function": function.get("name"),
        "code": _digest(function.get("source")),
        "commit": str(git.get("commit") or "")[:12] or None,
        "started": shown_time(run.started.timestamp()) if run.started else "",
        "hopslite": record.get("hopslite"),
    }


_FILES = ["run.json", "git.json"]


def _digest(source: Any) -> str | None:
    """Short hash of a source."""
    return hashlib.sha256(str(source).encode()).hexdigest()[:8] if source else None


def packages_in(environment: str) -> dict[str, str]:
    """Versions by package, and Python's, from the text of `environment.txt`."""
    versions: dict[str, str] = {}
    for line in environment.splitlines():
        if line.startswith("# Python "):
            versions["Python"], _, versions["platform"] = line.removeprefix("# Python ").partition(" on ")
        elif (separator := line.find("==")) > 0:
            versions[line[:separator].lower()] = line[separator + 2 :]
    return versions


def source_difference(before: Mapping[str, str], after: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Lines of a unified difference between the sources of two programs; empty if they are the same.

    Args:
        names: what the two are called.
    """
    lines: list[str] = []
    for file in dict.fromkeys([*before, *after]):
        old, new = (sources.get(file, "").splitlines()[:MOST_LINES] for sources in (before, after))
        if old != new:
            titles = [f"{file} ({name})" for name in names]
            lines += difflib.unified_diff(old, new, titles[0], titles[1], lineterm="")
    return lines
