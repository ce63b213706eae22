"""MLflow: an experiment per name, a parent run per run, a child run per trial."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ..core.redaction import without_credentials
from ..core.types import LOG_NAME, Event, Result, State, metric_name
from ..storage.annotations import Notes
from ..storage.records import json_object, read_record
from ..storage.run_directory import RunDir
from ._base import Context, NoDestination, Unavailable, numeric, reported
from ._best_so_far import BestSoFar
from ._mlflow_client import BEST, Connection, MlflowRun, Rejected, Write, target_uri
from ._mlflow_database import is_database
from ._mlflow_notes import NOTE, note_of
from ._mlflow_view import PREPARED_VIEW, prepared_view
from ._mlflow_writes import DONE, STATUS, TrialWrite, add_result, end_time, files_of, run_write

__all__ = ["Mlflow", "attach"]

TRIAL_FILES = (LOG_NAME, ".outputs.json")
PARETO = "hopslite.pareto"  # tag of a trial: whether it is on the Pareto front
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
ATTACH_SECONDS = 60.0


class Mlflow:
    """Tracker for an MLflow server or database.

    Without a tracking URI it is the one that an earlier delivery of this run used, else SQLite in the project
    directory. A run is found again by the tag `hopslite.run_id`, its trials by `hopslite.trial_id`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uri = _uri(context)
        self._turn = context.turn if is_database(self._uri) else contextlib.nullcontext()
        self._connection: Connection | None = None
        self._known: dict[str | None, MlflowRun] | None = None
        self._start: Event | None = None
        self._end: Event | None = None  # that MLflow has not been told of
        self._is_going_on = False
        self._was_resumed = False
        self._trials: dict[str, TrialWrite] = {}
        self._touched: dict[str, None] = {}
        self._params: dict[str, dict[str, Any]] = {}
        self._front: set[str] = set()  # trials that were on it when this driver or an earlier one ended
        self._best = BestSoFar()
        self._curve: list[tuple[float, float, int]] = []  # of the best so far: value, time, number of ended trials
        self._metric: str | None = None  # name under which the trials have it
        self._refused: set[str] = set()
        self._told: str | None = None
        self._view: str | None = None  # that the experiment has been offered
        self._tensorboard: str | None = None
        self._is_tensorboard_told = False

    def handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.trial is not None:
                self._note_trial(event.trial, event)
            elif event.kind == "run_started":
                self._start, self._end, self._is_going_on = self._start or event, None, True
                self._best.begin(self._start.data)
            elif event.kind == "resumed":
                self._end, self._is_going_on, self._was_resumed = None, True, True
            elif event.kind == "run_ended":
                self._front |= {*(event.data.get("pareto_trials") or ())}
                self._end, self._is_going_on = event, False
            elif event.kind == "tensorboard":
                self._tensorboard, self._is_tensorboard_told = event.data.get("url"), False

    def _note_trial(self, trial_id: str, event: Event) -> None:
        trial = self._trials.setdefault(trial_id, TrialWrite())
        self._touched[trial_id] = None
        data = event.data
        if event.kind == "asked":
            trial.params = dict(data.get("params") or {})
            trial.write.params.update(trial.params)
            trial.write.tags["hopslite.generation"] = data.get("generation")
            self._params[trial_id] = trial.params
        elif event.kind == "suggested":
            trial.params |= data.get("params") or {}
            trial.write.params.update(trial.params)
        elif event.kind == "user_attr":
            trial.write.tags |= {f"user_attr.{name}": value for name, value in data["values"].items()}
        elif event.kind == "again":
            trial.again, trial.result, trial.started = True, None, None
        elif event.kind == "started":
            if trial.result is not None:  # after it was killed
                trial.result, trial.started = None, None
            trial.started = trial.started or event.time
            trial.attempt = int(data.get("attempt") or 0)
            trial.write.tags |= {"hopslite.host": data.get("host"), "hopslite.attempt": data.get("attempt")}
        elif event.kind == "report":
            step = int(data.get("step") or 0)
            for name, value in reported(data, self._key).items():
                trial.write.metrics.append((name, value, event.time, step))
                last = trial.curves.get(name, (0, None))[0]  # an earlier attempt may have come further
                trial.curves[name] = (step, value) if step >= last else (last, None)
        elif event.kind == "sample":
            step = int(event.time - (trial.started or event.time))
            values = numeric(data).items()
            trial.write.metrics += [(f"system/{name}", value, event.time, step) for name, value in values]
        elif event.kind == "ended":
            trial.result = Result.from_json(data)
            trial.ended = event.time
            if trial.result.metric is not None:
                self._metric = metric_name(self._key, trial.result.outputs)
            if (
                self._best.ended(trial_id, self._params.get(trial_id, {}), trial.result)
                and self._best.metric is not None
            ):
                self._curve.append((self._best.metric, event.time, self._best.count))

    @property
    def _key(self) -> str | None:
        return self._start.data.get("optimization_key") if self._start else None

    def flush(self) -> None:
        if self._start is None:
            return
        with self._turn:
            self._flush()

    def _flush(self) -> None:
        try:
            parent = self._parent()
            assert self._connection is not None
            for trial_id in list(self._touched):
                self._deliver(parent, trial_id, self._trials[trial_id])
                del self._touched[trial_id]
            self._offer_view(parent)
            self._deliver_curve(parent)
            if self._tensorboard and not self._is_tensorboard_told:
                with self._refusals():
                    tags = {"hopslite.tensorboard": self._tensorboard, NOTE: self._note()}
                    self._connection.log(parent.id, Write(tags=tags))
                self._is_tensorboard_told = True
            if self._end is not None:
                self._deliver_end(parent, self._end)
                self._end = None
        except Unavailable:
            self._known = None  # a call may have come through and its answer been lost: look before making anything
            raise

    def close(self) -> None:
        self._connection = None

    def _parent(self) -> MlflowRun:
        assert self._start is not None
        data = self._start.data
        run_id = str(data.get("run_id"))
        if self._connection is None:
            self._record(None)
            try:
                self._connection = Connection(self._uri, self._context.run, str(data.get("name") or "hopslite"))
            except Rejected as error:
                raise Unavailable(str(error)) from error
        if self._known is None:
            self._known = self._connection.find(run_id)
        parent = self._known.get(None)
        if parent is None:
            write, tags = run_write(self._context.run, data, self._note()), {"hopslite.run_id": run_id}
            name = f"{data.get('name')} v{data.get('version')}"
            parent = self._known[None] = self._connection.create(name, self._start.time, tags, write)
            with self._refusals():
                self._connection.log(parent.id, write)
        elif parent.status != "RUNNING" and self._goes_on(parent):
            self._connection.reopen(parent.id)
            parent = self._known[None] = MlflowRun(parent.id)
        self._record(parent)
        if self._told != parent.id:
            self._told = parent.id
            self._context.tell({"mlflow_run_id": parent.id})
        return parent

    def _offer_view(self, parent: MlflowRun) -> None:
        """Prepare the view of the experiment that `hopslite ui` opens."""
        assert self._connection is not None
        assert self._start is not None
        params = dict.fromkeys(name for params in self._params.values() for name in params)
        view = prepared_view(self._start.data, self._start.time, self._metric, params)
        if view != self._view:
            with self._refusals():
                self._connection.offer_view(view)
                self._view = view
            self._record(parent)

    def _deliver_curve(self, parent: MlflowRun) -> None:
        """Deliver the best metric so far, which is the metric of the run itself."""
        assert self._connection is not None
        if self._curve:
            with self._refusals():
                name = self._metric or metric_name(self._key, None)
                points = [(name, value, time, step) for value, time, step in self._curve]
                self._connection.log(parent.id, Write(metrics=points))
            self._curve = []

    def _goes_on(self, parent: MlflowRun) -> bool:
        """True if a run that has ended in MLflow is to be reopened."""
        if self._is_going_on:
            return self._was_resumed or parent.state not in DONE
        return self._end is not None and (self._was_resumed or self._end.data.get("state") != parent.state)

    def _note(self) -> str:
        """Description of the run: the user's note, and the address of its TensorBoard."""
        assert self._start is not None
        return note_of(Notes.read(self._context.run), self._start.data, self._tensorboard)

    def _record(self, parent: MlflowRun | None) -> None:
        """Write `mlflow.json` in the run's directory, for people and later deliveries, and inform the driver."""
        run, uri = self._context.run, without_credentials(self._uri)
        known = _recorded(run)
        experiment = self._connection.experiment_id if self._connection else None
        record = {"run_id": parent.id if parent else None, "experiment_id": experiment, "tracking_uri": uri}
        is_new = any(known.get(name) != value for name, value in record.items())
        has_view = bool(self._view or (known.get("view") and not is_new))
        if parent is None and known.get("tracking_uri") == uri:
            return
        if is_new or has_view != bool(known.get("view")):
            run.write_json("mlflow.json", {**record, "view": PREPARED_VIEW if has_view else None})
        if parent is not None and is_new:
            self._context.tell({"tracked": f"MLflow at {uri}: run {parent.id} of experiment {experiment}"})

    def _deliver(self, parent: MlflowRun, trial_id: str, trial: TrialWrite) -> None:
        assert self._connection is not None
        assert self._known is not None
        assert self._start is not None
        known = self._known.get(trial_id)
        if known is not None and known.status != "RUNNING" and known.state in DONE and not trial.again:
            del self._trials[trial_id]  # delivered completely before
            return
        started = trial.started or (trial.result.started if trial.result else 0.0)
        if not started and trial.result is None:
            return  # it waits for a slot
        result = trial.result
        if result is not None:
            add_result(trial, result, self._key)
        if known is None:
            tags = {
                "mlflow.parentRunId": parent.id,
                "hopslite.run_id": str(self._start.data.get("run_id")),
                "hopslite.trial_id": trial_id,
                "hopslite.version": str(self._start.data.get("version")),
            }
            known = self._connection.create(trial_id, started or trial.ended, tags, trial.write)
        elif known.status != "RUNNING" and (trial.result is None or trial.result.state.value != known.state):
            self._connection.reopen(known.id)
            known = MlflowRun(known.id)
        self._known[trial_id] = known
        with self._refusals():
            self._connection.log(known.id, trial.write)
        trial.write = Write()
        if result is not None:
            self._upload(known.id, trial_id, result, trial.attempt)
            with self._refusals():
                self._connection.terminate(known.id, STATUS.get(result.state, "FAILED"), end_time(result, trial.ended))
            self._known[trial_id] = MlflowRun(known.id, STATUS.get(result.state, "FAILED"), result.state.value)
            del self._trials[trial_id]

    def _upload(self, run_id: str, trial_id: str, result: Result, attempt: int) -> None:
        assert self._connection is not None
        directory = self._context.run.sub("trials", trial_id)
        files = [*result.artifacts, *TRIAL_FILES]
        with self._refusals():
            if result.log not in TRIAL_FILES:  # a member's log
                files += [name for name in directory.list() if name.endswith(f"_{LOG_NAME}")]
            self._connection.upload(run_id, directory, files)
        images = [name for name in result.artifacts if name.lower().endswith(IMAGES)]
        with self._refusals():
            self._connection.show_images(run_id, directory, images, attempt)

    def _deliver_end(self, parent: MlflowRun, event: Event) -> None:
        assert self._connection is not None
        assert self._known is not None
        state = State(event.data.get("state") or State.FAILED)
        write = Write(tags={"hopslite.state": state.value})
        write.tags |= {f"hopslite.{name}": event.data.get(name) for name in ("best_trial", "error")}
        write.tags |= {**Notes.read(self._context.run).tags, NOTE: self._note() or None}
        write.tags = {name: value for name, value in write.tags.items() if value is not None}
        if (front := event.data.get("pareto_trials")) is not None:
            write.tags["hopslite.pareto_trials"] = ", ".join(front)
            self._mark(front)
        best = self._params.get(str(event.data.get("best_trial")))
        if best is not None:
            write.tags["hopslite.best_params"] = best
            # parameters would be for ever, and a run that goes on may find better ones
            write.tags |= {f"{BEST}{name}": value for name, value in best.items()}
        name = self._metric or metric_name(self._key, None)
        step = self._best.count
        write.metrics = [(name, v, event.time, step) for v in numeric({"": event.data.get("metric")}).values()]
        with self._refusals():
            self._connection.upload(parent.id, self._context.run, files_of(self._context.run))
        with self._refusals():
            self._connection.log(parent.id, write)
        with self._refusals():
            self._connection.terminate(parent.id, STATUS[state], event.time)
        self._known[None] = MlflowRun(parent.id, STATUS[state], state.value)

    def _mark(self, front: Sequence[str]) -> None:
        """Mark the trials of the Pareto front, and take the mark away from others that had it before a resume."""
        assert self._connection is not None
        assert self._known is not None
        for trial_id in {*front, *self._front} & {*self._known}:
            with self._refusals():
                self._connection.log(self._known[trial_id].id, Write(tags={PARETO: trial_id in front}))
        self._front = set(front)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Skip values that MLflow refuses, with one warning for each kind of refusal."""
        try:
            yield
        except Rejected as error:
            if error.kind not in self._refused:
                self._refused.add(error.kind)
                self._context.warn(f"{error}; it is left out there, the run's directory has it")


def attach(run: RunDir, names: Sequence[str], tracking_uri: str | None) -> bool:
    """Attach files of a run's directory to its page in MLflow; False if it has no page within a minute."""
    until = time.monotonic() + ATTACH_SECONDS
    while not (parent := _recorded(run).get("run_id")):
        if time.monotonic() > until:
            return False
        time.sleep(ATTACH_SECONDS / 100)
    name = str(read_record(run.read_many(["run.json"])[0], ["name"])["name"])
    connection = Connection(target_uri(run, tracking_uri) or "", run, name)
    connection.upload(parent, run, names)
    return True


def _uri(context: Context) -> str:
    uri = target_uri(context.run, context.tracking_uri)
    if uri is None:
        raise NoDestination(
            f"this run is not tracked in MLflow: {context.run.shown} is not on a local file system, where its database "
            "could be; name a server with tracking_uri=, --tracking-uri or MLFLOW_TRACKING_URI"
        )
    return uri


def _recorded(run: RunDir) -> dict[str, Any]:
    return json_object(run.read_many(["mlflow.json"])[0]) or {}
