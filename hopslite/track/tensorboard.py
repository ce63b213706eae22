"""TensorBoard event files of a run: HParams dashboard and scalars, without TensorFlow."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

from ..core import extras
from ..core.types import Event, Result, State, metric_name
from ..storage.run_directory import RunDir
from . import _tensorboard_hparams
from ._base import Context, final_values, reported
from ._best_so_far import BestSoFar

__all__ = ["Tensorboard"]

FILE = "events.out.tfevents.0.hopslite"  # sorts before what the training program writes
CURVE_FILE = "events.out.tfevents.1.hopslite"  # of the run itself
UPLOAD_SECONDS = 30.0
EXAMPLES = 20  # values of a hyperparameter without a domain from which its kind is told


class Tensorboard:
    """Writes an experiment's description and the best metric so far in the run's directory, and in each trial's its
    hyperparameters, reports, final metrics and how it ended.

    The final value of a metric ends its curve. Without reports it is a point at the trial's number, so that the points
    of all trials are one next to the other.

    Event files are functions of the journal, byte for byte, so that a second delivery writes what is there already.
    """

    def __init__(self, context: Context) -> None:
        extras.require("tensorboard", "the TensorBoard tracker")
        self._run = context.run
        self._start: Event | None = None
        self._ended = False
        self._params: dict[str, list[Any]] = {}
        self._trial_params: dict[str, dict[str, Any]] = {}  # of trials that have not ended, or may be run again
        self._outputs: dict[str, None] = {}  # names of metrics, the optimised one first
        self._described: tuple[list[str], list[str]] | None = None
        self._best = BestSoFar()
        self._curve: EventFile | None = None
        self._files: dict[str, EventFile] = {}
        self._failed: dict[str, EventFile] = {}  # complete, but for a later driver that runs the trial again

    def handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "run_started":
                self._start, self._ended = self._start or event, False
                self._best.begin(self._start.data)
            elif event.kind in ("resumed", "run_ended"):
                self._ended = event.kind == "run_ended"
            elif event.trial is not None and event.kind == "asked":
                self._open(event.trial, event)
            elif event.trial is not None:
                if event.kind in ("again", "started"):
                    self._go_on(event.trial)
                if event.trial in self._files:
                    self._note(self._files[event.trial], event.trial, event)

    def _open(self, trial_id: str, event: Event) -> None:
        params = event.data.get("params") or {}
        self._trial_params[trial_id] = params
        for name, value in params.items():
            examples = self._params.setdefault(name, [])
            if len(examples) < EXAMPLES:
                examples.append(value)
        space = (self._start.data.get("space") if self._start else None) or {}
        file = EventFile(self._run.sub("trials", trial_id))
        file.add(event.time, _tensorboard_hparams.session_start(trial_id, params, space, event.time))
        self._files[trial_id] = file

    def _go_on(self, trial_id: str) -> None:
        """Continue the event file of a trial that was run again: the dashboard shows the first end in a file."""
        file = self._files.get(trial_id) or self._failed.pop(trial_id, None)
        if file is not None:
            file.forget_end()
            self._files[trial_id] = file

    def _note(self, file: EventFile, trial_id: str, event: Event) -> None:
        key = self._start.data.get("optimization_key") if self._start else None
        if event.kind == "report":
            step = int(event.data.get("step") or 0)
            for name, value in reported(event.data, key).items():
                file.add(event.time, _tensorboard_hparams.scalar(name, value), step)
                file.curves[name] = step, value
        elif event.kind == "ended":
            result = Result.from_json(event.data)
            values = final_values(result, key)
            self._outputs |= dict.fromkeys(values)
            file.mark_end(may_go_on=result.state in (State.FAILED, State.KILLED))
            number = int(trial_id) if trial_id.isdecimal() else 0
            for name, final in values.items():
                step, last = file.curves.get(name, (number, None))
                if final != last:
                    file.add(event.time, _tensorboard_hparams.scalar(name, final), step)
            file.add(event.time, _tensorboard_hparams.session_end(result, event.time))
            self._add_best(trial_id, result, metric_name(key, result.outputs), event.time)

    def _add_best(self, trial_id: str, result: Result, name: str, time: float) -> None:
        """Add a point to the curve of the run: the best metric so far, by the number of trials that have ended."""
        self._best.ended(trial_id, self._trial_params.get(trial_id, {}), result)
        if result.state not in (State.FAILED, State.KILLED):  # others may be run again
            self._trial_params.pop(trial_id, None)
        if self._best.metric is not None:
            self._curve = self._curve or EventFile(self._run, CURVE_FILE)
            self._curve.add(
                time, _tensorboard_hparams.scalar(f"{name}/best so far", self._best.metric), self._best.count
            )

    def flush(self) -> None:
        if self._curve is not None:
            self._curve.complete = self._ended
            self._curve.save()
        ended = False
        for trial_id, file in list(self._files.items()):
            file.save()
            if file.complete:
                ended = True
                file.close()
                del self._files[trial_id]
                if file.may_go_on:
                    self._failed[trial_id] = file
        if self._start is not None and (self._ended or (ended and self._described is None)):
            self._describe(self._start)
            self._ended = False  # reported once

    def _describe(self, start: Event) -> None:
        """Write the experiment's summary when the first trial has ended, since the metrics are unknown before."""
        names = (list(self._params), list(self._outputs))
        if names == self._described:
            return
        file = EventFile(self._run)
        file.complete = True
        file.add(start.time, _tensorboard_hparams.experiment(start.data, start.time, self._params, names[1]))
        file.save()
        file.close()
        self._described = names

    def close(self) -> None:
        for file in (*self._files.values(), *([self._curve] if self._curve else ())):
            file.close()
        self._files.clear()
        self._failed.clear()


