"""Hints to a run's user: commands and addresses by which its record can be opened, resumed or plotted."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sys

from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..storage.dashboards import RunPage
from ..storage.project import Project
from ..storage.run_directory import RunDir

__all__ = ["RunHints"]


class RunHints:
    """Commands and addresses for one run; `is_resumable`: its plan is stored."""

    def __init__(
        self, settings: Settings, project: Project, directory: RunDir, run_id: str, spark_ui: str | None
    ) -> None:
        self._settings, self._project, self._directory, self._run_id = settings, project, directory, run_id
        self._spark_ui = spark_ui
        self._page = RunPage(project.url, run_id)
        self.is_resumable = False
        self._program = functools.cache(_program)  # used at each update of the display, and searches all of PATH

    @property
    def dashboard_url(self) -> str | None:
        """Address of the run's page in a dashboard, as of some seconds ago."""
        return self._page.address

    @property
    def spark_url(self) -> str | None:
        """Address of Spark's user interface, if there is one."""
        return self._spark_ui

    @property
    def tensorboard_hint(self) -> str | None:
        """Command that opens TensorBoard on the run at any time."""
        return self._command("tensorboard", self._run_id) if self._settings.tensorboard else None

    @property
    def resume_hint(self) -> str | None:
        """Command that resumes the run if it breaks off; None if it cannot be resumed."""
        is_kept = self.is_resumable and not self._directory.url.startswith("memory://")
        return self._command("resume", self._run_id) if is_kept else None

    @property
    def plots(self) -> str | None:
        """Path of the page with a search's plots, which is written after its end."""
        if not self._settings.plots or self._directory.url.startswith("memory://"):
            return None
        return self._directory.sub("plots", "index.html").shown

    @property
    def mlflow_hint(self) -> str | None:
        """Command that opens MLflow, or the server's address."""
        if not self._settings.tracks:
            return None
        uri = self._settings.tracking_uri
        if uri is None:
            return self._command("ui") if self._project.is_local else None
        uri = without_credentials(uri)
        return uri if uri.startswith("http") else f"{self._program('mlflow')} ui --backend-store-uri {shlex.quote(uri)}"

    def _command(self, *words: str) -> str:
        """A hopslite command on this project, as the user can type it here."""
        return " ".join([self._program("hopslite"), *words, "--project", shlex.quote(self._project.shown)])


def _program(name: str) -> str:
    """A command as the user can type it: with its path if the shell would not find it."""
    expected = os.path.abspath(os.path.join(os.path.dirname(sys.executable), name))
    return name if shutil.which(name) == expected or not os.path.exists(expected) else shlex.quote(expected)
