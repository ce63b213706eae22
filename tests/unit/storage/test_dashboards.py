"""Announcements of dashboards: believed only if the one that is announced answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hopslite import experiment
from hopslite.storage import dashboards
from tests.helpers.observe import eventually

IDENTITY = "an identity"


class Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"dashboard": IDENTITY}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with HTTPServer(("127.0.0.1", 0), Alive) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_dashboard_is_known_while_it_runs(address: str, project: str, tmp_path: Path) -> None:
    run = experiment.grid_search(lambda x: x, {"x": [1]}, direction="max", pool="inline", display=False)
    assert run.dashboard() is None
    with dashboards.announced(project, address, IDENTITY):
        link = tmp_path / "link"
        link.symlink_to(project)
        assert dashboards.dashboard_of(str(link)) == address
        assert dashboards.dashboard_of(f"{project}-other") is None
        assert run.dashboard() == f"{address}/runs/{run.run_id}"
        assert experiment.load(run.run_id).dashboard() == run.dashboard()
        shown = dashboards.RunPage(project, run.run_id)
        assert eventually(lambda: shown.address, "the page is known without waiting") == run.dashboard()
        [file] = (tmp_path / "state").rglob("*.json")
        assert file.stat().st_mode & 0o077 == 0
    assert dashboards.dashboard_of(project) is None


def test_another_program_at_the_address_is_none(address: str, project: str) -> None:
    with dashboards.announced(project, address, "another identity"):
        assert dashboards.dashboard_of(project) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"address": 5}', b'{"address": "file:///etc/passwd", "pid": 1}', b"\xff"]
)
def test_garbage_is_no_dashboard(address: str, project: str, content: bytes) -> None:
    with dashboards.announced(project, address, IDENTITY):
        [file] = Path(dashboards._folder()).iterdir()
        file.write_bytes(content)
        assert dashboards.dashboard_of(project) is None


def test_a_program_that_speaks_no_http_is_none(address: str, project: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with dashboards.announced(project, f"http://127.0.0.1:{server.getsockname()[1]}", IDENTITY):
            assert dashboards.dashboard_of(project) is None
        thread.join(10)
