"""The page of a run: what has changed in its journal is sent to the browser a few times a second."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import FastAPI, Response
from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from ..errors import HopsliteError, RunNotFound
from ..storage.run_directory import RunDir
from .actions import resume, stop
from .context import Dashboard
from .elements import RunView
from .feeds import Feed, in_thread
from .importance import Estimates
from .layout import frame

__all__ = ["register"]

PUSH_SECONDS = 0.4  # between two messages to a page
MOST_CURVES = 1000  # in one answer
ANSWER_SECONDS = 10.0  # for the browser's answer, after which it gets the next message


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the page to the dashboard."""
    estimates = Estimates(dashboard.project)

    @app.get("/api/runs/{run_id}")
    async def snapshot(run_id: str) -> Response:
        """The whole run as JSON."""
        try:
            run = await in_thread(dashboard.run, run_id)
            content = await in_thread(dashboard.feeds.of(run).snapshot)
        except (RunNotFound, OSError) as error:
            return Response(str(error), 404, media_type="text/plain")
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/api/runs/{run_id}/curves")
    async def curves(run_id: str, metric: int, trials: str | None = None) -> Response:
        """Curves of a metric as JSON: of trials whose ids are joined by commas, or a sample of all."""
        try:
            run = await in_thread(dashboard.run, run_id)
            ids = None if trials is None else trials.split(",")[:MOST_CURVES]
            content = await in_thread(dashboard.feeds.of(run).curves, metric, ids)
        except (RunNotFound, OSError) as error:
            return Response(str(error), 404, media_type="text/plain")
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/api/runs/{run_id}/importance")
    async def importance(run_id: str) -> Response:
        """The importance of the run's parameters as JSON."""
        try:
            run = await in_thread(dashboard.run, run_id)
            ended = await in_thread(dashboard.feeds.of(run).ended_trials)
        except (RunNotFound, OSError) as error:
            return Response(str(error), 404, media_type="text/plain")
        return Response(await estimates.of(run_id, ended), media_type="application/json")

    @ui.page("/runs/{run_id}")
    async def page(run_id: str) -> None:
        try:
            run = await in_thread(dashboard.run, run_id)
        except (RunNotFound, OSError) as error:
            with frame(dashboard, "No such run", "/"):
                ui.label(str(error)).classes("hl-problem")
            return
        address = json.dumps(f"/api/runs/{run_id}")
        ui.add_head_html(f"<script>window.hlSnapshot = fetch({address})</script>")  # while the scripts are loaded
        with frame(dashboard, run_id, "/"):
            notice = ui.label("").classes("hl-problem").props('role="status"')
            view = RunView(run_id, not dashboard.read_only)
            _Push(view, notice, dashboard.feeds.of(run))
            if not dashboard.read_only:
                view.on("stop", lambda: _ask_to_stop(run))
                view.on("resume", lambda: _ask_to_resume(dashboard, run))


class _Push:
    """Sends changes to one page, each after the browser has answered the one before."""

    def __init__(self, view: RunView, notice: ui.label, feed: Feed) -> None:
        self._view, self._notice, self._feed = view, notice, feed
        self._known: int | None = None  # the revision that the browser has
        self._answered = asyncio.Event()
        self._is_sending = False
        feed.listen(self._on_change)
        view.client.on_delete(lambda: feed.leave(self._on_change))
        view.on("synced", self._on_synced)

    def _on_synced(self, event: GenericEventArguments) -> None:
        revision: Any = event.args
        if isinstance(revision, int):
            self._known = revision
            self._answered.set()
            self._on_change()

    def _on_change(self) -> None:
        self._notice.text = self._feed.problem or ""
        if not self._is_sending and self._known is not None and self._known < self._feed.revision:
            self._is_sending = True
            background_tasks.create(self._send(), name="push")

    async def _send(self) -> None:
        try:
            while self._known is not None and self._known < self._feed.revision and not self._view.is_deleted:
                self._answered.clear()
                _, changes = await in_thread(self._feed.changes, self._known)
                if changes is None:
                    self._view.run_method("reload")
                else:
                    self._view.run_method("apply", changes)
                try:
                    await asyncio.wait_for(self._answered.wait(), ANSWER_SECONDS)
                except asyncio.TimeoutError:
                    self._known = None  # it is gone, or asleep; when it wakes up it says what it has
                await asyncio.sleep(PUSH_SECONDS)
        finally:
            self._is_sending = False


async def _ask_to_stop(run: RunDir) -> None:
    question = "Stop this run? Its trials end at their next report, and it can be resumed later."
    if await _agreed(question, "Stop"):
        try:
            await stop(run)
            ui.notify("The run was asked to stop.")
        except (HopsliteError, OSError) as error:
            ui.notify(f"The run cannot be stopped: {error}", type="negative")


async def _ask_to_resume(dashboard: Dashboard, run: RunDir) -> None:
    question = "Resume this run? Its program runs as you on this machine's Spark. Finished trials are not run again."
    if await _agreed(question, "Resume"):
        ui.notify("The run is being resumed.")
        try:
            problem = await resume(dashboard.project, run)
        except (HopsliteError, OSError) as error:
            problem = str(error)
        if problem:
            ui.notify(f"The run could not be resumed: {problem}", type="negative")


async def _agreed(question: str, yes: str) -> bool:
    with ui.dialog() as dialog, ui.element("div").classes("hl-card hl-dialog"):
        ui.label(question)
        with ui.element("div").classes("hl-row hl-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
            ui.button(yes, on_click=lambda: dialog.submit(True)).props("unelevated no-caps")
    answer = await dialog
    dialog.delete()
    return bool(answer)
