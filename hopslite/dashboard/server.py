"""The dashboard's server."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui

from ..storage.dashboards import announced
from . import compare, data_sets, models, new_run, run, runs, trial
from .access import Access, Gate
from .context import Dashboard

__all__ = ["serve"]

PAGES = (runs, run, trial, compare, data_sets, models, new_run)
GRACE_SECONDS = 1  # for open connections at the end
RECONNECT_SECONDS = 30.0  # for which a page that was cut off can go on where it was


def serve(
    dashboard: Dashboard, access: Access, listening: socket.socket, address: str, on_started: Callable[[], None]
) -> None:
    """Serve the dashboard until Ctrl-C or SIGTERM.

    Args:
        listening: a bound socket.
        address: URL of the server, without the token.
        on_started: is called when it answers.
    """
    config = uvicorn.Config(
        Gate(_app(dashboard, access), access),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of the client is not used
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws_max_size=1 << 20,
    )
    server = _Server(config, on_started)
    before = signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        with announced(dashboard.project.url, address, access.identity), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGHUP, before)
        if dashboard.projects is not None:
            dashboard.projects.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()


def _app(dashboard: Dashboard, access: Access) -> FastAPI:
    options: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    app = FastAPI(**options)
    for page in PAGES:
        page.register(dashboard, app)
    # a bar at the top for each request, which has no name for screen readers
    nicegui_app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    compression: dict[str, Any] = {"gzip_middleware_factory": None} if access.loopback_only else {}
    ui.run_with(
        app,
        title="hopslite",
        dark=None,
        tailwind=False,  # it would compile styles in the browser at each page
        reconnect_timeout=RECONNECT_SECONDS,
        show_welcome_message=False,
        **compression,
    )
    return app
