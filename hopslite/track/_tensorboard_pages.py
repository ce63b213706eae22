"""TensorBoard of each run of a project under `/RUN_ID/`, by one program on an inherited socket."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core import extras
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ._tensorboard_import import disable_tensorflow
from ._tensorboard_server import REMOVALS, local_logdir, mount

__all__ = ["Pages", "main"]

IDLE_SECONDS = 600.0
POLL_SECONDS = 0.5
DRAIN_SECONDS = 5.0  # for requests that are being answered
MOUNTS = 5  # runs that are loaded at a time
LISTED = 100  # runs on the first page
FAILURE_SECONDS = 2.0  # in which connections get to know why there is no TensorBoard

Environment = Mapping[str, Any]
Start = Callable[..., Any]
App = Callable[[Environment, Start], Iterable[bytes]]


class Pages:
    """WSGI application with the TensorBoard of each run of a project, loaded at its first request.

    `mount` makes a run's application from its path, directory and title. The threads that load a run cannot be ended,
    so that one run more than `MOUNTS` makes `is_full` true: the program is to end, and the next request, which the
    browser is told to repeat, finds a new one. Safe from many threads.
    """

    def __init__(self, project: Project, mount: Callable[[str, RunDir, str], App]) -> None:
        self._project, self._mount = project, mount
        self._lock = threading.Lock()  # guards the runs
        self._runs: dict[str, App] = {}
        self._counting = threading.Lock()
        self._busy = 0
        self._last = time.monotonic()
        self.is_full = False

    @property
    def busy(self) -> int:
        """Number of requests that are being answered."""
        return self._busy

    @property
    def idle_seconds(self) -> float:
        """Time since the last request."""
        return 0.0 if self._busy else time.monotonic() - self._last

    def __call__(self, environment: Environment, start: Start) -> Iterable[bytes]:
        self._count(1)
        try:
            return list(self._answer(environment, start))  # read here, so that it counts as being answered
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self._busy += change
            self._last = time.monotonic()

    def _answer(self, environment: Environment, start: Start) -> Iterable[bytes]:
        path = str(environment.get("PATH_INFO") or "/")
        run_id = path.split("/")[1]
        if not run_id:
            return _page(start, "200 OK", f"Runs of {self._project.shown}", self._list())
        app = self._app(run_id)
        if app is not None:
            return app(environment, start)
        if self.is_full:
            query = environment.get("QUERY_STRING")
            where = path + (f"?{query}" if query else "")
            return _page(start, "307 Temporary Redirect", "TensorBoard starts again", "", ("Location", where))
        text = f"There is no run {html.escape(repr(run_id))} in this project. <a href='/'>All runs</a>"
        return _page(start, "404 Not Found", "No such run", f"<p>{text}</p>")

    def _app(self, run_id: str) -> App | None:
        """Application of a run; None if there is no such run, or no room for another one."""
        with self._lock:
            app = self._runs.get(run_id)
            if app is None and not self.is_full and re.fullmatch(r"\w[\w-]*", run_id):
                run = self._project.sub("Experiments", run_id)
                if run.exists("run.json"):
                    if len(self._runs) >= MOUNTS:
                        self.is_full = True
                        return None
                    app = self._runs[run_id] = self._mount(f"/{run_id}", run, _title(run))
            return app

    def _list(self) -> str:
        items = []
        for run_id in self._project.runs()[: -LISTED - 1 : -1]:
            title = _title(self._project.sub("Experiments", run_id))
            items.append(f"<li><a href='/{html.escape(run_id)}/'>{html.escape(title)}</a> {html.escape(run_id)}</li>")
        return f"<ul>{''.join(items)}</ul>" if items else "<p>It has no runs.</p>"


def _title(run: RunDir) -> str:
    with contextlib.suppress(OSError):
        record = record_in(run, required=()) or {}
        return f"{record.get('name', 'run')} v{record.get('version', 0)}"
    return "run"


def _page(start: Start, status: str, title: str, body: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    title = html.escape(title)
    text = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}".encode()
    start(status, [("Content-Type", "text/html"), ("Content-Length", str(len(text))), *headers])
    return [text]


def main() -> int:
    """Serve the pages on the socket whose descriptor is the argument, until standard input ends or nobody looks."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.stdin.readline())
    over = threading.Event()
    try:
        pages = Pages(Project(options["project"]), lambda *run: _mounted(options["scratch"], *run))
        server = _server(listener, pages)
    except Exception as error:  # noqa: BLE001  any failure of a foreign program is the same to those who look
        _say_why_not(listener, error)
        return 1
    threading.Thread(target=server.serve_forever, name="TensorBoard", daemon=True).start()
    threading.Thread(target=_watch_input, args=(over,), daemon=True).start()
    while not over.wait(POLL_SECONDS) and not pages.is_full and pages.idle_seconds < IDLE_SECONDS:
        pass
    server.shutdown()
    until = time.monotonic() + (0 if over.is_set() else DRAIN_SECONDS)
    while pages.busy and time.monotonic() < until:
        time.sleep(POLL_SECONDS / 10)
    for _ in range(REMOVALS):  # threads may write while they go
        shutil.rmtree(options["scratch"], ignore_errors=True)
    os._exit(0)  # not delayed by the threads of the server


def _watch_input(over: threading.Event) -> None:
    """Set `over` when the companion has ended."""
    sys.stdin.read()
    over.set()


def _mounted(scratch: str, path: str, run: RunDir, title: str) -> App:
    folder = os.path.join(scratch, os.path.basename(run.url))
    os.makedirs(folder)
    app: App = mount(local_logdir({"": run.url}, folder), path, title)
    return app


def _server(listener: socket.socket, pages: Pages) -> Any:
    disable_tensorflow()
    import tensorboard.program  # before the first request for a run, which would fail without a word  # noqa: F401
    from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # a connection serves many requests

        def log(self, *_: Any) -> None:
            pass

    host, port = listener.getsockname()[:2]
    server = ThreadedWSGIServer(host, port, pages, Handler, fd=listener.fileno())
    server.daemon_threads = True
    return server


def _say_why_not(listener: socket.socket, error: Exception) -> None:
    """Answer connections with the reason why there is no TensorBoard."""
    hint = extras.pip_install(["tensorboard"]) if isinstance(error, ImportError) else ""
    text = f"TensorBoard could not be started ({type(error).__name__}: {error}). {hint}\n".encode()
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    until = time.monotonic() + FAILURE_SECONDS
    while (left := until - time.monotonic()) > 0:
        listener.settimeout(left)
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(FAILURE_SECONDS)
                connection.recv(65536)
                connection.sendall(head + f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
