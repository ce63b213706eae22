"""The record of one run: its directory, journal, trackers and TensorBoard, from the first event to the last."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import getpass
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import __version__, track
from ._function import describe
from ._past import PLAN, reports_of
from ._plan import Plan
from ._resume import Resumption, to_store
from ._trial import Event, State, json_safe
from .config import Settings
from .result import Run
from .runtime.inputs import recorded
from .store import JournalWriter, Project, save_snapshot
from .store.filesystems import without_credentials
from .store.sessions import claim

__all__ = ["Recorder"]

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS = 3.0  # it goes on in the background; conda takes its time
JOURNAL_SECONDS = 10.0
REMOTE_JOURNAL_SECONDS = 60.0
URL_SECONDS = 10.0
ORDERED_SECONDS = 1.0  # events this close have their times in the journal's order; a clock that was set back stays so


class Recorder:
    """Writes down what the study tells it, and shows it to MLflow and TensorBoard.

    `emit` never waits for a disk or a server. `tell` shows the user a line.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        project: Project,
        facts: dict[str, Any],
        tell: Callable[[str], None],
        resumption: Resumption | None = None,
    ) -> None:
        self._plan, self._settings, self._project, self._facts, self._tell = plan, settings, project, facts, tell
        self._is_ending = False
        self._latest = 0.0
        self._lock = threading.Lock()  # guards the record: TensorBoard's address comes from another thread
        with contextlib.ExitStack() as undo:  # for a full disk, or Ctrl-C: nobody else would release the session
            if resumption is None:
                self.run_id, self.version, self.directory = project.new_run(plan.name)
                self.started = time.time()
                self._session = claim(self.directory)
            else:
                self.directory, self._session, past = resumption.run, resumption.session, resumption.record
                self.run_id, self.version, self.started = past["run_id"], past["version"], past["started"]
            undo.callback(self._session.release)
            self._record = self._first_record()
            self.directory.write_json("run.json", self._record)
            self._stored_plan = self._pickled_plan()
            self._is_resumable = self._stored_plan is not None
            self._journal = JournalWriter(self.directory)
            undo.callback(self._journal.abandon)
            if resumption is None:
                self.emit("run_started", data=self._record)
            else:
                self.emit("resumed", data={"fresh": resumption.fresh, "session": self._session.number})
            self._snapshot = threading.Thread(target=self._save_snapshot, name="hopslite-snapshot", daemon=True)
            self._tensorboard: track.TensorBoardServer | None = None
            self._tracking: track.Handle | None = None
            undo.pop_all()

    def start(self) -> None:
        """Begin to show the run elsewhere; from here on it can be resumed with this plan."""
        if self._stored_plan is not None:
            self.directory.write_bytes(PLAN, self._stored_plan, durable=True, private=True)
            self._stored_plan = None
        trackers = [*["mlflow"] * self._settings.tracks, *["tensorboard"] * self._settings.tensorboard]
        self._tracking = track.start(self.directory, trackers, self._settings.tracking_uri, self._tell)
        self._snapshot.start()
        if self._settings.tensorboard:
            self._tensorboard = track.TensorBoardServer(self.directory.url, self._on_tensorboard, self._tell)

    def renew(self) -> None:
        """Say that this driver is at work on the run.

        Raises:
            RunTakenOver: another one is, since this one did not answer for long.
        """
        self._session.renew()

    def _pickled_plan(self) -> bytes | None:
        """The plan as it is before the search has suggested anything."""
        try:
            return to_store(self._plan)
        except Exception as error:  # noqa: BLE001 - a search or stopper of the user's may hold anything
            self._tell(f"this run cannot be resumed if it breaks off: its plan cannot be pickled ({error})")
            return None

    def emit(self, kind: str, trial: str | None = None, data: dict[str, Any] | None = None) -> None:
        self.append(Event(kind, time.time(), trial, data or {}))

    def append(self, event: Event) -> None:
        if self._latest - ORDERED_SECONDS < event.time < self._latest:  # another thread has noted the time meanwhile
            event = dataclasses.replace(event, time=self._latest)
        self._latest = event.time
        self._journal.append(event)
        if event.kind == "members" and not self._plan.is_search:
            with contextlib.suppress(OSError):  # the journal has it
                self._update(members=event.data["members"])

    def finish(self, result: Run, ending: dict[str, Any]) -> None:
        """Complete the record with how the run ended; trackers and TensorBoard go on by themselves."""
        if self._snapshot.ident is not None and result.state is not State.KILLED:
            self._snapshot.join(SNAPSHOT_SECONDS)
        with self._lock:
            self._is_ending = True
        self.emit("run_ended", data=ending)
        failure = self._journal.close(JOURNAL_SECONDS if self.directory.is_local else REMOTE_JOURNAL_SECONDS)
        try:
            self.directory.write_json(".summary.json", {"combinations": _combinations(result)})
            self._update(**ending, finished=time.time(), counts=dict(result.counts))
        except OSError as error:
            failure = error
        if failure is not None:
            self._tell(f"the run's record in {self.directory.url} is not complete: {failure}")
        if self.plots and result.best_trial is not None:
            self._draw()
        self._close()

    def _draw(self) -> None:
        """Figures of the run, in its directory: by a process of their own, since drawing takes seconds."""
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        command = track.boot("hopslite.cli._draw", self.directory.url, *["mlflow"] * self._settings.tracks)
        environment = track.environment(self._settings.tracking_uri)
        with contextlib.suppress(OSError):
            subprocess.Popen(command, env=environment, start_new_session=True, **streams)

    def leave(self, record: dict[str, Any] | None) -> None:
        """End without another word about the run; `record` is put back where this driver has only tried to resume."""
        if record is None:
            self._journal.abandon()
        else:
            self._journal.close(JOURNAL_SECONDS)
            with contextlib.suppress(OSError):
                self.directory.write_json("run.json", record)
        self._close()

    def _close(self) -> None:
        if self._tracking:
            self._tracking.finish()
        if self._tensorboard:
            self._tensorboard.retire()
        self._session.release()

    @property
    def project_url(self) -> str:
        return self._project.url

    @property
    def tensorboard_url(self) -> str | None:
        """TensorBoard's address as far as it is known; does not wait."""
        url: str | None = self._record["tensorboard_url"]
        return url

    def later(self) -> dict[str, Any]:
        """For the result: functions for what is told late, or is much, and that keep no run alive."""
        tensorboard, tracking = self._tensorboard, self._tracking
        return {
            "reports": functools.partial(reports_of, self.directory.url),
            "tensorboard_url": (lambda: tensorboard.url(URL_SECONDS)) if tensorboard else None,
            "mlflow_run_id": (lambda: tracking.mlflow_run_id) if tracking else None,
        }

    @property
    def spark_url(self) -> str | None:
        """Spark's user interface, where there is one."""
        return self._facts.get("ui") or None

    @property
    def tensorboard_hint(self) -> str | None:
        """The command that opens TensorBoard on the run at any time."""
        return self._command("tensorboard", self.run_id) if self._settings.tensorboard else None

    @property
    def resume_hint(self) -> str | None:
        """The command that goes on with the run if it breaks off, where it can be resumed."""
        is_kept = self._is_resumable and not self.directory.url.startswith("memory://")
        return self._command("resume", self.run_id) if is_kept else None

    @property
    def plots(self) -> str | None:
        """The page with the plots of a search, which is made after its end."""
        if not self._settings.plots or self.directory.url.startswith("memory://"):
            return None
        return self.directory.sub("plots", "index.html").shown

    @property
    def mlflow_hint(self) -> str | None:
        """How to open MLflow: a command, or the server's address."""
        if not self._settings.tracks:
            return None
        uri = self._settings.tracking_uri
        if uri is None:
            return self._command("ui") if self._project.is_local else None
        uri = without_credentials(uri)
        return uri if uri.startswith("http") else f"{_program('mlflow')} ui --backend-store-uri {uri}"

    def _command(self, *words: str) -> str:
        """A command of ours on this project, as the user can type it here."""
        return " ".join([_program("hopslite"), *words, "--project", shlex.quote(self._project.shown)])

    def _first_record(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "run_id": self.run_id,
            "name": plan.name,
            "version": self.version,
            "verb": plan.verb,
            "state": State.RUNNING,
            "description": plan.description,
            "tags": plan.tags,
            "direction": plan.direction,
            "optimization_key": plan.optimization_key,
            "space": plan.space,
            "inputs": recorded(plan.inputs),
            "function": describe(plan.train_fn),
            "seed": plan.seed,
            "total": plan.search.total,
            "isolation": plan.isolation,
            **dataclasses.asdict(plan.resources),
            "project": self._project.shown,
            "logdir": self.directory.shown,
            "user": _user(),
            "hopslite": __version__,
            "session": self._session.number,
            "started": self.started,
            "finished": None,
            "duration": None,
            "best_trial": None,
            "metric": None,
            "program": os.path.basename(str(getattr(sys.modules.get("__main__"), "__file__", "") or "notebook")),
            "application_id": self._facts.get("application_id"),
            "spark_ui": self._facts.get("ui"),
            "tensorboard_url": None,
        }

    def _update(self, **changes: Any) -> None:
        with self._lock:
            self._record = {**self._record, **changes}
            self.directory.write_json("run.json", self._record)

    def _on_tensorboard(self, url: str) -> None:
        with contextlib.suppress(OSError):
            self._update(tensorboard_url=url)
        with self._lock:
            if not self._is_ending:  # the journal's last event is the run's end
                self.emit("tensorboard", data={"url": url})
        self._tell(f"TensorBoard: {url}")

    def _save_snapshot(self) -> None:
        files = getattr(self._plan.train_fn, "snapshot_files", None)
        for problem in save_snapshot(self.directory, self._facts, files):
            log.warning(problem)


def _combinations(result: Run) -> list[dict[str, Any]]:
    return [
        {"parameters": json_safe(trial.params), "outputs": trial.outputs}
        for trial in result.trials
        if trial.state in (State.FINISHED, State.STOPPED)
    ]


def _program(name: str) -> str:
    """A command as this environment's user can type it: with its path where the shell would not find this one."""
    own = os.path.abspath(os.path.join(os.path.dirname(sys.executable), name))
    return name if shutil.which(name) == own or not os.path.exists(own) else own


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None
