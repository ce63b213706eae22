"""Calls of an MLflow server: what is written, within its limits, and which failures may pass."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import posixpath
import re
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import HopsliteError
from ..store import RunDir
from ..store.filesystems import without_credentials
from ._tracker import Unavailable, compact, redact

__all__ = [
    "BEST",
    "Connection",
    "Known",
    "Rejected",
    "Write",
    "alone_with_new_database",
    "prepare_environment",
    "target_uri",
]

KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 5000  # some servers' limit; others allow more
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # what its pages show: trainings, not prompts
OF_AN_END = ("hopslite.state", "hopslite.error", "hopslite.cause")  # tags that a run which goes on must lose
BEST = "best/"  # beginning of the tags with the best parameters
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "NOT_FOUND"}


def prepare_environment() -> None:
    """Quick failures and a quiet MLflow, in this process only; what the user has set stays."""
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
    """MLflow answered and refused; asking again would not help. `kind` is its error code."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A run that MLflow has: its id there, its status and the state that we gave it."""

    id: str
    status: str = "RUNNING"
    state: str | None = None


@dataclasses.dataclass(slots=True)
class Write:
    """What is to be written to one run. Metrics: name, value, seconds since the epoch, step."""

    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    tags: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: list[tuple[str, float, float, int]] = dataclasses.field(default_factory=list)


def target_uri(run: RunDir, given: str | None) -> str | None:
    """Where a run is tracked: what is given, else what an earlier delivery used, else SQLite in a local project."""
    if given:
        return given
    with contextlib.suppress(OSError, ValueError):
        earlier = run.read_json("mlflow.json").get("tracking_uri")
        if earlier:
            return str(earlier)
    return f"sqlite:///{_project(run)}/mlflow.db" if run.is_local else None


def _project(run: RunDir) -> Path:
    return Path(run.url).parent.parent


class Connection:
    """One experiment on one MLflow server. Methods raise `Unavailable` or `Rejected`, nothing else of MLflow's."""

    def __init__(self, uri: str, run: RunDir, experiment: str) -> None:
        self._uri = uri
        with self._translated(), alone_with_new_database(uri):
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=uri)
            self.experiment_id = self._experiment(experiment, _artifact_location(uri, run, experiment))

    def _experiment(self, name: str, location: str | None) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=location, tags=TRAINING))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(name)  # another run was quicker
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def find(self, run_id: str) -> dict[str | None, Known]:
        """The runs that MLflow has for a run of ours, by trial id; the parent under None."""
        found: dict[str | None, Known] = {}
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
                known = Known(run.info.run_id, run.info.status, tags.get("hopslite.state"))
                found.setdefault(tags.get("hopslite.trial_id"), known)
            token = page.token
            if not token:
                return found

    def create(self, name: str, started: float, tags: dict[str, str]) -> Known:
        with self._translated():
            run = self._client.create_run(
                self.experiment_id, start_time=_milliseconds(started), tags=tags, run_name=name
            )
        return Known(run.info.run_id)

    def log(self, run_id: str, write: Write) -> None:
        """Write params, tags and metrics; writing the same again changes nothing.

        Raises:
            Rejected: some of it was; what could be written has been.
        """
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(key, _cut(compact(v), PARAM_LENGTH)) for key, v in _keyed(write.params).items()]
        tags = [RunTag(key, _cut(compact(v), TAG_LENGTH)) for key, v in _keyed(write.tags).items()]
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

    def _log_batch(self, run_id: str, batch: dict[str, list[Any]]) -> None:
        with self._translated():
            self._client.log_batch(run_id, **batch)

    def upload(self, run_id: str, folder: RunDir, names: Iterable[str]) -> None:
        """Store files of a trial's directory as artifacts, in one call; those that are missing or empty are not."""
        with tempfile.TemporaryDirectory(prefix="hopslite-") as stage:
            for name in dict.fromkeys(names):
                _stage(folder, name, stage)
            if os.listdir(stage):
                with self._translated("artifacts could not be stored"):
                    self._client.log_artifacts(run_id, stage)

    def show_images(self, run_id: str, folder: RunDir, names: Iterable[str], attempt: int = 0) -> None:
        """Log pictures so that MLflow's charts show them, beside those of other runs; what is no picture is not.

        Each attempt is a step in those charts: a trial that is run again has other pictures, and none can be replaced.
        """
        from PIL import Image

        keys = {name: re.sub(r"[^a-zA-Z0-9_\-./ ]", "_", name) for name in names}
        with self._translated("artifacts could not be listed"):
            there = {entry.path for entry in self._client.list_artifacts(run_id, "images")} if keys else set()
        shown = {path.removeprefix("images/").partition("+timestamp")[0] for path in there}  # by one that broke off
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
        """Let a run that had ended go on, without what its end had said."""
        with self._translated():
            for tag in self._client.get_run(run_id).data.tags:
                if tag in OF_AN_END or tag.startswith(BEST):
                    self._client.delete_tag(run_id, tag)
            self._client.update_run(run_id, status="RUNNING")  # last: what breaks off before it is done again

    def terminate(self, run_id: str, status: str, ended: float) -> None:
        with self._translated():
            self._client.set_terminated(run_id, status, end_time=_milliseconds(ended))

    def _translated(self, what: str = "") -> contextlib.AbstractContextManager[None]:
        return translated(self._uri, what)


@contextlib.contextmanager
def translated(uri: str, what: str = "") -> Iterator[None]:
    """MLflow's and its artifact stores' many exceptions as `Unavailable` or `Rejected`."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        code = getattr(error, "error_code", None)
        where = f"MLflow at {without_credentials(uri)}"
        if code in REFUSALS or (code is None and what and not isinstance(error, ConnectionError)):
            text = f"{what or f'{where} refused a value'} ({redact(str(error), uri)[:300]})"
            raise Rejected(text, f"{what}{code or type(error).__name__}") from error
        raise Unavailable(f"{where} cannot be reached ({_reason(error, uri)})") from error


def _stage(folder: RunDir, name: str, stage: str) -> str | None:
    """Where a file of a directory now is below `stage`; None when it is missing, empty or outside of the directory."""
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
    """A server knows where artifacts go; a bare database would put them below the current directory."""
    scheme = urllib.parse.urlsplit(uri).scheme.partition("+")[0]
    if scheme not in ("sqlite", "postgresql", "mysql", "mssql") or not run.is_local:
        return None
    folder = re.sub(r"[^\w.-]", "_", experiment).strip(".") or "_"
    return (_project(run) / "mlartifacts" / folder).as_uri()


@contextlib.contextmanager
def alone_with_new_database(uri: str) -> Iterator[None]:
    """Two processes that make the tables of one new SQLite file at the same time would both fail."""
    path = uri.partition(":///")[2].partition("?")[0]
    if not uri.startswith("sqlite") or not path or path.startswith(":memory:"):
        yield
        return
    lock = Path(path).with_name(f".{Path(path).name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _keys(names: Any) -> dict[str, str]:
    """A valid key for each name, different ones for different names."""
    keys: dict[str, str] = {}
    for name in dict.fromkeys(names):
        key = re.sub(r"[^\w./ :-]", "_", name)[:KEY_LENGTH]
        if not key or posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
            key = re.sub(r"[/.]", "_", key) or "_"
        taken, number, base = set(keys.values()), 2, key
        while key in taken:
            key, number = f"{base[: KEY_LENGTH - 8]}_{number}", number + 1
        keys[name] = key
    return keys


def _keyed(values: dict[str, Any]) -> dict[str, Any]:
    keys = _keys(values)
    return {keys[name]: value for name, value in values.items()}
