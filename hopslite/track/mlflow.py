"""MLflow: an experiment per name, a parent run per run, a child run per trial."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .._trial import Event, Result, State
from ..store import RunDir
from ..store.filesystems import without_credentials
from ..store.notes import Notes
from ._mlflow_client import BEST, Connection, Known, Rejected, Write, target_uri
from ._tracker import Context, Nowhere, Unavailable, numeric

__all__ = ["Mlflow", "attach"]

STATUS = {
    State.FINISHED: "FINISHED",
    State.STOPPED: "FINISHED",
    State.FAILED: "FAILED",
    State.KILLED: "KILLED",
}
DONE = {State.FINISHED.value, State.STOPPED.value, State.FAILED.value}  # a killed one may be resumed
TRIAL_FILES = ("output.log", ".outputs.json")
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
RECORDS = ("program.", "code.zip", "environment.")  # beginnings of names
ATTACH_SECONDS = 60.0
NOTE = "mlflow.note.content"  # a run's description, in Markdown


@dataclasses.dataclass(slots=True)
class _Trial:
    """What is known of a trial; `write` is what MLflow does not have yet, `again` that it was run once more."""

    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    started: float | None = None
    write: Write = dataclasses.field(default_factory=Write)
    result: Result | None = None
    ended: float = 0.0
    attempt: int = 0
    again: bool = False


class Mlflow:
    """Tells an MLflow server, or a database, of a run.

    Without a tracking URI it is the one that an earlier delivery of this run used, else SQLite in the project
    directory. A run is found again by the tag `hopslite.run_id`, its trials by `hopslite.trial_id`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uri = _uri(context)
        self._connection: Connection | None = None
        self._known: dict[str | None, Known] | None = None
        self._start: Event | None = None
        self._end: Event | None = None  # that MLflow has not been told of
        self._is_going_on = False
        self._was_resumed = False
        self._trials: dict[str, _Trial] = {}
        self._touched: dict[str, None] = {}
        self._params: dict[str, dict[str, Any]] = {}
        self._refused: set[str] = set()
        self._told: str | None = None
        self._tensorboard: str | None = None
        self._is_tensorboard_told = False

    def handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.trial is not None:
                self._note_trial(event.trial, event)
            elif event.kind == "run_started":
                self._start, self._end, self._is_going_on = self._start or event, None, True
            elif event.kind == "resumed":
                self._end, self._is_going_on, self._was_resumed = None, True, True
            elif event.kind == "run_ended":
                self._end, self._is_going_on = event, False
            elif event.kind == "tensorboard":
                self._tensorboard, self._is_tensorboard_told = event.data.get("url"), False

    def _note_trial(self, trial_id: str, event: Event) -> None:
        trial = self._trials.setdefault(trial_id, _Trial())
        self._touched[trial_id] = None
        data = event.data
        if event.kind == "asked":
            trial.params = dict(data.get("params") or {})
            trial.write.params.update(trial.params)
            trial.write.tags["hopslite.generation"] = data.get("generation")
            self._params[trial_id] = trial.params
        elif event.kind == "again":
            trial.again, trial.result, trial.started = True, None, None
        elif event.kind == "started":
            if trial.result is not None:  # it had been killed
                trial.result, trial.started = None, None
            trial.started = trial.started or event.time
            trial.attempt = int(data.get("attempt") or 0)
            trial.write.tags |= {"hopslite.host": data.get("host"), "hopslite.attempt": data.get("attempt")}
        elif event.kind == "report" and isinstance(data.get("value"), (int, float)):
            trial.write.metrics.append(("reported", float(data["value"]), event.time, int(data.get("step") or 0)))
        elif event.kind == "sample":
            step = int(event.time - (trial.started or event.time))
            values = numeric(data).items()
            trial.write.metrics += [(f"system/{name}", value, event.time, step) for name, value in values]
        elif event.kind == "ended":
            trial.result = Result.from_json(data)
            trial.ended = event.time

    def flush(self) -> None:
        if self._start is None:
            return
        try:
            parent = self._parent()
            assert self._connection is not None
            for trial_id in list(self._touched):
                self._deliver(parent, trial_id, self._trials[trial_id])
                del self._touched[trial_id]
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

    def _parent(self) -> Known:
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
            parent = self._connection.create(
                f"{data.get('name')} v{data.get('version')}", self._start.time, {"hopslite.run_id": run_id}
            )
            self._known[None] = parent
            with self._refusals():
                self._connection.log(parent.id, _run_write(self._context.run, data, self._note()))
        elif parent.status != "RUNNING" and self._goes_on(parent):
            self._connection.reopen(parent.id)
            parent = self._known[None] = Known(parent.id)
        self._record(parent)
        if self._told != parent.id:
            self._told = parent.id
            self._context.tell({"mlflow_run_id": parent.id})
        return parent

    def _goes_on(self, parent: Known) -> bool:
        """Whether a run that has an end in MLflow is to lose it."""
        if self._is_going_on:
            return self._was_resumed or parent.state not in DONE
        return self._end is not None and (self._was_resumed or self._end.data.get("state") != parent.state)

    def _note(self) -> str:
        """The run's description: what its users say of it, and where its TensorBoard is."""
        assert self._start is not None
        data, run = self._start.data, self._context.run
        text = Notes.read(run).text or str(data.get("description") or "")
        if not self._tensorboard:
            return text
        url, place = self._tensorboard, shlex.quote(str(data.get("project")))
        later = f"hopslite tensorboard {data.get('run_id')} --project {place}"
        return f"{text}\n\nTensorBoard: [{url}]({url}) while the driver is there; later `{later}`".strip()

    def _record(self, parent: Known | None) -> None:
        """`mlflow.json` in the run's directory, for people and for a later delivery; tells the driver too."""
        run, uri = self._context.run, without_credentials(self._uri)
        known = _recorded(run)
        experiment = self._connection.experiment_id if self._connection else None
        record = {"run_id": parent.id if parent else None, "experiment_id": experiment, "tracking_uri": uri}
        if known == record or (parent is None and known.get("tracking_uri") == uri):
            return
        run.write_json("mlflow.json", record)
        if parent is not None:
            self._context.tell({"tracked": f"MLflow at {uri}: run {parent.id} of experiment {experiment}"})

    def _deliver(self, parent: Known, trial_id: str, trial: _Trial) -> None:
        assert self._connection is not None
        assert self._known is not None
        assert self._start is not None
        known = self._known.get(trial_id)
        if known is not None and known.status != "RUNNING" and known.state in DONE and not trial.again:
            del self._trials[trial_id]  # an earlier delivery brought all of it
            return
        started = trial.started or (trial.result.started if trial.result else 0.0)
        if not started and trial.result is None:
            return  # it waits for a slot
        if known is None:
            tags = {
                "mlflow.parentRunId": parent.id,
                "hopslite.run_id": str(self._start.data.get("run_id")),
                "hopslite.trial_id": trial_id,
            }
            known = self._connection.create(trial_id, started or trial.ended, tags)
        elif known.status != "RUNNING" and (trial.result is None or trial.result.state.value != known.state):
            self._connection.reopen(known.id)
            known = Known(known.id)
        self._known[trial_id] = known
        result = trial.result
        if result is not None:
            _note_result(trial.write, result, trial.ended)
        with self._refusals():
            self._connection.log(known.id, trial.write)
        trial.write = Write()
        if result is not None:
            self._upload(known.id, trial_id, result, trial.attempt)
            with self._refusals():
                self._connection.terminate(known.id, STATUS.get(result.state, "FAILED"), _end_time(result, trial.ended))
            self._known[trial_id] = Known(known.id, STATUS.get(result.state, "FAILED"), result.state.value)
            del self._trials[trial_id]

    def _upload(self, run_id: str, trial_id: str, result: Result, attempt: int) -> None:
        assert self._connection is not None
        directory = self._context.run.sub("trials", trial_id)
        files = [*result.artifacts, *TRIAL_FILES]
        with self._refusals():
            if result.log not in TRIAL_FILES:  # that of one member of several
                files += [name for name in directory.list() if name.endswith("_output.log")]
            self._connection.upload(run_id, directory, files)
        images = [name for name in result.artifacts if name.lower().endswith(IMAGES)]
        with self._refusals():
            self._connection.show_images(run_id, directory, images, attempt)

    def _deliver_end(self, parent: Known, event: Event) -> None:
        assert self._connection is not None
        assert self._known is not None
        state = State(event.data.get("state") or State.FAILED)
        write = Write(tags={"hopslite.state": state.value})
        write.tags |= {f"hopslite.{name}": event.data.get(name) for name in ("best_trial", "error")}
        write.tags |= {**Notes.read(self._context.run).tags, NOTE: self._note() or None}
        write.tags = {name: value for name, value in write.tags.items() if value is not None}
        best = self._params.get(str(event.data.get("best_trial")))
        if best is not None:
            write.tags["hopslite.best_params"] = best
            # parameters would be for ever, and a run that goes on may find better ones
            write.tags |= {f"{BEST}{name}": value for name, value in best.items()}
        write.metrics = [("metric", v, event.time, 0) for v in numeric({"": event.data.get("metric")}).values()]
        with self._refusals():
            self._connection.upload(parent.id, self._context.run, _files_of(self._context.run))
        with self._refusals():
            self._connection.log(parent.id, write)
        with self._refusals():
            self._connection.terminate(parent.id, STATUS[state], event.time)
        self._known[None] = Known(parent.id, STATUS[state], state.value)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """A value that MLflow refuses is left out, with one warning for each kind of refusal."""
        try:
            yield
        except Rejected as error:
            if error.kind not in self._refused:
                self._refused.add(error.kind)
                self._context.warn(f"{error}; it is left out there, the run's directory has it")


