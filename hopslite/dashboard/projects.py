"""Change to another project: each has a dashboard of its own, which is started when it is chosen.

Only projects that the user has opened on this machine can be chosen, by their number in the list that the server has
read: no address or path comes from a browser.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import tempfile
import time

from nicegui import ui

from ..core.formatting import one_line, plain
from ..errors import HopsliteError
from ..storage.dashboards import dashboard_of
from ..storage.project import Project
from ..storage.recent_projects import recent_projects
from ..track._interpreter import boot
from .feeds import in_thread

__all__ = ["ProjectMenu", "Projects"]

ADDRESS = re.compile(rb"^http://\S+$", re.MULTILINE)
START_SECONDS = 60.0
POLL_SECONDS = 0.1
END_SECONDS = 5.0


class Projects:
    """Other projects, and the dashboards of them that were started from this one, which end with it.

    Args:
        current: URL of the project that is shown.
        read_only: the other dashboards only show, too.
        starts: dashboards may be started; those that other machines can reach are started by hand.
    """

    def __init__(self, current: str, read_only: bool = False, starts: bool = True) -> None:
        self._current, self._read_only, self._starts = current, read_only, starts
        self._started: dict[str, tuple[subprocess.Popen[bytes], str]] = {}

    def others(self) -> list[str]:
        """URLs of the projects to choose from; reads the disk."""
        return [project for project in recent_projects() if project != self._current]

    def open(self, project: str) -> str:
        """Address of a project's dashboard, which is started if there is none; call it in a thread.

        Raises:
            HopsliteError: the project is not in the list, or its dashboard does not start.
        """
        if project not in self.others():
            raise HopsliteError("this project was not opened on this machine; use hopslite dashboard --project")
        process, address = self._started.get(project, (None, ""))
        if process is not None and process.poll() is None:
            return address
        running = dashboard_of(project)
        if running is not None:
            return running
        if not self._starts:
            raise HopsliteError("no dashboard shows it; start one with hopslite dashboard --project")
        self._started[project] = self._start(project)
        return self._started[project][1]

    def _start(self, project: str) -> tuple[subprocess.Popen[bytes], str]:
        with tempfile.TemporaryFile() as output:  # the address in it has a token
            process = subprocess.Popen(
                boot("hopslite.cli", "dashboard", "--no-browser", *(["--read-only"] if self._read_only else [])),
                env={**os.environ, "HOPSLITE_PROJECT": project},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            until = time.monotonic() + START_SECONDS
            while process.poll() is None and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
                printed = ADDRESS.search(os.pread(output.fileno(), 1 << 16, 0))
                if printed:
                    return process, printed[0].decode()
            printed_last = os.pread(output.fileno(), 1 << 16, 0).decode("utf-8", "replace").strip().splitlines()
        end(process)
        raise HopsliteError(
            f"its dashboard did not start: {one_line(printed_last[-1] if printed_last else 'no message')}"
        )

    def close(self) -> None:
        """End the dashboards that were started."""
        for process, _ in self._started.values():
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
        return
    process.kill()
    process.wait()


class ProjectMenu:
    """Name of the project that is shown; a click on it lists the others."""

    def __init__(self, projects: Projects, shown: str) -> None:
        self._projects = projects
        button = ui.button(color=None).props("flat no-caps dense").classes("hl-project")
        button.props["aria-label"] = f"Project {plain(shown)}: change to another"
        with button:
            ui.label(plain(shown)).classes("hl-project-name")
            with ui.menu() as self._menu:
                pass
        button.on("click", self._fill)

    async def _fill(self) -> None:
        others = await in_thread(self._projects.others)
        self._menu.clear()
        with self._menu:
            for project in others:
                ui.menu_item(plain(Project(project).shown), on_click=functools.partial(self._open, project))
            if not others:
                ui.label("No other project was opened on this machine: hopslite dashboard --project").classes(
                    "hl-menu-note"
                )

    async def _open(self, project: str) -> None:
        ui.notify("Opening the project …")
        try:
            address = await in_thread(self._projects.open, project)
        except (HopsliteError, OSError) as error:
            ui.notify(plain(str(error)), type="negative")
            return
        ui.navigate.to(address)
