"""Commands that start a page in the browser: `tensorboard` on runs, `ui` on the project in MLflow."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator

import click

from .._past import record_of
from .._runs import find
from ..config import Settings
from ..errors import HopsliteError, RunNotFound, StoreError
from ..store import Project
from ..store.filesystems import without_credentials
from ._common import RUN, command, home, project_option

__all__ = ["tensorboard_command", "ui_command"]

TRAINING = "?workflowType=machine_learning"  # MLflow 3 opens with its pages for language models
SEARCHED = 20  # runs, the newest first, for one that MLflow has
MLFLOW_PORT, TENSORBOARD_PORT = 5000, 6006
TRIED = 100  # ports after the first
START_SECONDS = 120.0
STOP_SECONDS = 10.0


def _free(given: int) -> int:
    """The port, or the next free one, which is said."""
    for port in range(given, min(given + TRIED, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port != given:
                click.echo(f"port {given} is in use; taking {port}", err=True)
            return port
    raise click.BadParameter(f"no port from {given} to {given + TRIED - 1} is free")


def _browser(function: Callable[..., None]) -> Callable[..., None]:
    return click.option("--browser/--no-browser", default=True, help="Open it in the browser.")(function)


def _open(url: str, browser: bool) -> None:
    click.echo(url)
    if browser and not _opened(url):
        click.echo("no browser could be opened here; open the address in yours", err=True)


def _opened(url: str) -> bool:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        if not os.environ.get("BROWSER"):
            return False  # a browser of text would take the terminal
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


@contextlib.contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a terminal that is closed set."""
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command("tensorboard")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=RUN)
@click.option("--port", type=click.IntRange(1, 65535), default=TENSORBOARD_PORT, show_default=True)
@_browser
@project_option
def tensorboard_command(place: str | None, runs: tuple[str, ...], port: int, browser: bool) -> None:
    """Open TensorBoard on runs, wherever they are, until Ctrl-C."""
    from ..track import TensorBoardServer

    project = home(place)
    directories = [find(project, run) for run in runs]
    logdirs = {}
    for directory in directories:
        record = record_of(directory.read_many(["run.json"])[0]) or {}
        name = re.sub(r"[^\w.-]+", "_", f"{record.get('name', 'run')}-{record.get('version', 0)}").lstrip(".")
        logdirs[name if name not in logdirs else directory.url.rpartition("/")[2]] = directory.url
    troubles: list[str] = []
    port = _free(port)
    with _until_interrupted() as ended:
        server = TensorBoardServer(
            logdirs if len(logdirs) > 1 else next(iter(logdirs.values())), on_warning=troubles.append, port=port
        )
        try:
            url = server.url(START_SECONDS)
            if url is None:
                raise HopsliteError(troubles[0] if troubles else "TensorBoard has not answered")
            click.echo("Ctrl-C ends it", err=True)
            _open(url, browser)
            ended.wait()
        finally:
            server.close()


@click.command("ui")
@click.argument("run", required=False, type=RUN)
@click.option("--port", type=click.IntRange(1, 65535), default=MLFLOW_PORT, show_default=True)
@_browser
@project_option
def ui_command(place: str | None, run: str | None, port: int, browser: bool) -> None:
    """Open MLflow until Ctrl-C: a run's page, or those of the project, with trials, metrics, images and models.

    MLflow 3 has two sets of pages; "Model training", at the top on the left, is the one for runs, and stays chosen.
    """
    settings = Settings.load(project=place)
    project = home(place)
    if not settings.tracks:
        raise HopsliteError("MLflow is off (tracking_uri); set HOPSLITE_TRACKING_URI to where the runs are tracked")
    uri, page = settings.tracking_uri, _page(project, run)
    if uri is None:
        if not project.is_local:
            raise StoreError(f"{project.shown} has no MLflow of its own; name a server with HOPSLITE_TRACKING_URI")
        if not project.exists("mlflow.db"):
            raise StoreError(f"{project.shown} has no MLflow yet: no run has been tracked there")
        uri = f"sqlite:///{project.path('mlflow.db')}"
    if uri.startswith(("http://", "https://")):
        _open(without_credentials(uri).rstrip("/") + page, browser)
        return
    _serve_mlflow(uri, port, page, browser)


def _page(project: Project, run: str | None) -> str:
    """The part of an address in MLflow that shows a run, or all of the name that the newest run has."""
    directories = (
        [find(project, run)]
        if run
        else [project.sub("Experiments", one) for one in project.runs()[: -SEARCHED - 1 : -1]]
    )
    for directory in directories:
        known = record_of(directory.read_many(["mlflow.json"])[0]) or {}
        if known.get("experiment_id") and known.get("run_id"):
            page = f"/#/experiments/{known['experiment_id']}/runs"
            return f"{page}/{known['run_id']}{TRAINING}" if run else page + TRAINING
    if run:
        raise RunNotFound(f"MLflow has no run {run!r} yet; {command(f'track {run}')} tells it")
    return f"/#/experiments{TRAINING}"


def _serve_mlflow(uri: str, port: int, page: str, browser: bool) -> None:
    from ..runtime.linux import end_with_parent
    from ..track import alone_with_new_database

    with contextlib.suppress(OSError), alone_with_new_database(uri):
        pass  # a run that has just begun may be making its tables, which MLflow would do, too
    port = _free(port)
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it has more processes of its own than all else
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_BACKEND_STORE_URI": uri,
    }
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with _until_interrupted() as ended:
        server = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no threads yet
        )
        said: list[bytes] = []
        assert server.stderr is not None
        reading = threading.Thread(target=_keep_last, args=(server.stderr, said), daemon=True)
        reading.start()
        try:
            if _answers(url, server, ended):
                click.echo("Ctrl-C ends it", err=True)
                _open(url + page, browser)
                while server.poll() is None and not ended.wait(0.5):
                    pass
            if not ended.is_set():
                reading.join(1.0)
                last = b"".join(said).decode(errors="replace").strip().splitlines()[-1:]
                raise HopsliteError(f"MLflow has ended{': ' if last else ''}{''.join(last)}")
        finally:
            _end(server)


def _keep_last(stream: object, said: list[bytes]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        said.append(line)
        del said[:-20]


def _answers(url: str, server: subprocess.Popen[bytes], ended: threading.Event) -> bool:
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and not ended.wait(0.2):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):
            return True
        if time.monotonic() > until:
            raise HopsliteError(f"MLflow has not answered at {url} for {START_SECONDS:.0f} s")
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
            if number == signal.SIGKILL or not _has_group(server.pid):
                return


def _has_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except OSError:
        return False
    return True
