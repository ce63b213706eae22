"""TensorBoard: the HParams dashboard and the scalars of a run, as event files, without TensorFlow."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

from .._trial import Event, Result, State
from ..store import RunDir
from . import _hparams
from ._tracker import Context, numeric

__all__ = ["Tensorboard"]

FILE = "events.out.tfevents.0.hopslite"  # sorts before what the training program writes
UPLOAD_SECONDS = 30.0
EXAMPLES = 20  # values of a hyperparameter without a domain from which its kind is told


class Tensorboard:
    """Writes an experiment's description in the run's directory, and in each trial's its hyperparameters, reports,
    final metrics and how it ended.

    Event files are functions of the journal, byte for byte, so that a second delivery writes what is there already.
    """

    def __init__(self, context: Context) -> None:
        self._run = context.run
        self._start: Event | None = None
        self._ended = False
        self._params: dict[str, list[Any]] = {}
        self._outputs: set[str] = set()
        self._described: tuple[set[str], set[str]] | None = None
        self._files: dict[str, EventFile] = {}
        self._failed: dict[str, EventFile] = {}  # complete, but for a later driver that runs the trial again

    def handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "run_started":
                self._start, self._ended = self._start or event, False
            elif event.kind in ("resumed", "run_ended"):
                self._ended = event.kind == "run_ended"
            elif event.trial is not None and event.kind == "asked":
                self._open(event.trial, event)
            elif event.trial is not None:
                if event.kind in ("again", "started"):
                    self._go_on(event.trial)
                if event.trial in self._files:
                    self._note(self._files[event.trial], event)

    def _open(self, trial_id: str, event: Event) -> None:
        params = event.data.get("params") or {}
        for name, value in params.items():
            examples = self._params.setdefault(name, [])
            if len(examples) < EXAMPLES:
                examples.append(value)
        space = (self._start.data.get("space") if self._start else None) or {}
        file = EventFile(self._run.sub("trials", trial_id))
        file.add(event.time, _hparams.session_start(trial_id, params, space, event.time))
        self._files[trial_id] = file

    def _go_on(self, trial_id: str) -> None:
        """With a trial that had failed or was killed: the first end in a file is the one that the dashboard shows."""
        file = self._files.get(trial_id) or self._failed.pop(trial_id, None)
        if file is not None:
            file.forget_end()
            self._files[trial_id] = file

    def _note(self, file: EventFile, event: Event) -> None:
        value = event.data.get("value")
        if event.kind == "report" and isinstance(value, (int, float)):
            file.add(event.time, _hparams.scalar("reported", value), int(event.data.get("step") or 0))
        elif event.kind == "ended":
            result = Result.from_json(event.data)
            values = numeric(result.outputs)
            if result.metric is not None:
                values["metric"] = result.metric
            self._outputs |= values.keys() - {"metric"}
            file.mark_end(may_go_on=result.state in (State.FAILED, State.KILLED))
            for name, final in values.items():
                file.add(event.time, _hparams.scalar(name, final))
            file.add(event.time, _hparams.session_end(result, event.time))

    def flush(self) -> None:
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
            self._ended = False  # it is told once

    def _describe(self, start: Event) -> None:
        """Metrics are known when the first trial has ended; a program that reads along keeps this first version."""
        names = (set(self._params), set(self._outputs))
        if names == self._described:
            return
        file = EventFile(self._run)
        file.complete = True
        file.add(start.time, _hparams.experiment(start.data, start.time, self._params, sorted(self._outputs)))
        file.save()
        file.close()
        self._described = names

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._failed.clear()


class EventFile:
    """An event file that is written from its beginning, over what an earlier delivery may have left there."""

    def __init__(self, folder: RunDir) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.complete = self.may_go_on = False
        self._end: int | None = None
        self._is_cut = False
        self._folder = folder
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
        """What is added from here on is how the trial ended."""
        self.complete, self.may_go_on, self._end = True, may_go_on, self._buffer.tell()

    def forget_end(self) -> None:
        """The trial goes on, as if it had not ended; what was written of its end is written over."""
        if self._end is None:
            return
        self._buffer.seek(self._end)
        self._buffer.truncate()
        self._is_cut = self._is_cut or self._written > self._end
        self._written = min(self._written, self._end)
        self.complete, self.may_go_on, self._end = False, False, None

    def save(self) -> None:
        """Write what was added since the last call; on other than local file systems now and then, and at the end."""
        if self._buffer.tell() == self._written and not self._is_cut:
            return
        data = self._buffer.getvalue()
        if self._folder.is_local:
            self._folder.makedirs()
            with open(self._folder.path(FILE), "r+b" if self._folder.exists(FILE) else "w+b") as file:
                file.seek(self._written)
                file.write(data[self._written :])
                if self._is_cut:
                    file.truncate()
        elif self.complete or time.monotonic() - self._saved >= UPLOAD_SECONDS:
            self._folder.makedirs()
            self._folder.write_bytes(FILE, data)
            self._saved = time.monotonic()
        else:
            return
        self._written, self._is_cut = len(data), False

    def close(self) -> None:
        """Cut off what an earlier delivery wrote beyond the end."""
        self.complete = True
        self.save()
        if self._folder.is_local and self._folder.exists(FILE):
            with open(self._folder.path(FILE), "r+b") as file:
                file.truncate(self._written)
