"""Local servers for the browser: free port, address, and end by Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator

import click

__all__ = ["START_SECONDS", "browser_option", "free_port", "listening_socket", "open_page", "until_interrupted"]

TRIED = 100  # ports after the first
START_SECONDS = 120.0


def free_port(first: int) -> int:
    """Requested port, or the next free one with a message."""
    for port in range(first, min(first + TRIED, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port != first:
                click.echo(f"port {first} is in use; taking {port}", err=True)
            return port
    raise click.BadParameter(f"no port from {first} to {first + TRIED - 1} is free")


def listening_socket(host: str, first: int) -> socket.socket:
    """Socket bound to the requested port of an address, or to the next free one with a message."""
    try:
        family, *_ = socket.getaddrinfo(host, first, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise click.BadParameter(f"{host!r} is no address of this machine: {error.strerror or error}") from None
    for port in range(first, min(first + TRIED, 65536)):
        bound = socket.socket(family)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            bound.listen(1)  # two sockets may be bound to one port, but only one listens
        except OSError as error:
            bound.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise click.BadParameter(f"{host!r} cannot be listened on: {error.strerror or error}") from None
            continue
        if port != first:
            click.echo(f"port {first} is in use; taking {port}", err=True)
        return bound
    raise click.BadParameter(f"no port from {first} to {first + TRIED - 1} is free")


def browser_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option("--browser/--no-browser", default=True, help="Open it in the browser.")(function)


def open_page(url: str, browser: bool) -> None:
    click.echo(url)
    if browser and not _opened(url):
        click.echo("no browser could be opened here; open the address in yours", err=True)


def _opened(url: str) -> bool:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        if not os.environ.get("BROWSER"):
            return False  # a text browser would occupy the terminal
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


@contextlib.contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """Event that is set by Ctrl-C, SIGTERM and the end of the terminal."""
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
