"""Reports of a run's trials, from its journal."""

from __future__ import annotations

from ..core.types import DEFAULT_KEY
from ..storage.journal import JournalReader
from ..storage.records import is_sound
from ..storage.run_directory import RunDir

__all__ = ["reports_of"]


def reports_of(url: str) -> list[tuple[str, float, str, float]]:
    """Reports of a run's trials, from the last attempt of each: trial, step, name of the metric and value."""
    reports: dict[str, list[tuple[str, float, str, float]]] = {}
    key = DEFAULT_KEY
    for event in filter(is_sound, JournalReader(RunDir(url)).new()):
        if event.kind == "run_started":
            key = event.data.get("optimization_key") or DEFAULT_KEY
        elif event.kind == "started" and event.trial:
            reports[event.trial] = []
        elif event.kind == "report" and event.trial:
            values = event.data.get("metrics") or {key: event.data["value"]}
            rows = [(event.trial, event.data["step"], name, value) for name, value in values.items()]
            reports.setdefault(event.trial, []).extend(rows)
    return [report for trial in sorted(reports) for report in reports[trial]]
