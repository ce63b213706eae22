"""Files of a trial: the list, previews, and the addresses from which the browser gets them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from ..core.formatting import plain
from ..errors import RunNotFound
from ..storage.fs.file_info import size_text
from .context import Dashboard
from .feeds import in_thread
from .previews import HEAD, Cell, Preview, image_type, preview
from .stored_files import NoSuchFile, StoredFiles
from .widgets import TextTable, section, text, text_block

__all__ = ["Files", "file_response", "register"]

PIECE = 1 << 20  # bytes of a part of a log
# A file of a run is data: wherever a browser shows it, it can neither run scripts nor reach this server.
SANDBOX = "default-src 'none'; img-src 'self' data:; sandbox"
HEADERS = {"Content-Security-Policy": SANDBOX, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the addresses of files to the dashboard."""

    @app.get("/api/runs/{run_id}/trials/{trial_id}/files/{name:path}")
    async def file(request: Request, run_id: str, trial_id: str, name: str) -> Response:
        """Content of a file: a part of it as text, an image, or all of it to be saved."""
        try:
            files = await in_thread(_files_of, dashboard, run_id, trial_id)
            make = _part if "from" in request.query_params else file_response
            response: Response = await in_thread(make, files, name, request.query_params)
        except (NoSuchFile, RunNotFound, FileNotFoundError) as error:
            return PlainTextResponse(str(error), 404, headers=HEADERS)
        except (OSError, ValueError) as error:
            return PlainTextResponse(f"it cannot be read now: {error}", 503, headers=HEADERS)
        return response


def _files_of(dashboard: Dashboard, run_id: str, trial_id: str) -> StoredFiles:
    if not trial_id.isdecimal():
        raise NoSuchFile(f"{trial_id!r} is not the id of a trial")
    run = dashboard.run(run_id)
    return StoredFiles(run.sub("trials", trial_id), run)


def _part(files: StoredFiles, name: str, query: Mapping[str, str]) -> Response:
    """A range of bytes as plain text; `from` below 0 counts from the end."""
    size, start = files.size(name), int(query["from"])
    start = max(0, size + start) if start < 0 else min(start, size)
    end = min(size, start + PIECE, int(query.get("to", size)))
    content = files.read(name, start, end) if start < end else b""
    headers = {**HEADERS, "X-From": str(start), "X-Size": str(size)}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)


def file_response(files: StoredFiles, name: str, query: Mapping[str, str]) -> Response:
    """A file: shown if it is an image by its content, otherwise, and with `download` in the query, to be saved."""
    size = files.size(name)
    kind = image_type(files.read(name, 0, HEAD)) if "download" not in query else None
    headers = {**HEADERS, "Content-Length": str(size)}
    if kind is None:
        saved = quote(name.rpartition("/")[2], safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{saved}"
    return StreamingResponse(
        _content(files, name, size), media_type=kind or "application/octet-stream", headers=headers
    )


def _content(files: StoredFiles, name: str, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, also of a file that grows meanwhile."""
    for start in range(0, size, PIECE):
        yield files.read(name, start, min(start + PIECE, size))


class Files:
    """The tab Files: a list, which follows what the trial writes, and the preview of the file that is chosen."""

    def __init__(self, files: StoredFiles, address: str) -> None:
        self._files, self._address = files, address
        self._sizes: dict[str, int] = {}
        self._rows: dict[str, ui.element] = {}
        self._size_labels: dict[str, ui.label] = {}
        self._chosen: str | None = None
        self._preview: Preview | None = None
        self._is_busy = False

    async def build(self) -> None:
        """Make the elements."""
        self._note = ui.label("It has written no files.").classes("hl-empty")
        with ui.element("div").classes("hl-files") as self._box:
            label = 'role="group" aria-label="Files"'
            self._listing = ui.element("div").classes("hl-card hl-file-list").props(label)
            self._shown = ui.element("div").classes("hl-file-shown")
        self._box.set_visibility(False)
        await self.refresh()

    async def refresh(self) -> None:
        """Show what is new since the last look."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            await self._update(await in_thread(self._files.sizes))
        except OSError:
            pass  # it is tried again
        finally:
            self._is_busy = False

    async def _update(self, sizes: dict[str, int]) -> None:
        before, self._sizes = self._sizes, sizes
        self._note.set_visibility(not sizes)
        self._box.set_visibility(bool(sizes))
        for name in before.keys() - sizes.keys():
            self._rows.pop(name).delete()
            del self._size_labels[name]
        for place, (name, size) in enumerate(sizes.items()):
            if name not in before:
                self._add(name, size, place)
            elif size != before[name]:
                self._size_labels[name].set_text(size_text(size))
        if self._chosen not in sizes:
            if sizes:
                await self._choose(_most_telling(sizes))
        elif self._chosen is not None and sizes[self._chosen] != before.get(self._chosen):
            await self._show(self._chosen, is_new=False)

    def _add(self, name: str, size: int, place: int) -> None:
        with self._listing:
            row = ui.element("button").classes("hl-file").props("type=button aria-pressed=false")
        with row:
            text("span", plain(name)).classes("hl-file-name")
            self._size_labels[name] = ui.label(size_text(size)).classes("hl-soft")
        row.on("click", functools.partial(self._choose, name))
        row.move(self._listing, place)
        self._rows[name] = row

    async def _choose(self, name: str) -> None:
        self._chosen = name
        for other, row in self._rows.items():
            row.props["aria-pressed"] = "true" if other == name else "false"
        await self._show(name, is_new=True)

    async def _show(self, name: str, is_new: bool) -> None:
        try:
            content = await in_thread(preview, self._files, name)
        except (NoSuchFile, OSError) as error:
            content = Preview("nothing", note=str(error))
        if name != self._chosen or (not is_new and content == self._preview and content.kind != "image"):
            return  # another one was chosen meanwhile, or only what is not shown has changed
        self._preview = content
        url = f"{self._address}/{quote(name)}"
        self._shown.clear()
        with self._shown, section(plain(name), "hl-preview"):
            with ui.element("div").classes("hl-row"):
                ui.label(size_text(self._sizes.get(name, 0))).classes("hl-soft")
                if content.note:
                    ui.label(content.note).classes("hl-soft")
                ui.link("download", f"{url}?download=1").classes("hl-right")
            _draw(content, name, f"{url}?size={self._sizes.get(name, 0)}")  # a picture that has changed is loaded again


def _most_telling(sizes: dict[str, int]) -> str:
    """The file that is shown first: a picture if there is one."""
    for endings in ((".png", ".jpg", ".jpeg"), (".csv", ".json", ".txt", ".ipynb")):
        for name in sizes:
            if name.lower().endswith(endings):
                return name
    return next(iter(sizes))


def _draw(content: Preview, name: str, url: str) -> None:
    if content.kind == "image":
        image = ui.element("img").classes("hl-image")
        image.props["src"], image.props["alt"] = url, plain(name)
    elif content.kind == "table":
        TextTable(content.rows)
    elif content.kind == "notebook":
        for cell in content.cells:
            _draw_cell(cell)
    elif content.kind in ("text", "json"):
        text_block(content.text, plain(name))


def _draw_cell(cell: Cell) -> None:
    if cell.kind == "image":
        image = ui.element("img").classes("hl-image")
        image.props["src"], image.props["alt"] = cell.text, "an output of the notebook"
        return
    with ui.element("div").classes(f"hl-cell hl-cell-{cell.kind}"):
        mark = f"[{cell.number if cell.number is not None else ' '}]" if cell.kind == "code" else ""
        text("span", mark).classes("hl-cell-mark")
        text("pre", cell.text)
