"""Uploads of data sets over HTTP, in process."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from hopslite import data
from hopslite.dashboard import data_set_files, uploads
from hopslite.dashboard.context import Dashboard
from hopslite.dashboard.zip_stream import zipped
from hopslite.storage.machine_cache import machine_folder
from hopslite.storage.project import Project

SECONDS = 60


class Server:
    """The addresses of uploads, asked in process."""

    def __init__(self, project: Path, read_only: bool = False) -> None:
        self.project = str(project)
        self._app = FastAPI()
        dashboard = Dashboard(Project(self.project), read_only)
        uploads.register(dashboard, self._app)
        data_set_files.register(dashboard, self._app)

    async def ask(self, method: str, path: str, content: Any = None) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, content=content)

    async def begin(self, name: str = "flowers") -> str:
        answer = await self.ask("POST", f"/api/data/{name}/uploads")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def finish(self, upload: str, query: str = "") -> dict[str, Any]:
        answer = await self.ask("POST", f"/api/uploads/{upload}/finish?{query}")
        assert answer.status_code == 200, answer.text
        for _ in range(SECONDS * 10):
            progress: dict[str, Any] = (await self.ask("GET", f"/api/uploads/{upload}")).json()
            if progress["state"] in ("done", "failed"):
                return progress
            await asyncio.sleep(0.1)
        raise AssertionError(progress)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data.create("flowers", project=str(tmp_path / "project"))
    return Server(tmp_path / "project")


def received() -> list[str]:
    """Names of folders with what was received."""
    folder = os.path.join(machine_folder(), uploads.FOLDER)
    return os.listdir(folder) if os.path.isdir(folder) else []


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


def test_files_become_a_version_and_are_saved_as_an_archive(server: Server) -> None:
    async def work() -> bytes:
        upload = await server.begin()
        for name in ("train/rose/a%20b.png", "train/tulip/1.png"):
            assert (await server.ask("PUT", f"/api/uploads/{upload}/files/{name}", name.encode())).status_code == 204
        progress = await server.finish(upload, "description=first")
        assert (progress["state"], progress["version"]) == ("done", 1)
        return (await server.ask("GET", "/api/data/flowers/1/archive.zip")).content

    content = asyncio.run(work())
    version = data.get("flowers", project=server.project)
    assert (list(version.files), version.description) == (["train/rose/a b.png", "train/tulip/1.png"], "first")
    assert version.classes == {"train": {"rose": 1, "tulip": 1}}
    with zipfile.ZipFile(io.BytesIO(content)) as saved:
        assert saved.testzip() is None
        assert saved.read("train/tulip/1.png") == b"train/tulip/1.png"
    assert received() == []


def test_archives_are_unpacked_and_hostile_ones_refused(server: Server) -> None:
    async def work(content: bytes) -> dict[str, Any]:
        upload = await server.begin()
        assert (await server.ask("PUT", f"/api/uploads/{upload}/files/a.zip", content)).status_code == 204
        return await server.finish(upload, "extract=1")

    assert asyncio.run(work(archive(**{"train/x/1.txt": "1"})))["version"] == 1
    assert list(data.get("flowers", project=server.project).files) == ["train/x/1.txt"]
    refused = asyncio.run(work(archive(**{"../../out.txt": "1"})))
    assert refused["state"] == "failed"
    assert "its name leads out of the archive" in refused["text"]
    assert len(data.versions("flowers", project=server.project)) == 1
    assert received() == []


@pytest.mark.parametrize("path", ["..%2F..%2Fout", "a/..%2F..%2Fout", "%2Fetc/x", "a%00b", "a//b", "a%5Cb", ""])
def test_names_cannot_lead_out(server: Server, tmp_path: Path, path: str) -> None:
    async def work() -> int:
        upload = await server.begin()
        return (await server.ask("PUT", f"/api/uploads/{upload}/files/{path}", b"x")).status_code

    assert asyncio.run(work()) == 400
    assert not list(tmp_path.rglob("out"))


def test_a_browser_that_goes_away_leaves_no_half_file(server: Server) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100
        raise ConnectionError("gone")

    async def work() -> dict[str, Any]:
        upload = await server.begin()
        assert (await server.ask("PUT", f"/api/uploads/{upload}/files/a.txt", broken())).status_code == 507
        assert (await server.ask("PUT", f"/api/uploads/{upload}/files/a.txt", b"whole")).status_code == 204
        assert (await server.ask("PUT", f"/api/uploads/{upload}/files/a.txt", b"again")).status_code == 507
        return await server.finish(upload)

    assert asyncio.run(work())["version"] == 1
    assert data.get("flowers", project=server.project).size == 5


def test_an_upload_ends_once_and_can_be_cancelled(server: Server) -> None:
    async def work() -> list[int]:
        first = await server.begin()
        await server.ask("PUT", f"/api/uploads/{first}/files/a.txt", b"x")
        assert len(received()) == 1
        codes = [(await server.ask("DELETE", f"/api/uploads/{first}")).status_code]
        assert received() == []
        codes.append((await server.ask("PUT", f"/api/uploads/{first}/files/b.txt", b"x")).status_code)
        second = await server.begin()
        assert (await server.finish(second))["state"] == "failed"  # there is nothing in it
        codes.append((await server.ask("POST", f"/api/uploads/{second}/finish")).status_code)
        codes.append((await server.ask("GET", "/api/uploads/guessed")).status_code)
        return codes

    assert asyncio.run(work()) == [204, 404, 409, 404]


def test_a_dashboard_that_only_shows_takes_nothing(server: Server) -> None:
    shows = Server(Path(server.project), read_only=True)
    assert asyncio.run(shows.ask("POST", "/api/data/flowers/uploads")).status_code == 403


def test_a_zip_archive_is_made_piece_by_piece() -> None:
    pieces = zipped([("a.txt", iter([b"12", b"34"])), ("folder/b.bin", iter([b"\0" * 5_000_000]))])
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as saved:
        assert saved.testzip() is None
        assert saved.read("a.txt") == b"1234"
        assert saved.getinfo("folder/b.bin").file_size == 5_000_000
    assert b"".join(zipped([])).startswith(b"PK")


def test_an_upload_is_not_finished_while_a_file_arrives(server: Server) -> None:
    async def work() -> tuple[int, dict[str, Any]]:
        upload = await server.begin()
        may_end = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            await may_end.wait()
            yield b"y"

        sending = asyncio.ensure_future(server.ask("PUT", f"/api/uploads/{upload}/files/a.txt", slow()))
        for _ in range(SECONDS * 10):
            if any(files for _, _, files in os.walk(os.path.join(machine_folder(), uploads.FOLDER))):
                break
            await asyncio.sleep(0.1)
        early = (await server.ask("POST", f"/api/uploads/{upload}/finish")).status_code
        may_end.set()
        assert (await sending).status_code == 204
        return early, await server.finish(upload)

    early, progress = asyncio.run(work())
    assert (early, progress["state"]) == (409, "done")
    assert data.get("flowers", project=server.project).size == 2


def test_a_browser_that_is_closed_is_no_error_of_the_server(server: Server) -> None:
    async def work() -> list[Any]:
        upload = await server.begin()
        messages: list[Any] = []
        incoming = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return incoming.pop(0)

        async def send(message: Any) -> None:
            messages.append(message)

        path = f"/api/uploads/{upload}/files/a.txt"
        scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b""}
        await server._app({**scope, "headers": [], "http_version": "1.1", "root_path": ""}, receive, send)
        return messages

    assert asyncio.run(work())[0]["status"] == 400
    assert not any(files for _, _, files in os.walk(os.path.join(machine_folder(), uploads.FOLDER)))
