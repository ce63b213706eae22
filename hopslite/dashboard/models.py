"""The pages of models: a list, and for each its versions with their metrics, runs and files."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from nicegui import ui
from nicegui.element import Element
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from ..core import formatting
from ..core.formatting import one_line, plain
from ..core.settings import Settings
from ..driver.model_arguments import check_name
from ..errors import HopsliteError, ModelNotFound
from ..storage.fs.file_info import size_text
from ..storage.model_versions import Models
from .context import Dashboard
from .feeds import in_thread
from .layout import frame
from .stored_files import NoSuchFile, StoredFiles
from .subprocess_call import answer_of
from .trial_files import HEADERS
from .widgets import empty, section, table, text
from .zip_stream import zipped

__all__ = ["register"]

MOST_VERSIONS = 200  # that a page lists
MOST_FILES = 500  # likewise
MOST_METRICS = 12  # with columns of their own
REGISTRY_SECONDS = 60.0  # MLflow takes seconds to import
Record = dict[str, Any]


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the pages to the dashboard."""
    registry_turn = asyncio.Lock()  # each process that imports MLflow needs seconds and much memory

    @ui.page("/models")
    async def page() -> None:
        with frame(dashboard, "Models", "/models"):
            text("h1", "Models").classes("hl-title")
            try:
                newest = await in_thread(_newest, dashboard)
            except OSError as error:
                ui.label(plain(str(error))).classes("hl-problem")
                return
            _list(newest)

    @ui.page("/models/{name}")
    async def model(name: str) -> None:
        with frame(dashboard, plain(name), "/models"):
            with ui.element("div").classes("hl-row"):
                ui.link("Models", "/models").classes("hl-crumb")
                ui.label("/").classes("hl-soft")
                text("h1", plain(name)).classes("hl-title")
            try:
                versions = await in_thread(_versions, dashboard, name)
            except (HopsliteError, OSError) as error:
                ui.label(plain(str(error))).classes("hl-problem")
                return
            cells = _show(name, versions)

            async def show_stages() -> None:
                async with registry_turn:
                    stages = await _stages(dashboard, name)
                for version, cell in cells.items():
                    for stage in stages.get(version, ()) if not cell.is_deleted else ():
                        with cell:
                            text("span", plain(stage)).classes("hl-tag")

            ui.timer(0, show_stages, once=True)  # MLflow takes longer than a page may

    @app.get("/api/models/{name}/{version}/archive.zip")
    async def archive(name: str, version: int) -> Response:
        try:
            files, record = await in_thread(_files, dashboard, name, version)
        except (HopsliteError, OSError) as error:
            return PlainTextResponse(str(error), 404, headers=HEADERS)
        content = zipped((file, files.pieces(file)) for file in record["files"])
        saved = f"attachment; filename*=UTF-8''{quote(f'{name}-{version}.zip', safe='')}"
        return StreamingResponse(
            content, media_type="application/zip", headers={**HEADERS, "Content-Disposition": saved}
        )


def _newest(dashboard: Dashboard) -> list[tuple[Record, int]]:
    """Newest version of each model, and how many versions it has."""
    models = Models(dashboard.project)
    listed = []
    for name in models.names():
        versions = list(models.records(name))
        if versions:
            listed.append((versions[0], len(versions)))
    return listed


def _checked(name: str) -> str:
    known, problems = check_name(name)
    if problems or known.startswith("."):
        raise ModelNotFound(f"there is no model {name!r:.80}")
    return known


def _versions(dashboard: Dashboard, name: str) -> list[Record]:
    models = Models(dashboard.project)
    return list(models.records(_checked(name))) or [models.record(name)]  # the latter says why there are none


async def _stages(dashboard: Dashboard, name: str) -> dict[str, list[str]]:
    """Aliases and stages in MLflow's registry by version; empty while MLflow cannot be read."""
    settings = await in_thread(Settings.load)
    if not settings.tracks:
        return {}
    call = {
        "function": "stages",
        "project": dashboard.project.url,
        "model": name,
        "tracking_uri": settings.tracking_uri,
    }
    answer = await answer_of("hopslite.track._mlflow_registry", call, REGISTRY_SECONDS)
    return dict(json.loads(answer).get("outcome") or {}) if answer else {}


