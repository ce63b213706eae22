"""MLflow's model registry: a registered model for each name, and a version for each version of ours."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core import extras
from ..core.redaction import without_credentials
from ..errors import HopsliteError
from ..storage.project import Project
from ..storage.run_directory import RunDir
from ._base import compact
from ._mlflow_client import TAG_LENGTH, _cut, prepare_environment, target_uri, translated
from ._mlflow_database import has_database, new_database
from ._mlflow_keys import with_keys

__all__ = ["main", "register", "stages"]

DATABASES = ("sqlite", "postgresql", "mysql", "mssql", "file", "")
AWAIT_SECONDS = 10


def main() -> int:
    """Read a call of `register` or `stages` from standard input and write its outcome to standard output, as JSON."""
    from ._interpreter import own_stdout

    prepare_environment()
    own = own_stdout()
    call = json.load(sys.stdin)
    try:
        arguments = (Project(call["project"]), call["model"], call["tracking_uri"])
        outcome: Any = register(*arguments) if call["function"] == "register" else stages(*arguments)
        answer: dict[str, Any] = {"outcome": outcome}
    except (HopsliteError, OSError, ImportError) as error:
        answer = {"warning": str(error)}
    own.write(json.dumps(answer))
    own.flush()
    return 0


def register(project: Project, record: Mapping[str, Any], tracking_uri: str | None) -> dict[str, Any] | None:
    """Register a version of a model with MLflow, or update the one that is registered already.

    Its source is the directory of the model. Only where a server would have to read a directory of this machine is the
    model uploaded to the server.

    Returns:
        MLflow's `name` and `version`; None when no MLflow is known.

    Raises:
        Unavailable, Rejected: MLflow did not answer, or refused.
    """
    run_id = record.get("run_id")
    run = project.sub("Experiments", run_id or "none")
    uri = target_uri(run, tracking_uri)
    return _Registry(uri, project).register(record, run) if uri else None


def stages(project: Project, name: str, tracking_uri: str | None) -> dict[str, list[str]]:
    """Aliases and stages that users have given to the versions of a model in MLflow, by our versions.

    Only the configured MLflow is asked, or the project's own database. The project's records may name others; but they
    may come from somebody else, and MLflow's client would send the user's credentials there.

    Raises:
        Unavailable, Rejected: MLflow did not answer, or refused.
    """
    uri = tracking_uri or _own_database(project)
    return _Registry(uri, project).stages(name) if uri and has_database(uri) else {}


def _own_database(project: Project) -> str | None:
    """URI of a local project's database; None for a link, which may lead to one that is not MLflow's."""
    path = Path(project.path("mlflow.db"))
    return f"sqlite:///{path}" if project.is_local and not path.is_symlink() else None


class _Registry:
    def __init__(self, uri: str, project: Project) -> None:
        extras.require("mlflow", "the model registry")
        self._uri, self._project = uri, project
        with translated(uri), new_database(uri):
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._client.search_registered_models(max_results=1)  # makes a database's tables

    def register(self, record: Mapping[str, Any], run: RunDir) -> dict[str, Any]:
        name, version = str(record["name"]), int(record["version"])
        with translated(self._uri):
            self._make_name(name)
            earlier = self._find(name, version)
            experiment, mlflow_run = self._origin(record, run)
        folder = self._project.sub("Models", name, str(record["folder"]))
        tags = {key: _cut(compact(value), TAG_LENGTH) for key, value in with_keys(self._tags(record)).items()}
        source: str | None = _source(folder)
        model_id = None
        if folder.is_local and urllib.parse.urlsplit(self._uri).scheme.partition("+")[0] not in DATABASES:
            source, model_id = None, self._upload(folder, record, experiment, mlflow_run)
        with translated(self._uri):
            if source is not None and earlier is not None and earlier.source == source:
                number = earlier.version
                self._client.update_model_version(name, number, description=record.get("description"))
            else:
                made = self._client.create_model_version(
                    name,
                    source or f"models:/{model_id}",
                    run_id=mlflow_run,
                    tags=tags,
                    description=record.get("description"),
                    await_creation_for=AWAIT_SECONDS,
                    **({"model_id": model_id} if model_id else {}),
                )
                number = made.version
                if earlier is not None:
                    self._client.set_model_version_tag(name, earlier.version, "hopslite.replaced_by", str(number))
            for key, value in tags.items():
                self._client.set_model_version_tag(name, number, key, value)
            self._client.set_registered_model_alias(name, f"hopslite-{version}", str(number))
        return {"name": name, "version": int(number)}

    def _make_name(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def stages(self, name: str) -> dict[str, list[str]]:
        with translated(self._uri):
            registered = self._client.search_registered_models(f'name="{name}"', max_results=1)
            aliases = registered[0].aliases if registered else {}
            stages: dict[str, list[str]] = {}
            for version in self._versions(name):
                ours = version.tags.get("hopslite.version")
                own = [alias for alias, number in aliases.items() if str(number) == str(version.version)]
                names = sorted(alias for alias in own if not re.fullmatch(r"hopslite-[0-9]+", alias))
                stage = getattr(version, "current_stage", None)  # which MLflow keeps for its earlier users
                names += [stage] if stage and stage != "None" else []
                if ours and names:
                    stages.setdefault(ours, []).extend(names)
        return stages

    def _versions(self, name: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_model_versions(f'name="{name}"', max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _find(self, name: str, version: int) -> Any:
        """MLflow's version for one of ours; the newest, if there are several."""
        versions = [item for item in self._versions(name) if item.tags.get("hopslite.version") == str(version)]
        return max(versions, key=lambda item: int(item.version), default=None)

    def _origin(self, record: Mapping[str, Any], run: RunDir) -> tuple[str | None, str | None]:
        """MLflow's experiment and run from which a model comes: the trial's run, else the parent."""
        try:
            known = run.read_json("mlflow.json")
        except (OSError, ValueError):
            return None, None
        if known.get("tracking_uri") != without_credentials(self._uri):
            return None, None
        experiment, trial = known.get("experiment_id"), record.get("trial_id")
        if experiment and trial:
            query = f"tags.`hopslite.run_id` = '{record['run_id']}' and tags.`hopslite.trial_id` = '{trial}'"
            for mlflow_run in self._client.search_runs([str(experiment)], query, max_results=1):
                return str(experiment), str(mlflow_run.info.run_id)
        return experiment, known.get("run_id")

    def _tags(self, record: Mapping[str, Any]) -> dict[str, Any]:
        facts = {name: record.get(name) for name in ("version", "run_id", "trial_id", "user")}
        tags = {f"hopslite.{name}": value for name, value in facts.items() if value is not None}
        tags["hopslite.project"] = self._project.shown
        return tags | {f"metric.{name}": value for name, value in (record.get("metrics") or {}).items()}

    def _upload(self, folder: RunDir, record: Mapping[str, Any], experiment: str | None, mlflow_run: str | None) -> str:
        """Upload a model to the server as a logged model; returns its id."""
        from mlflow.entities import LoggedModelStatus

        name = re.sub(r"[^\w -]", "_", f"{record['name']}-{record['version']}")
        with translated(self._uri, "the model could not be uploaded"):
            if experiment is None:
                experiment = self._experiment(str(record["name"]))
            made = self._client.create_logged_model(experiment, name=name, source_run_id=mlflow_run)
            with tempfile.TemporaryDirectory(prefix="hopslite-") as stage:
                for file_name in record["files"]:
                    link = Path(stage, file_name)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(folder.path(file_name))
                self._client.log_model_artifacts(made.model_id, stage)
            self._client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
        return str(made.model_id)

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        return str(experiment.experiment_id if experiment else self._client.create_experiment(name))


def _source(folder: RunDir) -> str:
    return Path(folder.url).as_uri() if folder.is_local else without_credentials(folder.url)