class EventFile:
    """Event file written from its beginning, over the content of an earlier delivery."""

    def __init__(self, folder: RunDir, name: str = FILE) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.complete = self.may_go_on = False
        self.curves: dict[str, tuple[int, float]] = {}  # last step and value, by metric
        self._end: int | None = None
        self._is_cut = False
        self._folder, self._name = folder, name
        self._written = 0
        self._saved = -UPLOAD_SECONDS
        self._buffer = io.BytesIO()
        self._records = RecordWriter(self._buffer)

    def add(self, wall_time: float, summary: Any, step: int = 0) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Record

        if not self._buffer.tell():
            self._records.write(Record(wall_time=wall_time, file_version="brain.Event:2").SerializeToString())
        self._records.write(Record(wall_time=wall_time, step=step, summary=summary).SerializeToString())

    def mark_end(self, may_go_on: bool) -> None:
        """Mark the position from which the records of the trial's end follow."""
        self.complete, self.may_go_on, self._end = True, may_go_on, self._buffer.tell()

    def forget_end(self) -> None:
        """Discard the records of the trial's end, for a trial that is run again."""
        if self._end is None:
            return
        self._buffer.seek(self._end)
        self._buffer.truncate()
        self._is_cut = self._is_cut or self._written > self._end
        self._written = min(self._written, self._end)
        self.complete, self.may_go_on, self._end = False, False, None

    def save(self) -> None:
        """Save new records; on remote file systems at intervals, and at the end."""
        if self._buffer.tell() == self._written and not self._is_cut:
            return
        data = self._buffer.getvalue()
        if self._folder.is_local:
            self._folder.makedirs()
            with open(self._folder.path(self._name), "r+b" if self._folder.exists(self._name) else "w+b") as file:
                file.seek(self._written)
                file.write(data[self._written :])
                if self._is_cut:
                    file.truncate()
        elif self.complete or time.monotonic() - self._saved >= UPLOAD_SECONDS:
            self._folder.makedirs()
            self._folder.write_bytes(self._name, data)
            self._saved = time.monotonic()
        else:
            return
        self._written, self._is_cut = len(data), False

    def close(self) -> None:
        """Truncate the file to what was written, and close it."""
        self.complete = True
        self.save()
        if self._folder.is_local and self._folder.exists(self._name):
            with open(self._folder.path(self._name), "r+b") as file:
                file.truncate(self._written)
