"""Client of an MLflow server: requests within its limits, and errors sorted into temporary and permanent."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core import extras
from ..core.redaction import without_credentials
from ..errors import HopsliteError
from ..storage.run_directory import RunDir
from ._base import Unavailable, compact, redact
from ._mlflow_database import is_database, new_database
from ._mlflow_keys import image_key_of, with_keys
from ._mlflow_keys import keys_of as _keys
from ._mlflow_view import VIEW_TAG, is_replaceable

__all__ = [
    "BEST",
    "Connection",
    "MlflowRun",
    "Rejected",
    "Write",
    "prepare_environment",
    "target_uri",
]

PARAM_LENGTH = 6000
TAG_LENGTH = 5000  # some servers' limit; others allow more
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # what its pages show: trainings, not prompts
OF_AN_END = ("hopslite.state", "hopslite.error", "hopslite.cause")  # tags that a run which goes on must lose
BEST = "best/"  # beginning of the tags with the best parameters
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "NOT_FOUND"}


def prepare_environment() -> None:
    """Configure MLflow in this process for short timeouts and no output; variables set by the user are kept."""
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_CONFIGURE_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # their messages may hold URIs with passwords


class Rejected(HopsliteError):
    """Raised for requests that MLflow refused, which a retry would not help. `kind` is its error code."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclasses.dataclass(frozen=True, slots=True)
class MlflowRun:
    """Run in MLflow: its id, status, and the state that we recorded."""

    id: str
    status: str = "RUNNING"
    state: str | None = None


@dataclasses.dataclass(slots=True)
class Write:
    """Pending writes to one run. Metrics: name, value, seconds since the epoch, step."""

    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    tags: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: list[tuple[str, float, float, int]] = dataclasses.field(default_factory=list)


def target_uri(run: RunDir, uri: str | None) -> str | None:
    """Tracking URI of a run: the configured one, else that of an earlier delivery, else SQLite in a local project."""
    if uri:
        return uri
    with contextlib.suppress(OSError, ValueError):
        earlier = run.read_json("mlflow.json").get("tracking_uri")
        if earlier:
            return str(earlier)
    return f"sqlite:///{_project(run)}/mlflow.db" if run.is_local else None


def _project(run: RunDir) -> Path:
    return Path(run.url).parent.parent


