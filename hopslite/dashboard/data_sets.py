"""The pages of data sets: a list, and for each its versions, classes with pictures, files and uses."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from nicegui import ui

from .. import data
from ..core.formatting import one_line, plain
from ..data import DataVersion
from ..driver.data_calls import rm_call
from ..errors import HopsliteError
from ..runs.data_set_uses import DataUse
from ..storage.fs.file_info import size_text
from . import data_set_files, uploads
from .context import Dashboard
from .data_set_files import Row, rows_of
from .feeds import in_thread
from .layout import frame
from .widgets import TextTable, UploadArea, chip, empty, facts, section, text

__all__ = ["register"]

MOST_FILES = 2000  # that a page lists
MOST_USES = 50


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the pages to the dashboard."""
    uploads.register(dashboard, app)
    data_set_files.register(dashboard, app)

    @ui.page("/data")
    async def page() -> None:
        with frame(dashboard, "Data sets", "/data"):
            with ui.element("div").classes("hl-row"):
                text("h1", "Data sets").classes("hl-title")
                if not dashboard.read_only:
                    _new_button(dashboard)
            try:
                known = await in_thread(lambda: data.ls(project=dashboard.project.url))
            except (HopsliteError, OSError) as error:
                ui.label(plain(str(error))).classes("hl-problem")
                return
            _list(known)

    @ui.page("/data/{name}")
    async def data_set(name: str, version: str = "") -> None:
        with frame(dashboard, plain(name), "/data"):
            try:
                await _DataSetPage(dashboard, name, int(version) if version.isdecimal() else None).build()
            except (HopsliteError, OSError) as error:
                ui.label(plain(str(error))).classes("hl-problem")


def _list(known: list[data.DataSet]) -> None:
    if not known:
        empty("There are none yet. A data set has numbered versions of files, which never change.")
        return
    with ui.element("div").classes("hl-card hl-scroll"), ui.element("table").classes("hl-plain"):
        with ui.element("thead"), ui.element("tr"):
            for name in ("name", "versions", "newest", "files", "size", "uploaded", "description"):
                text("th", name)
        with ui.element("tbody"):
            for one in known:
                newest = one.newest
                with ui.element("tr"):
                    with ui.element("td"):
                        ui.link(plain(one.name), f"/data/{quote(one.name)}")
                    cells = [str(len(one.versions))]
                    cells += (
                        [str(newest.version), f"{newest.num_files:,}", size_text(newest.size), _moment(newest)]
                        if newest
                        else [""] * 4
                    )
                    for cell in [*cells, one_line(one.description)]:
                        text("td", cell)


def _moment(version: DataVersion) -> str:
    return datetime.datetime.fromtimestamp(version.created_at).strftime("%Y-%m-%d %H:%M")


def _new_button(dashboard: Dashboard) -> None:
    with ui.dialog() as dialog, ui.element("div").classes("hl-card hl-dialog"):
        text("h2", "New data set")
        name = ui.input("name").props("dense outlined autofocus")
        description = ui.input("description").props("dense outlined")
        problem = ui.label("").classes("hl-problem")

        async def create() -> None:
            try:
                await in_thread(
                    lambda: data.create(name.value.strip(), description.value or None, project=dashboard.project.url)
                )
            except (HopsliteError, OSError) as error:
                problem.set_text(plain(str(error)))
                return
            ui.navigate.to(f"/data/{quote(name.value.strip())}")

        with ui.element("div").classes("hl-row hl-end"):
            ui.button("Cancel", color=None, on_click=dialog.close).props("flat no-caps")
            ui.button("Create", color=None, on_click=create).props("unelevated no-caps").classes("hl-start")
    ui.button("New data set", color=None, on_click=dialog.open).props("unelevated no-caps dense").classes(
        "hl-start hl-right"
    )


