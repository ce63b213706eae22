"""The page of a trial."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

from fastapi import FastAPI
from nicegui import ui

from ..core import formatting
from ..core.types import LOG_NAME, State
from ..errors import RunNotFound
from ..runs.following import FollowedTrial
from ..runs.trial_journal import TrialJournal
from ..storage.run_directory import RunDir
from . import trial_files
from .context import Dashboard
from .feeds import Feed, in_thread
from .layout import frame
from .stored_files import StoredFiles
from .tabs import Tabs
from .trial_overview import Overview
from .trial_program import build_program
from .trial_records import Events, Resources
from .widgets import LogView, chip, text

__all__ = ["register"]

TRIAL_ID = re.compile(r"[0-9]{4,9}")
FILES_SECONDS = 2.0  # between two listings of the files of a trial that runs
LOCAL_SECONDS, REMOTE_SECONDS = 0.5, 3.0  # between two looks at the journal
ENDED_FACTOR = 10


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the page to the dashboard."""
    trial_files.register(dashboard, app)

    @ui.page("/runs/{run_id}/trials/{trial_id}")
    async def page(run_id: str, trial_id: str, tab: str = "") -> None:
        try:
            run = await in_thread(dashboard.run, run_id)
            shown = await in_thread(_open, run, dashboard.feeds.of(run), trial_id)
        except (RunNotFound, OSError) as error:
            with frame(dashboard, "Trial", "/"):
                ui.label(str(error)).classes("hl-problem")
            return
        with frame(dashboard, f"Trial {trial_id} of {shown.name}", "/"):
            await _Page(shown).build(tab)


@dataclasses.dataclass(frozen=True)
class ShownTrial:
    """A trial that a page shows."""

    run: RunDir
    run_id: str
    trial_id: str
    name: str
    version: Any
    feed: Feed
    journal: TrialJournal
    others: tuple[str, ...]

    @property
    def files(self) -> StoredFiles:
        return StoredFiles(self.run.sub("trials", self.trial_id), self.run)

    @property
    def address(self) -> str:
        return f"/runs/{self.run_id}/trials/{self.trial_id}"

    def now(self) -> tuple[FollowedTrial, State, dict[str, Any]]:
        """The trial, its state and the run's record; call it in a thread."""
        with self.feed.reading() as followed:
            trial = followed.trials[self.trial_id]
            return dataclasses.replace(trial), trial.state_in(followed.state), followed.facts()


def _open(run: RunDir, feed: Feed, trial_id: str) -> ShownTrial:
    run_id = run.url.rpartition("/")[2]
    if not TRIAL_ID.fullmatch(trial_id):
        raise RunNotFound(f"{trial_id!r} is not the id of a trial")
    feed.refresh()
    with feed.reading() as followed:
        record, trials = followed.facts(), tuple(followed.trials)
    if trial_id not in trials:
        known = f"its trials: {trials[0]} to {trials[-1]}" if trials else "it has none yet"
        raise RunNotFound(f"run {run_id} has no trial {trial_id}; {known}")
    journal = TrialJournal(run, trial_id)
    journal.refresh()
    name = formatting.plain(str(record.get("name") or run_id))
    return ShownTrial(run, run_id, trial_id, name, record.get("version"), feed, journal, trials)


