"""The page New run: a form from the parameters of a job file or a template, which starts a detached run."""

from __future__ import annotations

import os
import shlex
from urllib.parse import quote

from fastapi import FastAPI
from nicegui import ui

from .. import templates
from ..core.formatting import plain, printable
from ..core.settings import Settings
from ..errors import HopsliteError, InvalidArguments
from ..submission.detached import start_detached
from .context import Dashboard
from .feeds import in_thread
from .layout import frame
from .run_form import Form, job_files, option_words, parameter_words, read_form
from .run_form_fields import OptionFields, ParameterField
from .widgets import empty, section, text, text_block

__all__ = ["register"]

JOB = "job.yml"


def register(dashboard: Dashboard, app: FastAPI) -> None:
    """Add the page to the dashboard."""

    @ui.page("/new")
    async def page(job: str = "", template: str = "") -> None:
        with frame(dashboard, "New run", "/new"):
            text("h1", "New run").classes("hl-title")
            if dashboard.read_only:
                empty("This dashboard only shows: it was started with --read-only.")
                return
            try:
                await _choose(dashboard, job, template)
                if job or template:
                    await _show_form(dashboard, job, template)
            except (HopsliteError, OSError) as error:
                _complain(error)


def _complain(error: Exception) -> None:
    problems = error.problems if isinstance(error, InvalidArguments) else [str(error)]
    for problem in problems:
        ui.label(printable(problem)).classes("hl-problem").props("role=alert")


async def _choose(dashboard: Dashboard, job: str, template: str) -> None:
    """Choice of a template or a job file."""
    project = dashboard.project.url if dashboard.project.is_local else None
    jobs = await in_thread(job_files, os.getcwd(), project)
    titles = await in_thread(templates.descriptions)
    with ui.element("div").classes("hl-card hl-section"), ui.element("div").classes("hl-choices-of-run"):
        text("span", "from a template").classes("hl-soft")
        with ui.element("div").classes("hl-row"):
            for name, title in titles.items():
                link = ui.link(name, f"/new?template={quote(name)}").classes("hl-pill").tooltip(plain(title))
                if name == template:
                    link.props('aria-current="true"')
        text("span", "from a job file").classes("hl-soft")
        with ui.element("div").classes("hl-row"):
            for path in jobs:
                link = ui.link(plain(path), f"/new?job={quote(path)}").classes("hl-pill hl-mono")
                if path == job:
                    link.props('aria-current="true"')
            if not jobs:
                ui.label(f"there is none in {plain(os.getcwd())}").classes("hl-soft")


def _inside(path: str) -> str:
    """Path of a job file in the folder of the dashboard.

    Raises:
        InvalidArguments: it is somewhere else.
    """
    top = os.path.realpath(os.getcwd())
    whole = os.path.realpath(os.path.join(top, path.replace("\0", "")))
    if "\0" in path or not whole.startswith(top + os.sep):
        raise InvalidArguments(
            "new run", [f"{path:.200} is not in {top}, the folder in which the dashboard was started"]
        )
    return whole


async def _show_form(dashboard: Dashboard, job: str, template: str) -> None:
    path = _inside(job) if job else os.path.join(templates.HERE, template, JOB)
    if not job and template not in await in_thread(templates.descriptions):
        raise InvalidArguments("new run", [f"there is no template {template!r:.80}"])
    form = await in_thread(read_form, path)
    profiles = (await in_thread(Settings.load)).profiles
    _FormPage(dashboard, form, template, list(profiles)).build()


class _FormPage:
    """The form, and the command that it stands for."""

    def __init__(self, dashboard: Dashboard, form: Form, template: str, profiles: list[str]) -> None:
        self._dashboard, self._form, self._template = dashboard, form, template
        self._profiles = profiles
        self._folder: ui.input | None = None
        self._made: str | None = None  # the folder with the template, for another try

    def build(self) -> None:
        form = self._form
        if form.job.get("message"):
            ui.label(plain(str(form.job["message"]))).classes("hl-soft")
        if self._template:
            with section("Folder"):
                ui.label("The program is copied to this new folder, where you can change it.").classes("hl-soft")
                self._folder = ui.input(value=self._free_folder(), on_change=self._changed).props("dense outlined")
                self._folder.props["aria-label"] = "Folder"
        with section("Parameters"):
            self._fields = [ParameterField(field, self._changed) for field in form.fields]
            if not self._fields:
                empty("The job file has none.")
        self._options = OptionFields(form, self._profiles, self._changed)
        with section("Command"):
            self._command = text_block("", "Command")
            self._problems = ui.element("div").classes("hl-problems")
            with ui.element("div").classes("hl-row"):
                self._button = ui.button("Start", color=None, on_click=self._start)
                self._button.props("unelevated no-caps").classes("hl-start")
                self._status = ui.label("").classes("hl-soft").props("aria-live=polite")
        self._changed()

    def _free_folder(self) -> str:
        names = [self._template, *(f"{self._template}-{number}" for number in range(2, 1000))]
        return next((name for name in names if not os.path.exists(name)), self._template)

    def _words(self, path: str) -> list[str]:
        """Command line of the run; a program's parameters come last.

        Raises:
            InvalidArguments: something that was entered cannot be.
        """
        parameters = parameter_words(self._form, {field.name: field.entry for field in self._fields})
        return [*option_words(self._form, self._options.values), path, *parameters]

    def _path(self) -> str:
        """Path of the job file, as it will be."""
        if self._folder is None:
            return self._form.path
        folder = str(self._folder.value or "").strip()
        if not folder:
            raise InvalidArguments("new run", ["give the name of a folder"])
        return os.path.join(_inside(folder), JOB)

    def _changed(self) -> None:
        """Show the command, or what is wrong."""
        self._problems.clear()
        try:
            path = self._path()
            words = self._words(os.path.relpath(path))
        except InvalidArguments as error:
            with self._problems:
                _complain(error)
            self._button.disable()
            return
        lines = [f"hopslite run --detach {shlex.join(words)}"]
        if self._template:
            lines.insert(0, f"hopslite new {self._template} {shlex.quote(os.path.relpath(os.path.dirname(path)))}")
        self._command.set_text("\n".join(lines))
        self._button.enable()

    async def _start(self) -> None:
        if self._dashboard.read_only:
            return
        self._button.disable()
        self._status.set_text("starting …")
        self._problems.clear()
        try:
            path = self._path()
            words = ["run", "--detach", "--project", self._dashboard.project.url, *self._words(path)]
            folder = os.path.dirname(path)
            if self._folder is not None and folder != self._made:
                await in_thread(templates.create, self._template, folder)  # refuses one that has files
                self._made = folder
            started = await in_thread(start_detached, words)
        except (HopsliteError, OSError) as error:
            with self._problems:
                _complain(error)
            self._button.enable()
            self._status.set_text("")
            return
        if started.reserved is None:
            with self._problems:
                text_block(printable(started.output.decode("utf-8", "replace")), "Error").classes("hl-problem")
            self._button.enable()
            self._status.set_text("It could not be started:")
            return
        ui.navigate.to(f"/runs/{quote(str(started.reserved['run_id']))}")
