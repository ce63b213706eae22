"""Uploads of data sets from the browser: files are received into a folder of this machine, then become a version."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..core.formatting import one_line
from ..driver.data_calls import upload_call
from ..errors import HopsliteError
from ..storage.datasets.references import check_name
from ..storage.datasets.upload import Reporting
from ..storage.machine_cache import machine_folder
from .context import Dashboard
from .feeds import in_thread

__all__ = ["Upload", "Uploads", "register"]

FOLDER = "dashboard-uploads"
KEPT_SECONDS = 24 * 3600  # for uploads that a browser has left, or a dashboard that was killed
MOST_UPLOADS = 20
PIECE = 1 << 20  # bytes that are collected before they are written
MOST_PATH = 1024  # characters


@dataclasses.dataclass
class Upload:
    """An upload from a browser.

    Attributes:
        state: "receiving", "working", "done" or "failed".
        text: what happens now, or has gone wrong.
        done, total: bytes of what happens now.
        version: of the data set, once it is made.
        arriving: number of files that are being received.
    """

    name: str
    folder: str
    state: str = "receiving"
    text: str = ""
    done: int = 0
    total: int = 0
    version: int | None = None
    arriving: int = 0
    began: float = dataclasses.field(default_factory=time.time)

    def progress(self) -> dict[str, Any]:
        return {"state": self.state, "text": self.text, "done": self.done, "total": self.total, "version": self.version}


class Uploads:
    """Uploads of one dashboard by their ids, which nobody can guess."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self, name: str) -> str:
        """Make room for an upload; returns its id. Call it in a thread.

        Raises:
            HopsliteError: the name cannot be one, or there are too many uploads.
        """
        check_name(name)
        with self._lock:
            self._forget_old()
            if sum(upload.state in ("receiving", "working") for upload in self._uploads.values()) >= MOST_UPLOADS:
                raise HopsliteError(f"there are {MOST_UPLOADS} uploads already; wait until one has ended")
            upload_id = secrets.token_urlsafe(16)
            folder = os.path.join(machine_folder(), FOLDER, upload_id)
            os.makedirs(folder, mode=0o700)
            self._uploads[upload_id] = Upload(name, folder)
            return upload_id

    def __getitem__(self, upload_id: str) -> Upload:
        return self._uploads[upload_id]

    def finish(self, upload: Upload, extract: bool, description: str | None) -> None:
        """Make a version of what was received; call it in a thread. The upload says how it went."""
        upload.state, upload.text = "working", "reading"
        try:
            entries = sorted(os.path.join(upload.folder, entry) for entry in os.listdir(upload.folder))
            paths = entries if extract else [upload.folder]
            reporting = Reporting(lambda line: None, lambda title: _bar(upload, title))
            _, manifest = upload_call(
                upload.name, paths, extract, None, False, description or None, self._project, reporting
            )
            upload.version, upload.state = int(manifest["version"]), "done"
        except (HopsliteError, OSError) as error:
            upload.state, upload.text = "failed", one_line(str(error).replace(upload.folder, ""), 600)
        except Exception as error:
            upload.state, upload.text = "failed", f"{type(error).__name__}: {one_line(str(error), 600)}"
            raise
        finally:
            shutil.rmtree(upload.folder, ignore_errors=True)

    def cancel(self, upload_id: str) -> None:
        """Forget an upload that has not been finished."""
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is None or upload.state != "receiving":
                return
            upload.state = "failed"  # for files that are still on their way
            del self._uploads[upload_id]
            shutil.rmtree(upload.folder, ignore_errors=True)

    def _forget_old(self) -> None:
        before = time.time() - KEPT_SECONDS
        for upload_id, upload in list(self._uploads.items()):
            if upload.began < before and upload.state != "working":
                del self._uploads[upload_id]
        top = os.path.join(machine_folder(), FOLDER)
        known = {upload.folder for upload in self._uploads.values()}
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(top):
                if entry.path not in known and entry.stat(follow_symlinks=False).st_mtime < before:
                    shutil.rmtree(entry.path, ignore_errors=True)


@contextlib.contextmanager
def _bar(upload: Upload, title: str) -> Iterator[Callable[[int, int], None]]:
    def show(done: int, total: int) -> None:
        upload.done, upload.total = done, total

    upload.text, upload.done, upload.total = title, 0, 0
    yield show


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the addresses of uploads to the dashboard."""
    uploads = Uploads(dashboard.project.url)
    tasks: set[asyncio.Future[None]] = set()  # the event loop keeps none that is not kept here

    @app.post("/api/data/{name}/uploads")
    async def begin(name: str) -> Response:
        if dashboard.read_only:
            return PlainTextResponse("this dashboard only shows\n", 403)
        try:
            return JSONResponse({"id": await in_thread(uploads.begin, name)})
        except (HopsliteError, OSError) as error:
            return PlainTextResponse(str(error), 400)

    @app.put("/api/uploads/{upload_id}/files/{path:path}")
    async def receive(request: Request, upload_id: str, path: str) -> Response:
        try:
            upload = uploads[upload_id]
            if upload.state != "receiving":
                return PlainTextResponse("this upload has ended", 409)
            upload.arriving += 1
            try:
                await _receive(request, _target(upload.folder, path))
            finally:
                upload.arriving -= 1
        except KeyError:
            return PlainTextResponse("there is no such upload", 404)
        except HopsliteError as error:
            return PlainTextResponse(str(error), 400)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody gets
        except OSError as error:
            return PlainTextResponse(f"it cannot be stored: {error.strerror}", 507)
        return Response(status_code=204)

    @app.post("/api/uploads/{upload_id}/finish")
    async def finish(request: Request, upload_id: str) -> Response:
        try:
            upload = uploads[upload_id]
        except KeyError:
            return PlainTextResponse("there is no such upload", 404)
        if upload.state != "receiving":
            return PlainTextResponse("this upload has ended", 409)
        if upload.arriving:
            return PlainTextResponse("files are still on their way: finish it when all were answered", 409)
        upload.state = "working"  # before anything else can run
        query = request.query_params
        work = in_thread(uploads.finish, upload, query.get("extract") == "1", query.get("description"))
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return JSONResponse(upload.progress())

    @app.get("/api/uploads/{upload_id}")
    async def progress(upload_id: str) -> Response:
        try:
            return JSONResponse(uploads[upload_id].progress(), headers={"Cache-Control": "no-store"})
        except KeyError:
            return PlainTextResponse("there is no such upload", 404)

    @app.delete("/api/uploads/{upload_id}")
    async def cancel(upload_id: str) -> Response:
        await in_thread(uploads.cancel, upload_id)
        return Response(status_code=204)


def _target(folder: str, path: str) -> str:
    """Path of a received file in the folder of its upload.

    Raises:
        HopsliteError: the name leads out of it.
    """
    parts = path.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in path or "\\" in path or len(path) > MOST_PATH:
        raise HopsliteError(f"{path[:80]!r} cannot be the name of a file")
    return os.path.join(folder, *parts)


async def _receive(request: Request, target: str) -> None:
    """Write the body of a request to a new file, which is removed if the browser goes away."""
    file = await in_thread(_created, target)
    is_whole = False
    pending = bytearray()
    try:
        async for chunk in request.stream():
            pending += chunk
            if len(pending) >= PIECE:
                await in_thread(file.write, bytes(pending))
                pending.clear()
        await in_thread(file.write, bytes(pending))
        is_whole = True
    finally:
        await asyncio.shield(in_thread(file.close))
        if not is_whole:
            with contextlib.suppress(OSError):
                os.unlink(target)


def _created(target: str) -> Any:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return open(target, "xb")
