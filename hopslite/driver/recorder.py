"""Recorder of a run: its directory, journal, trackers and TensorBoard, from the first event to the last."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import companion
from ..core import extras, plugins
from ..core.redaction import redact_value
from ..core.settings import Settings
from ..core.types import Event, State, json_safe
from ..errors import RunDeleted, StorageUnavailable
from ..result import Run
from ..runs.history import PLAN
from ..runs.reports import reports_of
from ..storage.dashboards import run_page
from ..storage.driver_lease import claim
from ..storage.journal_writer import JournalWriter
from ..storage.project import Project
from ..storage.run_directory import write_file
from ..storage.snapshot import save_snapshot
from .background_snapshot import BackgroundSnapshot
from .hints import RunHints
from .plan import Plan
from .reservation import Reservation
from .resume import Resumption, to_store
from .run_record import combinations, first_record

__all__ = ["Recorder"]

SNAPSHOT_SECONDS = 3.0  # it goes on in the background; conda takes its time
JOURNAL_SECONDS = 10.0
REMOTE_JOURNAL_SECONDS = 60.0
NUMBERS_ONLY = ("report", "sample")  # events without anything that could be secret
ORDERED_SECONDS = 1.0  # events this close have their times in the journal's order; a clock that was set back stays so


class Recorder:
    """Records the events of a run, and passes them on to MLflow and TensorBoard.

    `emit` never waits for a disk or a server. `show` shows the user a line.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        project: Project,
        facts: dict[str, Any],
        show: Callable[[str], None],
        resumption: Resumption | None = None,
        reservation: Reservation | None = None,
    ) -> None:
        self._plan, self._project, self._facts, self._show = plan, project, facts, show
        self._settings, self._not_recorded = _without_missing_extras(settings, has_plots=plan.is_search)
        self._is_ending = False
        self._latest = 0.0
        self._lock = threading.Lock()  # guards the record: TensorBoard's address comes from another thread
        with contextlib.ExitStack() as cleanup:  # for a full disk, or Ctrl-C: nothing else would release the lease
            if reservation is not None:
                self.run_id, self.version = reservation.run_id, reservation.version
                self.directory, self._lease = reservation.directory, reservation.lease
                self.started = resumption.record["started"] if resumption else time.time()
            elif resumption is None:
                self.run_id, self.version, self.directory = project.new_run(plan.name)
                self.started = time.time()
                self._lease = claim(self.directory)
            else:
                self.directory, self._lease, record = resumption.run, resumption.lease, resumption.record
                self.run_id, self.version, self.started = record["run_id"], record["version"], record["started"]
            cleanup.callback(self._lease.release)
            self._lease.is_watched = True
            self._device = self.directory.device
            self._record = first_record(
                plan, project, self.directory, self.run_id, self.version, self._lease.number, self.started, self._facts
            )
            self.hints = RunHints(self._settings, project, self.directory, self.run_id, self._facts.get("ui") or None)
            self.directory.write_json("run.json", self._record)
            keeps_plan = resumption is not None and resumption.keeps_plan
            self._stored_plan = self._pickled_plan() if plan.resumable and not keeps_plan else None
            self.hints.is_resumable = keeps_plan or self._stored_plan is not None
            self._journal = JournalWriter(self.directory, is_watched=True)
            cleanup.callback(self._journal.abandon)
            if resumption is None or not resumption.past.has_begun:
                self.emit("run_started", data=self._record)
            else:
                self.emit("resumed", data={"fresh": resumption.fresh, "session": self._lease.number})
            self._snapshot = BackgroundSnapshot(self._save_snapshot)
            self._followed: companion.FollowedRun | None = None
            cleanup.pop_all()

    def start(self) -> None:
        """Start the trackers; from now on the run can be resumed with this plan.

        Raises:
            StorageUnavailable: the plan cannot be written.
        """
        if self._stored_plan is not None:
            try:
                self.directory.write_bytes(PLAN, self._stored_plan, durable=True, private=True)
            except OSError as error:
                self.hints.is_resumable = self.directory.exists(PLAN)
                raise StorageUnavailable(f"its call could not be stored: {error}; {self.free_space}") from error
            self._stored_plan = None
        if self._not_recorded:
            self._show(self._not_recorded)
        is_off = {"mlflow": not self._settings.tracks, "tensorboard": not self._settings.tensorboard}
        trackers = [name for name in plugins.names("track") if not is_off.get(name)]
        self._follow(trackers)
        self._snapshot.start()

    def _follow(self, trackers: list[str]) -> None:
        """Have the companion follow this run."""
        if not trackers and not (self._settings.plots and self._plan.is_search):
            return
        has_tensorboard = self._settings.tensorboard
        self._followed = companion.follow(
            self.directory, trackers, self._settings.tracking_uri, self._show, has_tensorboard
        )
        url = self._followed.tensorboard_url
        if url is not None:  # in a thread, since trials do not wait for the record's update
            threading.Thread(target=self._on_tensorboard, args=(url,), name="hopslite-tensorboard", daemon=True).start()

    def renew(self) -> None:
        """Renew this driver's lease on the run.

        Raises:
            RunTakenOver: another driver has the lease, since this one did not renew it for too long.
        """
        self._lease.renew()

    def _pickled_plan(self) -> bytes | None:
        """The pickled plan, as it is before the search has made a suggestion."""
        try:
            return to_store(self._plan)
        except Exception as error:  # noqa: BLE001 - a search or stopper of the user's may hold anything
            self._show(f"this run cannot be resumed if it breaks off: its plan cannot be pickled ({error})")
            return None

    def emit(self, kind: str, trial: str | None = None, data: dict[str, Any] | None = None) -> None:
        """Write an event with the current time to the journal."""
        self.append(Event(kind, time.time(), trial, data or {}))

    def append(self, event: Event) -> None:
        """Write an event to the journal, with secrets redacted."""
        if self._latest - ORDERED_SECONDS < event.time < self._latest:  # another thread has noted the time meanwhile
            event = dataclasses.replace(event, time=self._latest)
        self._latest = event.time
        if event.kind not in NUMBERS_ONLY:
            event = dataclasses.replace(event, data=redact_value(json_safe(event.data)))
        self._journal.append(event)
        if event.kind == "started":
            self._snapshot.begin()
        if event.kind == "members" and not self._plan.is_search:
            with contextlib.suppress(OSError):  # the journal has it
                self._update(members=event.data["members"])

    # --- state of the storage, for `StorageMonitor`

    def failure(self) -> OSError | None:
        """The error of the latest failed write to the journal."""
        return self._journal.failure

    def is_suspect(self) -> bool:
        """True if this driver's lease cannot be renewed: the first sign of a failure while nothing else is written."""
        return self._lease.trouble is not None

    def retry(self) -> None:
        """Write buffered events now."""
        self._journal.retry()

    def try_to_write(self) -> None:
        """Probe the run's directory by writing to it.

        Raises:
            RunDeleted: the directory does not exist any more.
            OSError: it cannot be written.
        """
        names = ("run.json", "journal") if self.directory.is_local else ("run.json",)  # writing elsewhere makes folders
        if all(self.directory.is_deleted(name, self._device) for name in names):
            raise RunDeleted(
                f"the directory of run {self.run_id}, {self.directory.shown}, was deleted or moved while the run went "
                "on, so the run has ended and cannot be resumed",
                run_id=self.run_id,
                logdir=self.directory.url,
            )
        self.directory.try_to_write()

    @property
    def free_space(self) -> str:
        """Free space on the run's storage, as text; empty if it is not known."""
        return self.directory.room

    def unrecorded(self) -> set[str]:
        """Ids of the trials whose ends are only in memory."""
        return {event.trial for event in self._journal.unwritten() if event.kind == "ended" and event.trial}

    # --- the end

    def complete(self, result: Run, final_record: dict[str, Any]) -> OSError | None:
        """Complete the record at the run's end; returns the error if that fails, after which it can be called again.

        It may be tried again.
        """
        if not self._is_ending:
            if result.state is not State.KILLED:
                self._snapshot.join(SNAPSHOT_SECONDS)
            with self._lock:
                self._is_ending = True
            self.emit("run_ended", data=final_record)
        failure = self._journal.flush(JOURNAL_SECONDS if self.directory.is_local else REMOTE_JOURNAL_SECONDS)
        if failure is not None:
            return failure
        try:
            self.directory.write_json(".summary.json", {"combinations": combinations(result)})
            self._update(**final_record, finished=time.time(), counts=dict(result.counts))
        except OSError as error:
            return error
        return None

    def close(self, result: Run, is_complete: bool = True) -> None:
        """Release the run; the companion delivers and draws it."""
        self._journal.close(JOURNAL_SECONDS)
        self._release(has_plots=self.hints.plots is not None and bool(result._chosen) and is_complete)

    def abandon(self, record: dict[str, Any] | None, is_deleted: bool = False) -> None:
        """Release the run without recording its end; `record` is restored if this driver has only tried to resume."""
        if record is None:
            self._journal.abandon()
        else:
            self._journal.close(JOURNAL_SECONDS)
            with contextlib.suppress(OSError):
                self.directory.write_json("run.json", record)
        self._release(is_deleted)

    def _release(self, is_deleted: bool = False, has_plots: bool = False) -> None:
        if self._followed:
            self._followed.finish(has_plots=has_plots)
        self._lease.release(is_deleted=is_deleted)

    @property
    def session(self) -> int:
        """Number of this driver's lease."""
        return self._lease.number

    @property
    def project_url(self) -> str:
        return self._project.url

    @property
    def tensorboard_url(self) -> str | None:
        """TensorBoard's address if it is known already."""
        url: str | None = self._record["tensorboard_url"]
        return url

    def deferred(self) -> dict[str, Any]:
        """Functions for the result's data that arrives late or is large; they keep no run alive."""
        followed = self._followed or companion.FollowedRun(self.directory, None)
        return {
            "reports": functools.partial(reports_of, self.directory.url),
            "write": write_file,
            "page": run_page,
            "tensorboard_url": lambda: followed.tensorboard_url,
            "mlflow_run_id": lambda: followed.mlflow_run_id,
            "wait_until_tracked": followed.wait,
        }

    def _update(self, **changes: Any) -> None:
        with self._lock:
            self._record = {**self._record, **redact_value(json_safe(changes))}
            self.directory.write_json("run.json", self._record)

    def _on_tensorboard(self, url: str) -> None:
        with contextlib.suppress(OSError):
            self._update(tensorboard_url=url)
        with self._lock:
            if not self._is_ending:  # the journal's last event is the run's end
                self.emit("tensorboard", data={"url": url})

    def _save_snapshot(self) -> list[str]:
        files = getattr(self._plan.train_fn, "snapshot_files", None)
        return save_snapshot(self.directory, self._facts, files)


def _without_missing_extras(settings: Settings, has_plots: bool) -> tuple[Settings, str | None]:
    """Settings for the installed extras, and a line about those that are missing."""
    requested = {"mlflow": settings.tracks, "tensorboard": settings.tensorboard, "plots": settings.plots and has_plots}
    missing = extras.missing(extra for extra, is_wanted in requested.items() if is_wanted)
    if not missing:
        return settings, None
    disabled: dict[str, dict[str, Any]] = {
        "mlflow": {"tracking_uri": "off"},
        "tensorboard": {"tensorboard": False},
        "plots": {"plots": False},
    }
    changes = {name: value for extra in missing for name, value in disabled[extra].items()}
    names = ", ".join({"mlflow": "MLflow", "tensorboard": "TensorBoard", "plots": "plots"}[extra] for extra in missing)
    note = (
        f"not installed, so without: {names}; the run's directory has everything. To add: {extras.pip_install(missing)}"
    )
    return dataclasses.replace(settings, **changes), note
