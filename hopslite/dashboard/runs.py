"""The page with all runs of the project."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from fastapi import FastAPI
from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from .context import Dashboard
from .elements import RunsTable
from .feeds import Feed, in_thread
from .layout import frame
from .run_list import RunList

__all__ = ["register"]

LOCAL_SECONDS, REMOTE_SECONDS = 1.0, 5.0  # between two looks at the project


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the page to the dashboard."""
    watch = _Watch(dashboard)

    @ui.page("/")
    def page() -> None:
        with frame(dashboard, "Runs", "/"):
            with ui.element("div").classes("hl-row"):
                ui.label("Runs").classes("hl-title").props('role="heading" aria-level="1"')
                count = ui.label("").classes("hl-soft")
                ui.element("span").classes("hl-grow")
                search = (
                    ui.input(placeholder="filter")
                    .props('dense outlined clearable aria-label="Filter runs"')
                    .classes("hl-search")
                )
                grouped = ui.checkbox("group by name").props("dense")
                compare = ui.button("Compare", color=None).props("unelevated no-caps dense").classes("hl-compare")
                compare.disable()
            table = RunsTable()
            _Rows(table, count, watch)
            search.on_value_change(lambda event: table.run_method("filter", event.value or ""))
            grouped.on_value_change(lambda event: table.run_method("group", event.value))
            chosen: list[str] = []

            def choose(event: GenericEventArguments) -> None:
                chosen[:] = [run_id for run_id in event.args if isinstance(run_id, str)]
                compare.text = f"Compare {len(chosen)}" if chosen else "Compare"
                compare.enabled = len(chosen) > 1

            table.on("chosen", choose)
            compare.on_click(lambda: ui.navigate.to(f"/compare?runs={quote(','.join(chosen))}"))


class _Watch:
    """Reads the list of runs for all pages that show it, while there are any."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self.runs = RunList(dashboard.project)
        self._pages: set[_Rows] = set()
        self._is_busy = False

    def join(self, page: _Rows) -> None:
        self._pages.add(page)
        if not self._is_busy:
            self._is_busy = True
            background_tasks.create(self._work(), name="list of runs")

    def leave(self, page: _Rows) -> None:
        self._pages.discard(page)

    async def _work(self) -> None:
        pause = LOCAL_SECONDS if self._dashboard.project.is_local else REMOTE_SECONDS
        problem = ""
        try:
            while self._pages:
                feeds: dict[str, Feed] = {}
                for run in await in_thread(self.runs.active):
                    feeds[run.url] = self._dashboard.feeds.of(run)
                try:
                    await in_thread(self.runs.refresh, feeds)
                    problem = ""
                except OSError as error:
                    problem = f"the project cannot be read now: {error}"
                for page in tuple(self._pages):
                    await page.update(problem)
                await asyncio.sleep(pause)
        finally:
            self._is_busy = False


class _Rows:
    """The rows that one page has."""

    def __init__(self, table: RunsTable, count: ui.label, watch: _Watch) -> None:
        self._table, self._count, self._watch = table, count, watch
        self._known = 0
        table.client.on_delete(lambda: watch.leave(self))
        table.on("ready", self._begin)

    async def _begin(self) -> None:
        self._known = 0  # also where the browser has made the table anew
        if self._watch.runs.revision:
            await self.update("")
        self._watch.join(self)

    async def update(self, problem: str) -> None:
        """Send what has changed."""
        known, changes = await in_thread(self._watch.runs.changes, self._known)
        if changes:
            self._table.run_method("update", changes)
        self._known = known
        self._count.text = problem or await in_thread(self._watch.runs.summary)
