"""The command `dashboard`: runs of the project in the browser."""

from __future__ import annotations

import os

import click

from ..core import extras
from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..storage.recent_projects import remember_project
from ._browser import browser_option, listening_socket, open_page
from ._options import home, project_option

__all__ = ["dashboard_command"]

PORT = 8765
PASSWORD = "HOPSLITE_DASHBOARD_PASSWORD"


@click.command("dashboard")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Or the next free one.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Other addresses let other machines in."
)
@click.option(
    "--password",
    "asks",
    is_flag=True,
    help=f"Ask for a password that also opens the pages; or set {PASSWORD}, which needs no option.",
)
@click.option("--read-only", is_flag=True, help="Pages only show: nothing can be started, stopped or changed.")
@browser_option
@project_option
def dashboard_command(place: str | None, port: int, host: str, asks: bool, read_only: bool, browser: bool) -> None:
    """Open the dashboard until Ctrl-C: pages to watch, compare and start the runs of the project.

    Only who has the printed address, which ends in a token, can open it.
    """
    extras.require("dashboard", "hopslite dashboard")
    password = _password(asks)
    project = home(place)
    from ..dashboard.access import Access, is_loopback
    from ..dashboard.context import Dashboard
    from ..dashboard.feeds import Feeds
    from ..dashboard.projects import Projects
    from ..dashboard.server import serve

    with listening_socket(host, port) as listening:
        address = _address(host, listening.getsockname()[1])
        access = Access(listening.getsockname()[1], is_loopback(host), password)
        if not is_loopback(host):
            _warn(host, password is not None, read_only)

        def on_started() -> None:
            click.echo("Ctrl-C ends it", err=True)
            remember_project(project.url)
            open_page(f"{address}/?token={access.token}", browser)

        projects = Projects(project.url, read_only, starts=is_loopback(host))
        dashboard = Dashboard(project, read_only, Feeds(_mlflow_server()), projects)
        serve(dashboard, access, listening, address, on_started)


def _password(asks: bool) -> str | None:
    password = os.environ.pop(PASSWORD, None)  # the programs that are started from the pages do not get it
    if asks and not password:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password or None


def _mlflow_server() -> str | None:
    uri = Settings.load().tracking_uri
    return without_credentials(uri) if uri and uri.startswith(("http://", "https://")) else None


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _warn(host: str, has_password: bool, read_only: bool) -> None:
    allowed = "see all runs" if read_only else "see all runs, stop them, and start programs as you on this machine"
    secret = "the password or the token" if has_password else "the token"
    lines = [
        f"{host} can be reached from other machines. Whoever has {secret} can {allowed}.",
        "Both travel unencrypted. Safer: leave --host out, and use ssh -L PORT:127.0.0.1:PORT from the other machine.",
    ]
    if not has_password:
        lines.append("--password lets people in without the token, which is in your terminal and browser history.")
    for line in lines:
        click.echo(f"{click.style('warning', fg='yellow', bold=True)}: {line}", err=True)