class _DataSetPage:
    """The page of one data set."""

    def __init__(self, dashboard: Dashboard, name: str, number: int | None) -> None:
        self._dashboard, self._name, self._number = dashboard, name, number
        self._project = dashboard.project.url

    async def build(self) -> None:
        versions = await in_thread(lambda: data.versions(self._name, project=self._project))
        with ui.element("div").classes("hl-row"):
            ui.link("Data sets", "/data").classes("hl-crumb")
            ui.label("/").classes("hl-soft")
            text("h1", plain(self._name)).classes("hl-title")
        chosen = next((one for one in versions if one.version == self._number), versions[0] if versions else None)
        if self._number is not None and chosen is not None and chosen.version != self._number:
            ui.label(f"There is no version {self._number}; this is the newest.").classes("hl-problem")
        with ui.element("div").classes("hl-columns"):
            self._versions(versions, chosen)
            if chosen is not None:
                self._facts(chosen)
            if not self._dashboard.read_only:
                self._upload()
        if chosen is not None:
            await self._content(chosen)

    def _versions(self, versions: list[DataVersion], chosen: DataVersion | None) -> None:
        with section("Versions"):
            if not versions:
                empty("It has none yet: upload files.")
                return
            with ui.element("div").classes("hl-scroll hl-short"), ui.element("table").classes("hl-plain"):
                with ui.element("thead"), ui.element("tr"):
                    for name in ("version", "files", "size", "uploaded", "description"):
                        text("th", name)
                with ui.element("tbody"):
                    for one in versions:
                        with ui.element("tr").classes("hl-chosen-row" if one is chosen else ""):
                            with ui.element("td"):
                                ui.link(str(one.version), f"/data/{quote(self._name)}?version={one.version}")
                            cells = (f"{one.num_files:,}", size_text(one.size), _moment(one), one_line(one.description))
                            for cell in cells:
                                text("td", cell)

    def _facts(self, version: DataVersion) -> None:
        with section(f"Version {version.version}"):
            facts(
                [
                    ("input", str(version)),
                    ("files", f"{version.num_files:,}, {size_text(version.size)}"),
                    ("uploaded", f"{_moment(version)} by {plain(version.user)}" if version.user else _moment(version)),
                    ("description", one_line(version.description, 1000)),
                    ("fingerprint", version.fingerprint[:16]),
                ]
            )
            with ui.element("div").classes("hl-row"):
                address = f"/api/data/{quote(self._name)}/{version.version}/archive.zip"
                text("a", "download").classes("hl-small-button").props["href"] = address
                if not self._dashboard.read_only:
                    remove = text("button", "delete").classes("hl-small-button").props("type=button")
                    remove.on("click", lambda: self._ask_to_remove(version.version))

    def _upload(self) -> None:
        with section("Upload a new version"):
            area = UploadArea(self._name)

            def uploaded(event: Any) -> None:
                number = event.args if isinstance(event.args, int) else ""
                ui.navigate.to(f"/data/{quote(self._name)}?version={number}")

            area.on("uploaded", uploaded)

    async def _content(self, version: DataVersion) -> None:
        uses = await in_thread(lambda: data.runs(self._name, version.version, project=self._project))
        with section("Runs that used it"):
            _uses(uses)
        rows, names = await in_thread(rows_of, self._dashboard, self._name, version.version)
        if version.classes:
            _classes(version)
        if rows:
            self._pictures(rows, version.version)
        with section("Files"):
            if len(names) > MOST_FILES:
                ui.label(f"the first {MOST_FILES:,} of {len(names):,} are listed").classes("hl-soft")
            TextTable([("file", "bytes"), *((plain(name), str(size)) for name, size in names[:MOST_FILES])])

    def _pictures(self, rows: list[Row], version: int) -> None:
        with section("Pictures"):
            for row in rows:
                with ui.element("div").classes("hl-pictures"):
                    text("div", plain(row.label)).classes("hl-pictures-label")
                    with ui.element("div").classes("hl-pictures-row"):
                        for name in row.names:
                            image = ui.element("img").classes("hl-thumbnail").props("loading=lazy")
                            image.props["src"] = f"/api/data/{quote(self._name)}/{version}/thumbnail/{quote(name)}"
                            image.props["alt"] = image.props["title"] = plain(name)

    async def _ask_to_remove(self, version: int) -> None:
        with ui.dialog() as dialog, ui.element("div").classes("hl-card hl-dialog"):
            ui.label(f"Delete version {version} of {plain(self._name)} for good? Its number is never used again.")
            with ui.element("div").classes("hl-row hl-end"):
                ui.button("Cancel", color=None, on_click=lambda: dialog.submit(False)).props("flat no-caps")
                ui.button("Delete", color=None, on_click=lambda: dialog.submit(True)).props("unelevated no-caps")
        if await dialog:
            try:
                await in_thread(rm_call, self._name, version, False, self._project)
            except (HopsliteError, OSError) as error:
                ui.notify(plain(str(error)), type="negative")
                return
            ui.navigate.to(f"/data/{quote(self._name)}")


def _uses(uses: list[DataUse]) -> None:
    if not uses:
        empty("None yet.")
        return
    with ui.element("div").classes("hl-uses"):
        for use in uses[:MOST_USES]:
            with ui.element("div").classes("hl-row"):
                ui.link(plain(f"{use.run_name} {use.run_version}"), f"/runs/{quote(use.run_id)}")
                chip(use.state)
                ui.label(f"as {plain(use.input)}").classes("hl-soft")


def _classes(version: DataVersion) -> None:
    with section("Classes"):
        for split, counts in version.classes.items():
            ui.label(f"{plain(split)}: {len(counts)} classes, {sum(counts.values()):,} files").classes("hl-soft")
            largest = max(counts.values(), default=1)
            with ui.element("div").classes("hl-class-bars"):
                for name, count in list(counts.items())[:60]:
                    text("div", plain(name)).classes("hl-class-name")
                    with ui.element("div").classes("hl-class-bar"):
                        ui.element("div").style(f"width: {100 * count / largest:.1f}%")
                    text("div", f"{count:,}").classes("hl-soft")