def attach(run: RunDir, names: Sequence[str], tracking_uri: str | None) -> bool:
    """Add files of a run's directory to its page in MLflow, when it has one; False when it gets none for a minute."""
    until = time.monotonic() + ATTACH_SECONDS
    while not (parent := _recorded(run).get("run_id")):
        if time.monotonic() > until:
            return False
        time.sleep(ATTACH_SECONDS / 100)
    connection = Connection(target_uri(run, tracking_uri) or "", run, str(run.read_json("run.json").get("name")))
    connection.upload(parent, run, names)
    return True


def _uri(context: Context) -> str:
    uri = target_uri(context.run, context.tracking_uri)
    if uri is None:
        raise Nowhere(
            f"MLflow is not told of this run: {context.run.shown} is not on a local file system, where its database "
            "could be; name a server with tracking_uri=, --tracking-uri or MLFLOW_TRACKING_URI"
        )
    return uri


def _recorded(run: RunDir) -> dict[str, Any]:
    return dict(run.read_json("mlflow.json")) if run.exists("mlflow.json") else {}


def _files_of(run: RunDir) -> list[str]:
    """What a run was made from, and its plots, as far as they are there."""
    made_from = [name for name in run.list() if name.startswith(RECORDS)]
    return [*made_from, *(f"plots/{name}" for name in run.list("plots"))]


