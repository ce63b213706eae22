"""The page Compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from nicegui import ui

from ..core.formatting import plain
from ..errors import HopsliteError, StoreError
from ..runs.lookup import records
from .comparison_data import Comparison, Item, compare, curves_of, differing, read_item, references_in
from .context import Dashboard
from .feeds import in_thread
from .layout import frame
from .widgets import ChartGrid, chip, empty, section, text

__all__ = ["register"]

OFFERED = 300  # newest runs to choose from


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the page to the dashboard."""

    @ui.page("/compare")
    async def page(runs: str = "") -> None:
        with frame(dashboard, "Compare", "/compare"):
            try:
                with ui.element("div").classes("hl-row"):
                    text("h1", "Compare").classes("hl-title")
                    chosen = await _chooser(dashboard, runs)
                items = [await in_thread(read_item, dashboard, reference) for reference in references_in(runs)]
            except (HopsliteError, OSError) as error:
                ui.label(plain(str(error))).classes("hl-problem")
                return
            if len(items) < 2:
                empty("Choose two or more runs. Trials are compared with /compare?runs=RUN/TRIAL,RUN/TRIAL.")
                chosen.props["autofocus"] = True
                return
            await _show(items)


async def _chooser(dashboard: Dashboard, runs: str) -> ui.select:
    """Select for the runs that are compared."""
    known = await in_thread(_known, dashboard)
    current = [part.strip() for part in runs.split(",") if part.strip()]
    options = {**{reference: plain(reference) for reference in current}, **known}
    select = ui.select(
        options, multiple=True, value=[r for r in current if r in options], with_input=True, label="runs"
    )
    select.props("dense outlined options-dense use-chips").classes("hl-compare-choice")
    ui.button("Compare", color=None, on_click=lambda: _go(select.value)).props("unelevated no-caps dense").classes(
        "hl-compare"
    )
    return select


def _go(references: Sequence[str]) -> None:
    ui.navigate.to(f"/compare?runs={quote(','.join(references))}")


def _known(dashboard: Dashboard) -> dict[str, str]:
    """Titles of the newest runs by their ids."""
    shown = {}
    for run, record in list(records(dashboard.project))[-OFFERED:][::-1]:
        if not isinstance(record, StoreError):
            run_id = run.url.rpartition("/")[2]
            shown[run_id] = plain(f"{record['name']} {record['version']}")
    return shown


async def _show(items: Sequence[Item]) -> None:
    only = ui.checkbox("differences only").props('dense aria-label="differences only"')
    box = ui.element("div").classes("hl-overview hl-comparison")
    only.on_value_change(lambda event: box.classes(toggle="hl-only-differences"))
    with box:
        _table("Parameters", items, compare([item.params for item in items]), is_first=True)
        _table("Metrics", items, compare([item.metrics for item in items]))
        panels = await in_thread(curves_of, items)
        ChartGrid(panels, "None of them has reported a metric.")
        _table("Facts", items, compare([item.facts for item in items]))
        packages, sources = await in_thread(differing, items)
        if not any(item.packages for item in items):
            with section("Environment"):
                empty("It was not recorded.")
        elif packages.rows:
            _table("Environment: packages that differ", items, packages)
        else:
            with section("Environment"):
                empty("All have the same packages.")
        _code(items, sources)


def _table(title: str, items: Sequence[Item], comparison: Comparison, is_first: bool = False) -> None:
    count = comparison.differences
    with section(title):
        if not comparison.rows:
            empty("none")
            return
        with ui.element("div").classes("hl-scroll"), ui.element("table").classes("hl-plain hl-compared"):
            with ui.element("thead"), ui.element("tr"):
                text("th", f"{count} differ" if count else "all the same")
                for item in items:
                    with ui.element("th"):
                        ui.link(item.title, item.address)
                        if is_first:
                            chip(item.state)
            with ui.element("tbody"):
                for name, texts, differs in comparison.rows:
                    _row(name, texts, differs)


def _row(name: str, texts: Sequence[str], differs: bool) -> None:
    with ui.element("tr").classes("hl-differs" if differs else "hl-same"):
        text("th", name).props("scope=row")
        for index, shown in enumerate(texts):
            cell: Any = text("td", shown)
            if differs and index and shown != texts[0]:
                cell.classes("hl-changed")


def _code(items: Sequence[Item], differences: Sequence[Sequence[str]]) -> None:
    with section("Code"):
        if not any(item.sources for item in items):
            empty("It was not recorded.")
        elif not any(differences):
            empty("All have the same code.")
        for lines in filter(None, differences):
            with ui.element("div").classes("hl-source").props('tabindex=0 aria-label="Difference of the code"'):
                for line in lines:
                    text("div", line or " ").classes(f"hl-source-line {_kind(line)}")


def _kind(line: str) -> str:
    if line.startswith(("+++", "---", "@@")):
        return "hl-hunk"
    return {"+": "hl-added", "-": "hl-removed"}.get(line[:1], "")
