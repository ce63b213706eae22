"""Pages of a project's runs: loaded when they are asked for, a few at a time."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.track import _tensorboard_pages
from hopslite.track._tensorboard_pages import App, Pages

PROGRAM = """
import sys
from hopslite.track import _tensorboard_pages
_tensorboard_pages.IDLE_SECONDS, _tensorboard_pages.MOUNTS = 1.0, 1
_tensorboard_pages.main()
"""


class Site:
    """The application with a stand-in for TensorBoard, which says what it is asked for."""

    def __init__(self, folder: Path, runs: int) -> None:
        project = Project(str(folder))
        self.mounted: list[str] = []
        self.runs = []
        for number in range(runs):
            run_id, version, run = project.new_run("digits")
            run.write_json("run.json", {"run_id": run_id, "name": f"di<gits{number}", "version": version})
            self.runs.append(run_id)
        self.pages = Pages(project, self.mount)

    def mount(self, path: str, run: RunDir, title: str) -> App:
        self.mounted.append(path)

        def app(environment: Any, start: Any) -> Iterable[bytes]:
            start("200 OK", [])
            return [f"{title} {environment['PATH_INFO']}".encode()]

        return app

    def get(self, path: str, query: str = "") -> tuple[str, dict[str, str], str]:
        answers: list[tuple[str, dict[str, str]]] = []
        body = self.pages(
            {"PATH_INFO": path, "QUERY_STRING": query}, lambda status, headers: answers.append((status, dict(headers)))
        )
        return (*answers[0], b"".join(body).decode())


def test_a_run_is_loaded_once(tmp_path: Path) -> None:
    site = Site(tmp_path, 2)
    for _ in range(2):
        status, _, body = site.get(f"/{site.runs[0]}/data")
        assert (status, body) == ("200 OK", f"di<gits0 v1 /{site.runs[0]}/data")
    assert site.mounted == [f"/{site.runs[0]}"]
    assert site.pages.busy == 0
    assert 0 <= site.pages.idle_seconds < 60


def test_the_first_page_lists_them_the_newest_first(tmp_path: Path) -> None:
    site = Site(tmp_path, 2)
    status, _, body = site.get("/")
    assert status == "200 OK"
    first, second = sorted(site.runs)
    assert body.index(second) < body.index(first)
    assert "<gits" not in body


@pytest.mark.parametrize("path", ["/20200101-none/", "/..", "/../../etc/passwd", "/.versions/digits", "/<b>"])
def test_others_are_not_there(tmp_path: Path, path: str) -> None:
    site = Site(tmp_path, 1)
    status, _, body = site.get(path)
    assert status == "404 Not Found"
    assert "There is no run" in body
    assert "<b>" not in body


def test_one_run_too_many_makes_room_for_a_new_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tensorboard_pages, "MOUNTS", 2)
    site = Site(tmp_path, 3)
    for run in site.runs[:2]:
        site.get(f"/{run}/")
    assert not site.pages.is_full
    status, headers, _ = site.get(f"/{site.runs[2]}/data", "a=b")
    assert status == "307 Temporary Redirect"
    assert headers["Location"] == f"/{site.runs[2]}/data?a=b"
    assert site.pages.is_full
    assert site.get(f"/{site.runs[0]}/")[0] == "200 OK", "those that are loaded are still there"


class TestProgram:
    """The real one, on a socket that outlives it."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        return Site(tmp_path / "project", 2)

    @pytest.fixture
    def listener(self) -> Iterator[socket.socket]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            yield listener

    @contextlib.contextmanager
    def serving(self, tmp_path: Path, listener: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        number = listener.fileno()
        command = [sys.executable, "-c", PROGRAM, str(number)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number], bufsize=0) as program:
            assert program.stdin is not None
            options = {"project": str(tmp_path / "project"), "scratch": str(scratch)}
            program.stdin.write(json.dumps(options).encode() + b"\n")
            try:
                yield program
            finally:
                program.stdin.close()
                program.wait(60)
        assert not scratch.exists()

    def get(self, listener: socket.socket, path: str) -> Any:
        return urllib.request.urlopen(f"http://127.0.0.1:{listener.getsockname()[1]}{path}", timeout=60)

    def test_it_ends_when_nobody_looks(self, site: Site, listener: socket.socket, tmp_path: Path) -> None:
        for _ in range(2):  # connections to the second one wait until it is there
            with self.serving(tmp_path, listener) as program:
                assert json.load(self.get(listener, f"/{site.runs[0]}/data/runs")) == []
                assert program.wait(60) == 0

    def test_it_ends_for_one_run_too_many(self, site: Site, listener: socket.socket, tmp_path: Path) -> None:
        with self.serving(tmp_path, listener) as program:
            self.get(listener, f"/{site.runs[0]}/").close()
            with pytest.raises(urllib.error.HTTPError, match="307") as again:
                NO_REDIRECT.open(f"http://127.0.0.1:{listener.getsockname()[1]}/{site.runs[1]}/")
            assert again.value.headers["Location"] == f"/{site.runs[1]}/"
            assert program.wait(60) == 0
        with self.serving(tmp_path, listener):
            assert b"tb-webapp" in self.get(listener, f"/{site.runs[1]}/").read()


class Never(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


NO_REDIRECT = urllib.request.build_opener(Never)