class _Page:
    """The elements of a trial's page, which change with its journal."""

    def __init__(self, shown: ShownTrial) -> None:
        self._shown = shown
        self._overview = Overview(shown.run, shown.trial_id)
        self._resources, self._events = Resources(), Events()
        self._log: LogView | None = None
        self._files: trial_files.Files | None = None
        self._revision = -1
        self._state: State | None = None
        self._looked = self._listed = 0.0

    async def build(self, tab: str) -> None:
        self._head()
        builders = {
            "Overview": self._overview.build,
            "Log": self._build_log,
            "Resources": self._resources.build,
            "Files": self._build_files,
            "Program": self._build_program,
            "Events": self._events.build,
        }
        self._tabs = Tabs(builders, self._shown.address)
        await self._tabs.choose(tab)
        await self._refresh()
        ui.timer(LOCAL_SECONDS if self._shown.run.is_local else REMOTE_SECONDS, self._on_timer)

    def _head(self) -> None:
        shown = self._shown
        with ui.element("div").classes("hl-row"):
            ui.link(f"{shown.name} {shown.version}", f"/runs/{shown.run_id}").classes("hl-crumb")
            ui.label("/").classes("hl-soft")
            text("h1", f"Trial {shown.trial_id}").classes("hl-title")
            self._chip = chip("")
            self._line = ui.label("").classes("hl-soft")
            with ui.element("div").classes("hl-row hl-right"):
                place = shown.others.index(shown.trial_id)
                _neighbour(shown, place - 1, "chevron_left", "the trial before")
                _neighbour(shown, place + 1, "chevron_right", "the next trial")

    async def _build_log(self) -> None:
        self._log = LogView(f"/api{self._shown.address}/files", [], True).classes("hl-grow")
        await self._refresh_log()

    async def _refresh_log(self) -> None:
        if self._log is not None:
            names = await in_thread(_logs, self._shown.files)
            self._log.set_files(names)
            self._log.set_live(self._state is None or not self._state.final)

    async def _build_files(self) -> None:
        self._files = trial_files.Files(self._shown.files, f"/api{self._shown.address}/files")
        await self._files.build()

    async def _build_program(self) -> None:
        _, _, record = await in_thread(self._shown.now)
        await build_program(self._shown.run, record)

    async def _on_timer(self) -> None:
        is_final = self._state is not None and self._state.final
        seconds = LOCAL_SECONDS * ENDED_FACTOR if is_final else 0.0  # a run that has ended may be resumed
        if time.monotonic() - self._looked >= seconds:
            await self._refresh()

    async def _refresh(self) -> None:
        self._looked = time.monotonic()
        journal = self._shown.journal
        try:
            await in_thread(journal.refresh)
            await in_thread(self._shown.feed.refresh)
            trial, state, record = await in_thread(self._shown.now)
        except OSError:
            return  # it is tried again
        self._line.set_text(_line(trial, state))
        is_changed = state is not self._state
        if is_changed:
            self._chip.set_text(state.value)
            self._chip.classes(replace=f"hl-state hl-{state.value}")
            self._state = state
        is_due = time.monotonic() - self._listed >= FILES_SECONDS and not state.final
        if self._files is not None and (is_changed or is_due):
            self._listed = time.monotonic()
            await self._files.refresh()
        if is_changed or (self._log is not None and not self._log.has_files):
            await self._refresh_log()
        if is_changed or journal.revision != self._revision:
            self._revision = journal.revision
            await self._overview.show(trial, state, record, journal)
            self._resources.show(trial, journal)
            self._events.show(journal, record)


def _logs(files: StoredFiles) -> list[str]:
    """Logs of a trial, that of its own process first."""
    names = [name for name in files.sizes() if name.endswith(LOG_NAME) and "/" not in name]
    return sorted(names, key=lambda name: (name != LOG_NAME, name))


def _line(trial: FollowedTrial, state: State) -> str:
    """Times and place of a trial in a line."""
    parts = []
    if trial.result is not None and trial.result.duration:
        parts.append(formatting.duration(trial.result.duration))
    elif state is State.RUNNING and trial.started is not None:
        parts.append(f"for {formatting.duration(max(0.0, time.time() - trial.started))}")
    if trial.host:
        parts.append(f"on {formatting.plain(trial.host)}")
    if trial.slot is not None and str(trial.slot).isdecimal():
        parts.append(f"slot {trial.slot}")
    if trial.attempt:
        parts.append(f"attempt {trial.attempt + 1}")
    return " · ".join(parts)


def _neighbour(shown: ShownTrial, place: int, icon: str, title: str) -> None:
    is_there = 0 <= place < len(shown.others)
    button = ui.button(icon=icon, color=None).props(f'flat round dense aria-label="{title}"').classes("hl-icon")
    button.set_enabled(is_there)
    if is_there:
        target = f"/runs/{shown.run_id}/trials/{shown.others[place]}"
        button.on_click(lambda: ui.navigate.to(target))
