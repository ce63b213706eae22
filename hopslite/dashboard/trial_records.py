"""Resources that a trial has used, and its events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from ..core import formatting
from ..core.types import Event
from ..runs.following import FollowedTrial
from ..runs.trial_journal import TrialJournal
from .widgets import ChartGrid, empty, table

__all__ = ["Events", "Resources"]

GPU = re.compile(r"gpu(?P<device>.+?)_(?P<metric>percent|memory_mb)")
# Titles and units of charts by the names of samples.
CHARTS = {
    "cpu_percent": ("CPU", "% of a core"),
    "memory_mb": ("Memory", "MB"),
    "disk_read_mb_per_s": ("Disk", "MB/s"),
    "disk_write_mb_per_s": ("Disk", "MB/s"),
}
NAMES = {"disk_read_mb_per_s": "read", "disk_write_mb_per_s": "written"}
KINDS = {
    "asked": "suggested",
    "started": "started",
    "members": "members",
    "stop": "stopped early",
    "suggested": "parameter",
    "user_attr": "attribute",
    "retry": "run again",
    "ended": "ended",
    "again": "to be run again",
    "known": "known",
}


class Resources:
    """The tab Resources."""

    def __init__(self) -> None:
        self._charts: ChartGrid | None = None
        self._panels: list[dict[str, Any]] = []

    async def build(self) -> None:
        self._charts = ChartGrid(self._panels, "Nothing was measured yet: the first values come after some seconds.")

    def show(self, trial: FollowedTrial, journal: TrialJournal) -> None:
        """Show what was measured until now."""
        panels: dict[str, dict[str, Any]] = {}
        for name, series in journal.samples.items():
            title, unit, line = _chart(name)
            panel = panels.setdefault(
                title, {"title": title, "unit": unit, "isTime": True, "fromZero": True, "series": []}
            )
            panel["series"].append({"name": line, "points": series.shown()})
        order = ["CPU", "Memory", "GPU", "GPU memory", "Disk"]
        self._panels = sorted(panels.values(), key=lambda panel: (*_place(order, panel["title"]), panel["title"]))
        if self._charts is not None:
            self._charts.show(self._panels)


def _place(order: list[str], title: str) -> tuple[int]:
    return (order.index(title) if title in order else len(order),)


def _chart(name: str) -> tuple[str, str, str]:
    """Title, unit and name of the line of a sample."""
    if match := GPU.fullmatch(name):
        is_memory = match["metric"] == "memory_mb"
        return ("GPU memory", "MB", f"GPU {match['device']}") if is_memory else ("GPU", "%", f"GPU {match['device']}")
    title, unit = CHARTS.get(name, (name.replace("_", " "), ""))
    return title, unit, NAMES.get(name, title)


class Events:
    """The tab Events."""

    def __init__(self) -> None:
        self._box: ui.element | None = None
        self._rows: list[tuple[str, str, str]] = []

    async def build(self) -> None:
        self._box = ui.element("div").classes("hl-card")
        self._draw()

    def show(self, journal: TrialJournal, record: Mapping[str, Any]) -> None:
        """Show the events until now."""
        began = record.get("started")
        rows = [_row(event, began if isinstance(began, (int, float)) else 0.0) for event in list(journal.events)]
        if rows != self._rows:
            self._rows = rows
            self._draw()

    def _draw(self) -> None:
        if self._box is None:
            return
        self._box.clear()
        with self._box:
            if self._rows:
                table(["after", "event", ""], self._rows, "hl-events")
            else:
                empty("Nothing has happened yet.")


def _row(event: Event, began: float) -> tuple[str, str, str]:
    after = formatting.duration(max(0.0, event.time - began)) if began else ""
    return after, KINDS.get(event.kind, formatting.plain(event.kind)), _details(event)


def _details(event: Event) -> str:
    """Details of an event in a line."""
    data = event.data
    if event.kind in ("asked", "known", "suggested"):
        return formatting.exact_params(data.get("params"))
    if event.kind == "started":
        gpus = data.get("gpus")
        parts = [f"attempt {int(data.get('attempt') or 0) + 1}", f"on {data.get('host') or 'this machine'}"]
        parts += [f"slot {data['slot']}"] if str(data.get("slot", "")).isdecimal() else []
        parts += [f"GPUs {', '.join(map(str, gpus))}"] if isinstance(gpus, list) and gpus else []
        return formatting.one_line(", ".join(parts))
    if event.kind == "stop":
        at = f" at step {formatting.metric(data['step'])}" if isinstance(data.get("step"), (int, float)) else ""
        return formatting.one_line(f"{data.get('why') or ''}{at}")
    if event.kind == "retry":
        cause = f"{data.get('cause')}: " if data.get("cause") else ""
        return formatting.one_line(
            f"attempt {int(data.get('attempt') or 0) + 1} was lost: {cause}{data.get('error') or ''}"
        )
    if event.kind == "ended":
        parts = [str(data.get("state")), formatting.duration(data.get("duration")), data.get("error") or ""]
        return formatting.one_line(", ".join(filter(None, parts)))
    if event.kind == "members":
        members = [item for item in data.get("members") or () if isinstance(item, dict)]
        return formatting.one_line(", ".join(f"{m.get('role')} {m.get('index')} on {m.get('host')}" for m in members))
    return formatting.exact_params(data.get("values")) if isinstance(data.get("values"), dict) else ""
