"""The dashboard of one project, which its pages share."""

from __future__ import annotations

import dataclasses
import os
import re

from ..errors import RunNotFound
from ..storage.project import Project
from ..storage.run_directory import RunDir
from .feeds import Feeds
from .projects import Projects

__all__ = ["Dashboard"]

RUN_ID = re.compile(r"[\w-]+")


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """The project that is shown, and the journals that are followed for its pages.

    Attributes:
        read_only: no page may start, stop, change or delete anything.
        projects: others that it can change to; None if it cannot.
    """

    project: Project
    read_only: bool = False
    feeds: Feeds = dataclasses.field(default_factory=Feeds)
    projects: Projects | None = None

    def run(self, run_id: str) -> RunDir:
        """Directory of a run, from the part of a URL; reads the disk, so call it in a thread.

        Raises:
            RunNotFound: the project has no such run.
        """
        if RUN_ID.fullmatch(run_id):
            run = self.project.sub("Experiments", run_id)
            if (run.exists("run.json") or run.exists("journal")) and self._is_inside(run):
                return run
        raise RunNotFound(f"there is no run {run_id!r} in {self.project.shown}")

    def _is_inside(self, run: RunDir) -> bool:
        """False for a link that leads out of the project's runs."""
        if not run.is_local:
            return True
        return os.path.realpath(run.url).startswith(os.path.realpath(self.project.path("Experiments")) + os.sep)
