"""Trained models of the project by name and version, with metrics to select the best one.

```
from hopslite import model

exported = model.export("model.keras", "digits", metrics={"accuracy": 0.97})
best = model.get_best_model("digits", "accuracy", model.Metric.MAX)
folder = model.download_model("digits", best.version)
```

Signatures are those of HopsML's `hops.model`; docs/models.md describes the guarantees.
"""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import math
import os
import time
from collections.abc import Mapping
from typing import Any

from . import __version__, track
from .core.formatting import metric as short
from .core.redaction import without_credentials
from .core.settings import Settings
from .core.suggestions import did_you_mean
from .core.types import Direction, is_better
from .driver.model_arguments import (
    check_metrics,
    check_name,
    check_options,
    check_version,
    local_files,
    locate,
    project_of,
    trial_of_path,
)
from .errors import InvalidArguments, ModelArchiveExists, ModelExists, ModelNotFound
from .executor.context import current
from .storage.fs.checksums import differences
from .storage.model_versions import Models

__all__ = [
    "Metric",
    "Model",
    "ModelArchiveExists",
    "ModelExists",
    "ModelNotFound",
    "download_model",
    "export",
    "get_best_model",
    "get_model",
]


class Metric:
    """Direction in which a model's metric is better: `Metric.MAX` or `Metric.MIN`."""

    MAX = Direction.MAX
    MIN = Direction.MIN


@dataclasses.dataclass(frozen=True)
class Model:
    """A version of a model. `model["version"]` is `model.version`, as in the dict that HopsML had.

    Attributes:
        name, version: identification of the model.
        path: the directory with its files, a URL or a local path; `str(model)` is the same.
        metrics, description: what was given at its export.
        files: `size` in bytes and `sha256` of each file, by its name in `path`.
        run_id, trial_id: the run and the trial that it came from; None if unknown.
        user: name of the user that exported it.
        created_at: time of the export, in seconds since the epoch; `created` is the same with its time zone (UTC).
        hopslite: the version of hopslite that exported it.
    """

    name: str
    version: int
    path: str
    metrics: dict[str, float] = dataclasses.field(default_factory=dict, hash=False)
    description: str | None = None
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict, hash=False)
    run_id: str | None = None
    trial_id: str | None = None
    user: str | None = None
    created_at: float = 0.0
    hopslite: str = ""

    @property
    def created(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.created_at, datetime.timezone.utc)

    @property
    def size(self) -> int:
        """Total size of the files in bytes."""
        return sum(int(file["size"]) for file in self.files.values())

    def keys(self) -> list[str]:
        return [field.name for field in dataclasses.fields(self)]

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(f"{key!r}; a model has {', '.join(self.keys())}")
        return getattr(self, key)

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name}={short(value)}" for name, value in self.metrics.items())
        origin = "/".join(filter(None, (self.run_id, self.trial_id)))
        facts = [
            f"{len(self.files)} file{'s' * (len(self.files) != 1)}, {self.size} bytes",
            metrics,
            f"from {origin}" if origin else "",
            self.path,
        ]
        return f"Model {self.name!r} version {self.version}: {'; '.join(filter(None, facts))}"


def export(
    model_path: str | os.PathLike[str],
    model_name: str,
    model_version: int | None = None,
    overwrite: bool = False,
    metrics: Mapping[str, Any] | None = None,
    description: str | None = None,
    synchronous: bool = True,
    synchronous_timeout: float = 120,
    project: str | None = None,
) -> Model:
    """Copy a trained model to `Models/<name>/<version>/` of the project.

    >>> import pathlib, tempfile
    >>> weights = pathlib.Path(tempfile.mkdtemp(), "weights.txt")
    >>> _ = weights.write_text("0.5")
    >>> exported = export(weights, "doc", metrics={"accuracy": 0.9})
    >>> exported.version
    1
    >>> get_best_model("doc", "accuracy", Metric.MAX).version
    1

    Works on the driver and inside a training function, also many times at once: two exports never get the same version.
    The version is visible to others only when it is complete. It is linked to the run and the trial in whose directory
    `model_path` is, or else to the trial that calls this, and it is registered in MLflow, when that is in use.

    Args:
        model_path: a file, or a directory whose content is the model: a local path, one in the running trial's
            directory or in the project, any URL, or `runs:/NAME/VERSION/trials/0004/model`.
        model_name: letters, digits and other characters that a folder's name may have.
        model_version: a number from 1; default: one more than the largest that was ever started.
        overwrite: whether an existing version is replaced. Its readers get the old or the new one, never a mixture.
        metrics: numbers by name, for `get_best_model`.
        description: a text for people.
        synchronous: whether to wait until MLflow knows the model.
        synchronous_timeout: how long, in seconds. If MLflow does not answer, a warning is shown; the export is valid.
        project: the project's directory or URL; default: the running trial's, `HOPSLITE_PROJECT` or
            `./hopslite_project`.

    Raises:
        InvalidArguments: something in the call cannot work; the message lists every problem, and nothing is written.
        ModelExists: the version exists, and `overwrite` is not given.
        StoreError: the model cannot be read or written.
    """
    home = project_of(project)
    name, problems = check_name(model_name)
    version = check_version(model_version, "model_version", problems)
    values = check_metrics(metrics, problems)
    check_options(description, synchronous_timeout, problems)
    where = None
    try:
        where = locate(home, model_path)
    except (OSError, ImportError, TypeError) as error:
        problems.append(f"model_path: {error}")
    if problems or where is None:
        raise InvalidArguments("model.export()", problems)
    models = Models(home)
    if version is not None and not overwrite:
        models.check_free(name, version)
    run_id, trial_id = trial_of_path(where)
    facts = {
        "metrics": values,
        "description": description,
        "created": time.time(),
        "run_id": run_id,
        "trial_id": trial_id,
        "user": _user(),
        "hopslite": __version__,
    }
    with local_files(where) as files:
        record = models.publish(name, version, overwrite, files, facts)
    context = current()
    settings = Settings.load(tracking_uri=context.tracking_uri if context else None)
    if settings.tracks:
        track.register_model(home, record, settings.tracking_uri, synchronous_timeout if synchronous else None)
    return _model(models, record)


