"""The command `ui`: the project in MLflow."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import click

from ..core import extras
from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..errors import HopsliteError, RunNotFound, StoreError
from ..runs.lookup import find
from ..storage.project import Project
from ..storage.records import json_object
from ._browser import START_SECONDS, browser_option, free_port, open_page, until_interrupted
from ._options import RUN, home, project_option
from ._output import command

__all__ = ["ui_command"]

MLFLOW_PORT = 5000

TRAINING = "?workflowType=machine_learning"  # MLflow 3 opens with its pages for language models
SEARCHED = 20  # runs, the newest first, for one that MLflow has
STOP_SECONDS = 10.0


@click.command("ui")
@click.argument("run", required=False, type=RUN)
@click.option("--port", type=click.IntRange(1, 65535), default=MLFLOW_PORT, show_default=True)
@browser_option
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
        open_page(without_credentials(uri).rstrip("/") + page, browser)
        return
    _serve_mlflow(uri, port, page, browser)


def _page(project: Project, run: str | None) -> str:
    """Fragment of MLflow's address for a run, or for all runs with the name of the newest."""
    from ..track import PREPARED_VIEW

    directories = (
        [find(project, run)]
        if run
        else [project.sub("Experiments", one) for one in project.runs()[: -SEARCHED - 1 : -1]]
    )
    for directory in directories:
        known = json_object(directory.read_many(["mlflow.json"])[0]) or {}
        if known.get("experiment_id") and known.get("run_id"):
            page = f"/#/experiments/{known['experiment_id']}/runs"
            view = f"&viewStateShareKey={known['view']}" if known.get("view") == PREPARED_VIEW else ""
            return f"{page}/{known['run_id']}{TRAINING}" if run else f"{page}{TRAINING}{view}"
    if run:
        raise RunNotFound(f"MLflow has no run {run!r} yet; {command(f'track {run}')} tells it")
    return f"/#/experiments{TRAINING}"


def _serve_mlflow(uri: str, port: int, page: str, browser: bool) -> None:
    extras.require("mlflow", "hopslite ui")
    from ..executor.process_control import end_with_parent
    from ..track import lock_new_database

    with contextlib.suppress(OSError), lock_new_database(uri):
        pass  # a run that has just begun may be making its tables, which MLflow would do, too
    port = free_port(port)
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it has more processes of its own than all else
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_BACKEND_STORE_URI": uri,
    }
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with until_interrupted() as ended:
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
                open_page(url + page, browser)
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
            raise HopsliteError(f"MLflow did not respond at {url} for {START_SECONDS:.0f} s")
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