def _run_write(run: RunDir, data: dict[str, Any], note: str) -> Write:
    tags = {str(name): value for name, value in (data.get("tags") or {}).items()}
    tags |= {f"hopslite.{name}": data.get(name) for name in ("run_id", "version", "verb")}
    tags |= {
        "hopslite.logdir": without_credentials(run.url),
        NOTE: note or None,
        "mlflow.user": data.get("user"),
        "mlflow.source.name": data.get("program"),
    }
    names = ("verb", "direction", "optimization_key", "seed", "parallelism")
    params = {name: data[name] for name in names if data.get(name) is not None}
    space = data.get("space")
    params |= {f"space/{name}": value for name, value in space.items()} if isinstance(space, dict) else {}
    return Write(params=params, tags={name: value for name, value in tags.items() if value is not None})


def _note_result(write: Write, result: Result, time: float) -> None:
    values = numeric(result.outputs)
    if result.metric is not None:
        values["metric"] = result.metric
    values |= {f"system/{name}": value for name, value in numeric(result.usage).items()}
    write.metrics += [(name, value, time, 0) for name, value in values.items()]
    tags = {"state": result.state.value, "error": result.error, "cause": result.cause, "host": result.host}
    write.tags |= {f"hopslite.{name}": value for name, value in tags.items()}
    write.tags = {name: value for name, value in write.tags.items() if value is not None}


def _end_time(result: Result, fallback: float) -> float:
    return result.started + result.duration if result.started else fallback