def get_best_model(name: str, metric: str, direction: Direction | str, *, project_name: str | None = None) -> Model:
    """The version of a model with the best value of a metric; of equal ones the newest.

    Versions that were exported without this metric do not count.

    Args:
        metric: a name among the `metrics` that were exported.
        direction: `Metric.MAX` or `Metric.MIN`.
        project_name: the project's directory or URL, as `project` of `export`.

    Raises:
        ModelNotFound: no version has this metric; the message lists the existing metrics.
    """
    name, problems = check_name(name)
    wanted = str(direction).upper()
    if wanted not in Direction.__members__:
        problems.append(f"direction={direction!r}; give Metric.MAX or Metric.MIN")
    if problems:
        raise InvalidArguments("model.get_best_model()", problems)
    models = Models(project_of(project_name))
    best: dict[str, Any] | None = None
    value: float | None = None
    known: set[str] = set()
    for record in models.records(name):
        metrics = record.get("metrics") or {}
        known |= metrics.keys()
        candidate = metrics.get(metric)
        if not isinstance(candidate, (int, float)) or not math.isfinite(candidate):
            continue
        if is_better(candidate, value, Direction(wanted)):
            best, value = record, candidate
    if best is None:
        models.record(name)  # says so when there is no such model at all
        hint = did_you_mean(str(metric), known, otherwise=f"metrics: {', '.join(sorted(known)) or 'none'}")
        raise ModelNotFound(f"no version of model {name!r} has the metric {metric!r}; {hint}")
    return _model(models, best)


def get_model(name: str, version: int | None = None, project_name: str | None = None) -> Model:
    """A version of a model; without `version` the newest.

    Raises:
        ModelNotFound: there is no such model or version; the message says which there are.
    """
    models, record = _look_up("get_model", name, version, project_name)
    return _model(models, record)


def download_model(
    name: str,
    version: int | None = None,
    project_name: str | None = None,
    overwrite: bool = False,
    *,
    local_path: str | os.PathLike[str] | None = None,
) -> str:
    """Copy a model to a local directory, and return its absolute path.

    The directory appears when it is complete, and sizes and checksums of all files are verified. If it exists already
    with exactly these files, nothing is copied.

    Args:
        version: default: the newest.
        project_name: the project's directory or URL, as `project` of `export`.
        overwrite: whether to replace what is at the local path, if it is something else.
        local_path: the directory to be made; default: `<name>/<version>` in the working directory.

    Raises:
        ModelNotFound: there is no such model or version.
        ModelArchiveExists: there is something else at the local path, and `overwrite` is not given.
        StoreError: the model in the project is damaged, or the directory cannot be written.
    """
    models, record = _look_up("download_model", name, version, project_name)
    destination = (
        os.fspath(local_path) if local_path is not None else os.path.join(record["name"], str(record["version"]))
    )
    target = os.path.abspath(destination)
    if any(_is_in(place, target) for place in (os.getcwd(), os.path.expanduser("~"))):
        raise InvalidArguments(
            "model.download_model()",
            [f"local_path={destination!r} would replace {target}, which has other files; give another directory"],
        )
    if os.path.lexists(target):
        if os.path.isdir(target) and not differences(target, record["files"], exact=True):
            return target
        if not overwrite:
            raise ModelArchiveExists(
                f"{target} is there, and is not version {record['version']} of model {record['name']!r}; "
                "give overwrite=True to replace it, or another local_path",
                path=target,
            )
    models.fetch(record, target)
    return target


def _is_in(path: str, folder: str) -> bool:
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


def _look_up(verb: str, name: Any, version: Any, project: str | None) -> tuple[Models, dict[str, Any]]:
    name, problems = check_name(name)
    version = check_version(version, "version", problems)
    if problems:
        raise InvalidArguments(f"model.{verb}()", problems)
    models = Models(project_of(project))
    return models, models.record(name, version)


def _model(models: Models, record: Mapping[str, Any]) -> Model:
    known = {field.name: record[field.name] for field in dataclasses.fields(Model) if field.name in record}
    path = without_credentials(models.folder(record["name"]).path(str(record["folder"])))
    return Model(**{**known, "path": path, "created_at": float(record.get("created") or 0.0)})


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None
