"""The list of runs for the browser: read again while somebody looks at it; rows of ended runs are read once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from ..core import formatting
from ..core.types import State
from ..errors import StoreError
from ..runs.lookup import state_of
from ..storage.annotations import NAME as NOTES
from ..storage.annotations import Notes
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ..storage.run_records import NAME as RECORD
from ..storage.run_records import records_in
from .feeds import Feed
from .sparklines import best_so_far

__all__ = ["RunList"]

Change = tuple[int, ...] | None  # when the files of a run's row were last written; None: not known
REMOTE_SECONDS = 30.0  # for which the row of an ended run on a store is kept
CURVE_SECONDS = 0.5  # for curves of ended runs, in one refresh


@dataclasses.dataclass
class _Entry:
    run: RunDir
    row: dict[str, Any]
    revision: int
    change: Change
    read_at: float
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    has_curve: bool = False

    @property
    def is_final(self) -> bool:
        return self.row["state"] not in (State.RUNNING.value, State.QUEUED.value)


class RunList:
    """Rows of a project's runs. Its methods read disks: call them in threads."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._removed: dict[str, int] = {}
        self.revision = 0

    def active(self) -> list[RunDir]:
        """Directories of the runs that go on."""
        with self._lock:
            return [entry.run for entry in self._entries.values() if not entry.is_final]

    def refresh(self, feeds: Mapping[str, Feed]) -> None:
        """Read what has changed.

        Args:
            feeds: of runs that go on, by URL.
        """
        with self._lock:
            self.revision += 1
            run_ids = self._project.runs()
            for run_id in self._entries.keys() - set(run_ids):
                del self._entries[run_id]
                self._removed[run_id] = self.revision
            changes = {run_id: self._change(run_id) for run_id in run_ids}
            stale = [run_id for run_id in run_ids if self._is_stale(run_id, changes[run_id])]
            for run_id, record in records_in(self._project, stale):
                self._put(run_id, record, changes[run_id])
            for entry in self._entries.values():
                if not entry.is_final and entry.run.url in feeds:
                    with contextlib.suppress(OSError):  # of one run; the others are shown
                        self._set(entry, _live(entry.row, feeds[entry.run.url]))
            self._add_curves()

    def changes(self, since: int) -> tuple[int, str]:
        """Revision, and the rows that have changed since another one as JSON."""
        with self._lock:
            changed = [entry.row for entry in self._entries.values() if entry.revision > since]
            removed = [run_id for run_id, revision in self._removed.items() if revision > since]
            text = json.dumps({"changed": changed, "removed": removed}, allow_nan=False, separators=(",", ":"))
            return self.revision, text if changed or removed else ""

    def summary(self) -> str:
        """Number of runs in words."""
        with self._lock:
            count, active = len(self._entries), sum(not entry.is_final for entry in self._entries.values())
        if not count:
            return "none yet: hopslite new makes a program to start from"
        return f"{count}" + (f", {active} of them not over" if active else "")

    def _change(self, run_id: str) -> Change:
        if not self._project.is_local:
            return None
        times = []
        for name in (RECORD, NOTES):
            try:
                times.append(os.stat(self._project.path("Experiments", run_id, name)).st_mtime_ns)
            except OSError:
                times.append(0)
        return tuple(times)

    def _is_stale(self, run_id: str, change: Change) -> bool:
        entry = self._entries.get(run_id)
        if entry is None or not entry.is_final:
            return True
        return change != entry.change if change is not None else time.monotonic() - entry.read_at > REMOTE_SECONDS

    def _put(self, run_id: str, record: dict[str, Any] | StoreError, change: Change) -> None:
        entry = self._entries.get(run_id)
        run = entry.run if entry else self._project.sub("Experiments", run_id)
        row = _row(run, record)
        known: Mapping[str, Any] = {} if isinstance(record, StoreError) else record
        if entry is None:
            self._entries[run_id] = _Entry(run, row, self.revision, change, time.monotonic(), known)
            return
        if not entry.is_final and row["state"] == entry.row["state"]:
            row = {**row, **{name: entry.row.get(name) for name in ("done", "running", "curve", "metric")}}
        elif row["state"] != entry.row["state"]:
            entry.has_curve = False
        else:
            row["curve"] = entry.row.get("curve")
        entry.record, entry.change, entry.read_at = known, change, time.monotonic()
        self._set(entry, row)

    def _set(self, entry: _Entry, row: dict[str, Any]) -> None:
        if row != entry.row:
            entry.row, entry.revision = row, self.revision

    def _add_curves(self) -> None:
        """Add the curves of ended runs, the newest first, as many as there is time for."""
        until = time.monotonic() + CURVE_SECONDS
        for entry in reversed(self._entries.values()):
            if entry.is_final and not entry.has_curve:
                if time.monotonic() > until:
                    return
                entry.has_curve = True
                self._set(entry, {**entry.row, "curve": best_so_far(entry.run, entry.record)})


def _row(run: RunDir, record: dict[str, Any] | StoreError) -> dict[str, Any]:
    run_id = run.url.rpartition("/")[2]
    if isinstance(record, StoreError):
        return {"id": run_id, "name": run_id, "state": "DAMAGED", "message": formatting.one_line(str(record))}
    state = state_of(run, record)
    counts: Mapping[str, int] = record.get("counts") or {}
    total, tags = record.get("total"), {**(record.get("tags") or {}), **Notes.read(run).tags}
    front = record.get("pareto_trials")
    return {
        "id": run_id,
        "name": formatting.one_line(str(record["name"])),
        "version": record["version"],
        "state": state.value,
        "verb": formatting.one_line(record.get("verb")),
        "done": sum(counts.values()) or None,
        "running": None,
        "total": total if isinstance(total, int) else None,
        "metric": _finite(record.get("metric")),
        "key": f"{len(front)} on the front" if front else formatting.one_line(record.get("optimization_key")),
        "direction": record.get("direction"),
        "started": record.get("started"),
        "duration": _finite(record.get("duration")),
        "tags": ", ".join(f"{key}={value}" for key, value in sorted(tags.items())),
        "message": formatting.one_line(record.get("error")),
        "curve": None,
    }


def _live(row: Mapping[str, Any], feed: Feed) -> dict[str, Any]:
    """The row of a run that goes on, with what its journal says."""
    with feed.reading() as followed:
        best = followed.best
        elapsed = followed.elapsed(time.time())
        ended = [trial for trial in followed.trials.values() if trial.result is not None]
        return {
            **row,
            "done": len(ended),
            "running": sum(trial.result is None and trial.attempt is not None for trial in followed.trials.values()),
            "metric": _finite(best.metric) if best else None,
            "duration": round(elapsed) if elapsed is not None and row["state"] == State.RUNNING.value else None,
            "curve": followed.best_curve(),
        }


def _finite(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
