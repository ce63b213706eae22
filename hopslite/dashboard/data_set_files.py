"""Files of data sets for pages: rows of pictures, thumbnails, and archives to be saved."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from fastapi import FastAPI
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from ..core import extras
from ..errors import HopsliteError
from ..figures.contact_sheet import IMAGES
from ..storage.datasets.dataset import DataSet
from ..storage.datasets.file_list import StoredFile
from ..storage.datasets.samples import read_sample, samples
from .context import Dashboard
from .feeds import in_thread
from .previews import HEAD, image_type
from .trial_files import HEADERS
from .zip_stream import zipped

__all__ = ["Row", "register", "rows_of"]

PIECE = 1 << 20
MOST_PICTURES = 8  # in a row
KEPT_LISTS = 4  # of files, for the thumbnails of a page
KEPT = {**HEADERS, "Cache-Control": "private, max-age=86400"}  # a version never changes


class Row(NamedTuple):
    """Names of some pictures of a class."""

    label: str
    names: list[str]


class _Lists:
    """Files by name of the versions that were asked for last. Safe from many threads."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._lists: OrderedDict[tuple[str, int, str], dict[str, StoredFile]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str, version: int) -> tuple[DataSet, dict[str, StoredFile]]:
        """Data set, and files of one of its versions.

        Raises:
            DataSetNotFound: there is no such version.
        """
        data_set = DataSet(self._dashboard.project, name)
        manifest = data_set.manifest(version)
        key = (name, version, str(manifest["list"]))
        with self._lock:
            if key not in self._lists:
                self._lists[key] = {file.name: file for file in data_set.files(manifest)}
                while len(self._lists) > KEPT_LISTS:
                    self._lists.popitem(last=False)
            return data_set, self._lists[key]


def rows_of(dashboard: Dashboard, name: str, version: int) -> tuple[list[Row], list[tuple[str, int]]]:
    """Rows of pictures, a row for each class, and names and sizes of all files."""
    _, files = _Lists(dashboard).of(name, version)
    rows = samples(list(files.values()), IMAGES)
    named = [Row(label or "images", [file.name for file in some[:MOST_PICTURES]]) for label, some in rows]
    return [row for row in named if row.names], [(file.name, file.size) for file in files.values()]


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the addresses of files to the dashboard."""
    lists = _Lists(dashboard)

    @app.get("/api/data/{name}/{version}/thumbnail/{path:path}")
    async def picture(name: str, version: int, path: str) -> Response:
        try:
            content = await in_thread(_thumbnail, lists, name, version, path)
        except (HopsliteError, OSError) as error:
            return PlainTextResponse(str(error), 404, headers=HEADERS)
        kind = image_type(content[:HEAD]) if content else None
        if content is None or kind is None:
            return PlainTextResponse("it is not an image that can be shown", 404, headers=HEADERS)
        return Response(content, media_type=kind, headers=KEPT)

    @app.get("/api/data/{name}/{version}/archive.zip")
    async def archive(name: str, version: int) -> Response:
        try:
            data_set, files = await in_thread(lists.of, name, version)
        except (HopsliteError, OSError) as error:
            return PlainTextResponse(str(error), 404, headers=HEADERS)
        content = zipped((file.name, _content(data_set, file)) for file in files.values())
        saved = f"attachment; filename*=UTF-8''{quote(f'{name}-{version}.zip', safe='')}"
        return StreamingResponse(
            content, media_type="application/zip", headers={**HEADERS, "Content-Disposition": saved}
        )


def _thumbnail(lists: _Lists, name: str, version: int, path: str) -> bytes | None:
    """A small PNG of an image; the image itself where Pillow is not installed."""
    data_set, files = lists.of(name, version)
    if path not in files:
        return None
    content = read_sample(data_set.objects, files[path])
    if content is None or extras.missing(["plots"]):
        return content
    from ..figures.contact_sheet import thumbnail

    return thumbnail(content)


def _content(data_set: DataSet, file: StoredFile) -> Iterator[bytes]:
    for checksum, _, size in file.parts:
        if not data_set.folder.is_local:
            yield data_set.objects.get(checksum, size)
            continue
        with open(data_set.objects.path(checksum), "rb") as content:  # as a whole it may not fit into memory
            while piece := content.read(PIECE):
                yield piece
