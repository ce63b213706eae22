"""Chromium, programs that serve pages, and screenshots of them, which are kept in `build/screenshots/`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers import ROOT
from tests.helpers.observe import end, eventually, text_of
from tests.helpers.stores import Unavailable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
SECONDS = 150
START_SECONDS = 240


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise Unavailable("there is no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def accepts(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((parts.hostname, parts.port), SECONDS):
        return True
    return False


@contextlib.contextmanager
def served(folder: Path, *module: str, **environment: str) -> Iterator[str]:
    """The address that a program prints once it answers there."""
    log = folder / f"{module[0]}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )

    def address() -> re.Match[str] | None:
        assert process.poll() is None, text_of(log)
        return re.search(r"http://127\.0\.0\.1:\d+\S*", text_of(log))

    try:
        url = eventually(address, f"{' '.join(module)} tells its address", START_SECONDS)
        assert url
        eventually(lambda: accepts(url[0]), f"{url[0]} answers", START_SECONDS)  # JupyterLab tells it before it listens
        yield url[0]
    finally:
        end(process, by=signal.SIGINT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has left