class Connection:
    """Experiment on an MLflow server. Methods raise `Unavailable` or `Rejected`, no other error of MLflow's."""

    def __init__(self, uri: str, run: RunDir, experiment: str) -> None:
        extras.require("mlflow", "tracking to MLflow")
        self._uri = uri
        self._view: str | None = None  # of the experiment
        self._artifacts: dict[str, str] = {}  # URIs of local artifacts of runs made here, until their end
        with self._translated(), new_database(uri):
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=uri)
            self.experiment_id = self._experiment(experiment, _artifact_location(uri, run, experiment))

    def _experiment(self, name: str, location: str | None) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=location, tags=TRAINING))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            experiment = self._client.get_experiment_by_name(name)  # another run created it meanwhile
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        self._view = experiment.tags.get(VIEW_TAG)
        return str(experiment.experiment_id)

    def offer_view(self, view: str) -> None:
        """Prepare the view of the experiment, unless it has one of a later run, or of a user."""
        if is_replaceable(self._view, view):
            with self._translated():
                self._client.set_experiment_tag(self.experiment_id, VIEW_TAG, view)
            self._view = view

    def find(self, run_id: str) -> dict[str | None, MlflowRun]:
        """MLflow's runs for a run of ours, by trial id; the parent under None."""
        known_runs: dict[str | None, MlflowRun] = {}
        token = None
        while True:
            with self._translated():
                page = self._client.search_runs(
                    [self.experiment_id],
                    f"tags.`hopslite.run_id` = '{run_id}'",
                    max_results=1000,
                    page_token=token,
                )
            for run in page:
                tags = run.data.tags
                known = MlflowRun(run.info.run_id, run.info.status, tags.get("hopslite.state"))
                known_runs.setdefault(tags.get("hopslite.trial_id"), known)
            token = page.token
            if not token:
                return known_runs

    def create(self, name: str, started: float, tags: dict[str, str], more: Write | None = None) -> MlflowRun:
        """Create a run.

        Args:
            tags: those by which it is found again.
            more: other tags are taken from here, as far as MLflow accepts them; they cost a call less than with `log`.
        """
        others = _tags(more.tags) if more is not None else {}
        try:
            with self._translated():
                run = self._client.create_run(self.experiment_id, _milliseconds(started), {**others, **tags}, name)
        except Rejected:
            if not others:
                raise
            return self.create(name, started, tags)
        if more is not None:
            more.tags = {}
        place = run.info.artifact_uri
        if is_database(self._uri) and place.startswith("file:"):
            self._artifacts[run.info.run_id] = place
        return MlflowRun(run.info.run_id)

    def log(self, run_id: str, write: Write, without: Sequence[str] = ()) -> None:
        """Write params, tags and metrics, and remove the tags `without`; idempotent.

        Raises:
            Rejected: some of it was; what could be written has been.
        """
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(key, _cut(compact(v), PARAM_LENGTH)) for key, v in with_keys(write.params).items()]
        of_tags = _keys([*write.tags, *without])
        tags = [RunTag(of_tags[name], _cut(compact(v), TAG_LENGTH)) for name, v in write.tags.items()]
        self._delete_tags(run_id, {of_tags[name] for name in without})
        keys = _keys(name for name, *_ in write.metrics)
        metrics = [Metric(keys[name], value, _milliseconds(t), step) for name, value, t, step in write.metrics]
        refusal: Rejected | None = None
        while params or tags or metrics:
            batch = {
                "metrics": metrics[: METRICS_PER_CALL - 2 * PARAMS_PER_CALL],
                "params": params[:PARAMS_PER_CALL],
                "tags": tags[:PARAMS_PER_CALL],
            }
            try:
                self._log_batch(run_id, batch)
            except Rejected as error:
                refusal = refusal or error
                for kind, entries in batch.items():  # one refused value takes all of its call with it
                    with contextlib.suppress(Rejected):
                        self._log_batch(run_id, {kind: entries})
            del metrics[: METRICS_PER_CALL - 2 * PARAMS_PER_CALL], params[:PARAMS_PER_CALL], tags[:PARAMS_PER_CALL]
        if refusal is not None:
            raise refusal

    def _delete_tags(self, run_id: str, keys: Collection[str]) -> None:
        with self._translated():
            for tag in self._client.get_run(run_id).data.tags if keys else ():
                if tag in keys:
                    self._client.delete_tag(run_id, tag)

    def _log_batch(self, run_id: str, batch: dict[str, list[Any]]) -> None:
        with self._translated():
            self._client.log_batch(run_id, **batch)

    def upload(self, run_id: str, folder: RunDir, names: Iterable[str]) -> None:
        """Upload files of a trial's directory as artifacts, in one call; missing and empty ones are skipped."""
        with tempfile.TemporaryDirectory(prefix="hopslite-") as stage:
            for name in dict.fromkeys(names):
                _stage(folder, name, stage)
            if os.listdir(stage):
                with self._translated("artifacts could not be stored"):
                    self._store(run_id, stage)

    def _store(self, run_id: str, stage: str) -> None:
        """Store artifacts; the client would look up the run in the database, which costs more than the files."""
        place = self._artifacts.get(run_id)
        if place is None:
            self._client.log_artifacts(run_id, stage)
            return
        from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

        LocalArtifactRepository(place).log_artifacts(stage)

    def show_images(self, run_id: str, folder: RunDir, names: Iterable[str], attempt: int = 0) -> None:
        """Log images so that MLflow's charts show them, beside those of other runs; other files are skipped.

        Each attempt is a step in those charts: a trial that is run again has other pictures, and none can be replaced.
        """
        from PIL import Image

        keys = {name: image_key_of(name) for name in names}
        with self._translated("artifacts could not be listed"):
            there = {entry.path for entry in self._client.list_artifacts(run_id, "images")} if keys else set()
        shown = {path.removeprefix("images/").partition("+timestamp")[0] for path in there}  # earlier
        with tempfile.TemporaryDirectory(prefix="hopslite-") as stage:
            for name, key in keys.items():
                if f"{key.replace('/', '~')}+step+{attempt}" in shown:
                    continue
                staged = _stage(folder, name, stage)
                if staged is None:
                    continue
                try:
                    with Image.open(staged) as opened:
                        image = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
                except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                    continue
                with self._translated(f"the image {name} could not be stored"):
                    self._client.log_image(run_id, image, key=key, step=attempt, synchronous=True)

    def reopen(self, run_id: str) -> None:
        """Reopen a run that had ended, and remove what its end had recorded."""
        with self._translated():
            for tag in self._client.get_run(run_id).data.tags:
                if tag in OF_AN_END or tag.startswith(BEST):
                    self._client.delete_tag(run_id, tag)
            self._client.update_run(run_id, status="RUNNING")  # last: what breaks off before it is done again

    def terminate(self, run_id: str, status: str, ended: float) -> None:
        self._artifacts.pop(run_id, None)
        with self._translated():
            self._client.set_terminated(run_id, status, end_time=_milliseconds(ended))

    def _translated(self, subject: str = "") -> contextlib.AbstractContextManager[None]:
        return translated(self._uri, subject)


@contextlib.contextmanager
def translated(uri: str, subject: str = "") -> Iterator[None]:
    """Translate the many exceptions of MLflow and its artifact stores to `Unavailable` and `Rejected`."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        code = getattr(error, "error_code", None)
        where = f"MLflow at {without_credentials(uri)}"
        if code in REFUSALS or (code is None and subject and not isinstance(error, ConnectionError)):
            text = f"{subject or f'{where} refused a value'} ({redact(str(error), uri)[:300]})"
            raise Rejected(text, f"{subject}{code or type(error).__name__}") from error
        raise Unavailable(f"{where} cannot be reached ({_reason(error, uri)})") from error


def _stage(folder: RunDir, name: str, stage: str) -> str | None:
    """Stage a file of a directory below `stage`; None if it is missing, empty or outside the directory."""
    target = os.path.normpath(os.path.join(stage, name))
    if not target.startswith(stage + os.sep):
        return None
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if folder.is_local:
        path = folder.path(name)
        if not os.path.isfile(path) or not os.path.getsize(path):
            return None
        os.symlink(path, target)
        return target
    try:
        folder.fs.get_file(folder.path(name), target)
    except FileNotFoundError:
        return None
    if os.path.getsize(target):
        return target
    os.unlink(target)
    return None


def _reason(error: Exception, uri: str) -> str:
    text = redact(str(error), uri)
    cause = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)", text)
    if cause:
        return cause[1]
    return "no answer in time" if "timeout" in text.lower() else text[:200]


def _artifact_location(uri: str, run: RunDir, experiment: str) -> str | None:
    """Artifact location for a bare database, which would use the current directory; a server knows its own."""
    if not is_database(uri) or not run.is_local:
        return None
    folder = re.sub(r"[^\w.-]", "_", experiment).strip(".") or "_"
    return (_project(run) / "mlartifacts" / folder).as_uri()


def _tags(values: dict[str, Any]) -> dict[str, str]:
    return {key: _cut(compact(value), TAG_LENGTH) for key, value in with_keys(values).items()}


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