def _files(dashboard: Dashboard, name: str, version: int) -> tuple[StoredFiles, Record]:
    models = Models(dashboard.project)
    record = models.record(_checked(name), version)
    files = StoredFiles(models.folder(name).sub(str(record["folder"])), dashboard.project.sub("Models"))
    for file in record["files"]:
        try:
            files.size(file)  # before anything is sent
        except NoSuchFile as error:
            raise ModelNotFound(f"version {version} of model {name!r} is damaged: {error}") from error
    return files, record


def _list(newest: list[tuple[Record, int]]) -> None:
    if not newest:
        empty("There are none yet. hopslite.model.export() makes a version of one.")
        return
    with ui.element("div").classes("hl-card hl-scroll"), ui.element("table").classes("hl-plain"):
        _head("name", "versions", "newest", "metrics", "size", "exported", "description")
        with ui.element("tbody"):
            for record, count in newest:
                with ui.element("tr"):
                    with ui.element("td"):
                        ui.link(plain(str(record["name"])), f"/models/{quote(str(record['name']))}")
                    for cell in (
                        str(count),
                        str(record["version"]),
                        formatting.params(_metrics(record)),
                        size_text(_size(record)),
                        _moment(record),
                        one_line(record.get("description")),
                    ):
                        text("td", cell)


def _show(name: str, versions: list[Record]) -> dict[str, Element]:
    """Show the versions of a model; returns the cells for what MLflow's registry says of them, by version."""
    cells = {}
    metrics = list(dict.fromkeys(metric for record in versions for metric in _metrics(record)))[:MOST_METRICS]
    with section("Versions"), ui.element("div").classes("hl-scroll"), ui.element("table").classes("hl-plain"):
        _head("version", *map(plain, metrics), "from", "files", "size", "exported", "by", "description", "MLflow", "")
        with ui.element("tbody"):
            for record in versions[:MOST_VERSIONS]:
                with ui.element("tr"):
                    text("td", str(record["version"]))
                    for metric in metrics:
                        text("td", formatting.metric(_metrics(record).get(metric)))
                    with ui.element("td"):
                        _origin(record)
                    for cell in (
                        f"{len(record['files']):,}",
                        size_text(_size(record)),
                        _moment(record),
                        plain(str(record.get("user") or "")),
                        one_line(record.get("description")),
                    ):
                        text("td", cell)
                    cells[str(record["version"])] = ui.element("td")
                    with ui.element("td"):
                        address = f"/api/models/{quote(name)}/{int(record['version'])}/archive.zip"
                        text("a", "download").classes("hl-small-button").props["href"] = address
    newest = versions[0]
    files = [(file, facts) for file, facts in newest["files"].items() if isinstance(facts, dict)]
    with section(f"Files of version {newest['version']}"):
        rows = [
            (plain(str(file)), size_text(_int(facts.get("size"))), str(facts.get("sha256"))[:16])
            for file, facts in files[:MOST_FILES]
        ]
        table(["file", "size", "SHA-256"], rows)
    return cells


def _head(*names: str) -> None:
    with ui.element("thead"), ui.element("tr"):
        for name in names:
            text("th", name)


def _origin(record: Record) -> None:
    """Link to the run or trial that a version came from."""
    run_id, trial_id = record.get("run_id"), record.get("trial_id")
    if not run_id:
        return
    address = f"/runs/{quote(str(run_id))}" + (f"/trials/{quote(str(trial_id))}" if trial_id else "")
    ui.link(plain(f"trial {trial_id}" if trial_id else "run"), address).tooltip(plain(str(run_id)))


def _metrics(record: Record) -> dict[str, Any]:
    metrics = record.get("metrics")
    return (
        {str(name): value for name, value in metrics.items() if _is_number(value)} if isinstance(metrics, dict) else {}
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _size(record: Record) -> int:
    return sum(_int(facts.get("size")) for facts in record["files"].values() if isinstance(facts, dict))


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _moment(record: Record) -> str:
    created = record.get("created")
    if not isinstance(created, (int, float)):
        return ""
    return datetime.datetime.fromtimestamp(created).strftime("%Y-%m-%d %H:%M")
