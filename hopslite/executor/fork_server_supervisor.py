"""Supervision of a slot's fork server: its restarts, and the frameworks that are imported ahead of trials."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .failure_cause import signal_name
from .fork_server import ForkServer
from .job_spec import Job
from .warm_server import WarmKey, WarmServer
from .workdir import spark_scratch

__all__ = ["ForkServerSupervisor"]

MAX_FAILED_STARTS = 3  # fork servers in a row that end before any trial began


class ForkServerSupervisor:
    """Keeps a fork server running for a slot; `current` is its handle.

    Frameworks are imported by the warm server, which later runs have as well, and a new fork server is forked from it
    between two trials. Where trials set variables before they import a framework, the fork server does it.

    `may_preimport`: frameworks are imported ahead of trials, until that had an undesired effect.
    """

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        self._job = job
        self._environment = {**os.environ, **environment}
        self.may_preimport = job.repeats
        self._preimported: set[str] = set(job.preimport) if job.repeats else set()
        self._preimport_environment: dict[str, str] = {}
        self._for_later_runs: list[str] = []  # modules that the only trial has imported
        self._is_stale = False  # the warm server has imported modules that the fork server lacks
        self._failed_starts = 0
        path = tuple(dict.fromkeys(entry for entry in (*sys.path, *job.import_path) if entry))
        self._key = WarmKey.of(path, job.preimport, self._environment)
        self._warm_server = self._acquire()
        self.current = self._fork_server()

    def _acquire(self, is_new: bool = False) -> WarmServer:
        of_machine = {name: value for name, value in os.environ.items() if name not in self._job.access}
        scratch = spark_scratch() if self._job.warm_seconds else None
        return WarmServer.acquire(self._key, of_machine, scratch, is_new)

    def _fork_server(self) -> ForkServer:
        self._is_stale = False
        modules: Sequence[str] = () if self._preimport_environment else sorted(self._preimported)
        server = ForkServer(self._warm_server, self._job, self._environment, modules)
        if self._preimport_environment:
            server.preimport(sorted(self._preimported), self._preimport_environment)
        return server

    def preimport(self, modules: list[str], environment: dict[str, str]) -> None:
        """Import modules ahead of the next trials, with the environment of the trial that imported them."""
        new = [name for name in modules if name not in self._preimported]
        if not new or not self.may_preimport:
            return
        self._preimported.update(new)
        self._preimport_environment = environment
        if environment:
            self.current.preimport(new, environment)
        else:
            self._warm_server.preimport(new)
            self._is_stale = True

    def preimport_after(self, modules: list[str], environment: dict[str, str]) -> str | None:
        """Import the modules of a trial that has ended; returns a warning if its environment rules preimports out."""
        if not self._job.repeats and not environment:
            self._for_later_runs = modules
        if self._preimported and environment != self._preimport_environment and self.may_preimport:
            self.may_preimport = False
            changed = ", ".join(sorted(environment.keys() ^ self._preimport_environment.keys() or environment.keys()))
            return (
                f"{changed} changed after a framework had been imported ahead of the trial and may have had no "
                "effect; later trials of this slot import frameworks themselves"
            )
        if modules:
            self.preimport(modules, environment)
        return None

    def replace_dead(self) -> tuple[str, bool]:
        """Replace a fork server that has ended, without preimports if one has killed it.

        Returns:
            The cause of its end, and True if that was a preimport.

        Raises:
            RuntimeError: several in a row have ended before any trial began.
        """
        dead, importing, problem = self.current, self.current.importing, self._warm_server.problem
        by_import = bool(importing or problem or (self._preimported and not dead.has_forked))
        code = dead.close()
        if by_import:
            self.may_preimport, self._preimported, self._preimport_environment = False, set(), {}
        self._restart(is_fresh=by_import)
        self._failed_starts = 0 if dead.has_forked or by_import else self._failed_starts + 1
        cause = f"was replaced, since {problem}" if problem else _cause(code)
        cause += f" while it imported {importing} ahead of trials" if importing else ""
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise RuntimeError(
                f"the parent process of trials {cause}, {MAX_FAILED_STARTS} times in a row, before any trial began"
            )
        return cause, by_import

    def between_trials(self) -> None:
        """Restart without the modules that were imported ahead if they are ruled out, or with those that are new."""
        if not self.may_preimport and self._preimported:
            self._preimported, self._preimport_environment = set(), {}
            self.current.close()
            self._restart(is_fresh=True)
        elif self._is_stale:
            self.restart()

    def restart(self) -> None:
        """Start another fork server, with the modules that trials have imported."""
        self.current.close()
        self._restart()

    def _restart(self, is_fresh: bool = False) -> None:
        if is_fresh or not self._warm_server.is_usable:
            self._warm_server.close()
            self._warm_server = self._acquire(is_fresh)
        self.current = self._fork_server()

    def close(self) -> None:
        """End the fork server; the warm server is kept for the next run."""
        self.current.close()
        self._warm_server.release(self._for_later_runs, self._job.warm_seconds)


def _cause(code: int | None) -> str:
    if code is None:
        return "has ended"
    return f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
