"""Data sets of the project: numbered versions of files, which never change.

```
import hopslite
from hopslite import data, experiment

data.create("flowers")
data.upload("flowers", "photos")             # version 1

def train(learning_rate):
    folder = hopslite.inputs["train"]        # a local directory with the files
    ...

experiment.grid_search(train, grid, inputs={"train": "data:flowers/1"})
data.runs("flowers", 1)                      # the runs that used it
```

The commands `hopslite data …` do the same; docs/data.md describes the guarantees.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .core import extras
from .driver.data_arguments import check_text, look_up, named, picture_path, reference_of
from .driver.data_calls import bar, download_call, rm_call, upload_call, user_name
from .driver.model_arguments import project_of
from .errors import DataSetExists, DataSetNotFound, StoreError
from .runs.data_set_uses import DataUse, uses_of
from .storage.datasets import dataset as stored
from .storage.datasets.references import Reference
from .storage.datasets.upload import Reporting
from .storage.project import Project
from .storage.run_directory import write_file

__all__ = [
    "DataSet",
    "DataSetExists",
    "DataSetNotFound",
    "DataUse",
    "DataVersion",
    "contact_sheet",
    "create",
    "download",
    "get",
    "ls",
    "rm",
    "runs",
    "upload",
    "versions",
]

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class DataVersion:
    """A version of a data set.

    Attributes:
        name, version: identification; `str(version)` is `data:flowers/2`, the text for `inputs=`.
        num_files, size: number of files, and their bytes.
        classes: number of files of each class, by split, where there are folders `train/CLASS/`.
        fingerprint: SHA-256 of the names and contents of all files.
        description: text given at the upload.
        user: name of the user who uploaded it.
        created_at: time of the upload, in seconds since the epoch; `created` is the same with its time zone (UTC).
        project: URL of the project.
    """

    name: str
    version: int
    num_files: int
    size: int
    classes: dict[str, dict[str, int]] = dataclasses.field(hash=False)
    fingerprint: str
    description: str | None
    user: str | None
    created_at: float
    project: str = dataclasses.field(repr=False)

    @property
    def created(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.created_at, datetime.timezone.utc)

    @functools.cached_property
    def files(self) -> dict[str, dict[str, Any]]:
        """`size` in bytes and `sha256` of each file, by its name; read when it is first used."""
        data_set = stored.DataSet(Project(self.project), self.name)
        files = data_set.files(data_set.manifest(self.version))
        return {file.name: {"size": file.size, "sha256": file.sha256} for file in files}

    def __str__(self) -> str:
        return str(Reference(self.name, self.version))


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        name, description: as given to `create`.
        versions: numbers of its versions, the newest first.
        newest: its newest version; None if it has none.
    """

    name: str
    description: str | None
    versions: tuple[int, ...]
    newest: DataVersion | None


def create(name: str, description: str | None = None, *, exist_ok: bool = False, project: str | None = None) -> None:
    """Create a data set, without versions.

    >>> create("doc-create", "flowers by the roadside")
    >>> [data_set.name for data_set in ls() if data_set.name == "doc-create"]
    ['doc-create']

    Args:
        name: letters, digits and other characters that a folder's name may have.
        description: text for people.
        exist_ok: do nothing if it exists.
        project: directory or URL of the project; default: the running trial's, `HOPSLITE_PROJECT` or
            `./hopslite_project`.

    Raises:
        InvalidArguments: the name cannot be used.
        DataSetExists: it exists.
        StoreError: the project cannot be written.
    """
    check_text("data.create()", "description", description)
    with contextlib.suppress(*((DataSetExists,) if exist_ok else ())):
        named("data.create()", name, project).create({"description": description, "user": user_name()})


def upload(
    name: str,
    paths: PathLike | Sequence[PathLike],
    *,
    extract: bool = False,
    max_unpacked: int | None = None,
    check: bool = False,
    description: str | None = None,
    project: str | None = None,
    progress: bool = True,
) -> DataVersion:
    """Upload local files as a new version of a data set.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("train/rose/1.txt", "train/rose/2.txt", "train/tulip/3.txt"):
    ...     (folder / name).parent.mkdir(parents=True, exist_ok=True)
    ...     _ = (folder / name).write_text(name)
    >>> create("doc-upload")
    >>> version = upload("doc-upload", folder)
    >>> str(version), version.classes
    ('data:doc-upload/1', {'train': {'rose': 2, 'tulip': 1}})

    A version has the uploaded files and no others. Content that the data set has already, in another version or from an
    upload that was interrupted, is not sent again: after an interruption, call it again. The version appears when it
    is complete; two uploads at once get different numbers. Links are followed, and empty directories are left out.

    Args:
        name: an existing data set.
        paths: a file, or a directory whose content is uploaded; or several of them, each under its own name.
        extract: unpack archives among the paths: `.tar`, `.tgz`, `.tar.gz`, `.tar.bz2`, `.tar.xz` and `.zip`. Their
            content is put at the top of the data set.
        max_unpacked: bytes to which an archive may unpack; default: 250 times its size, at least 1 GB.
        check: read the content that is there already, and send it again where it is damaged.
        description: text for people.
        project: as of `create`.
        progress: show a bar in a terminal or notebook for more than 50 MB.

    Returns:
        The new version.

    Raises:
        InvalidArguments: there is nothing to upload, or something that cannot be; nothing is sent.
        DataSetNotFound: there is no such data set; the message names similar ones.
        StoreError: an archive is dangerous, a file changed meanwhile, or the store cannot be written.
    """
    reporting = Reporting(lambda line: None, functools.partial(bar, progress))
    return _version(*upload_call(name, paths, extract, max_unpacked, check, description, project, reporting))


def get(name: str, version: int | None = None, *, project: str | None = None) -> DataVersion:
    """A version of a data set; without `version` the newest.

    Args:
        name: its name, or with its version `"flowers/2"` or `"data:flowers/2"`.
        project: as of `create`.

    Raises:
        DataSetNotFound: there is no such data set or version; the message says which there are.
    """
    data_set, manifest = look_up("data.get()", name, version, project)
    return _version(data_set, manifest)


def ls(*, project: str | None = None) -> list[DataSet]:
    """The project's data sets, sorted by name.

    Args:
        project: as of `create`.
    """
    home = project_of(project)
    return [_data_set(stored.DataSet(home, name)) for name in stored.names(home)]


def versions(name: str, *, project: str | None = None) -> list[DataVersion]:
    """The versions of a data set, the newest first.

    Args:
        project: as of `create`.

    Raises:
        DataSetNotFound: there is no such data set.
    """
    data_set = named("data.versions()", name, project)
    data_set.record()
    return [_version(data_set, manifest) for manifest in data_set.manifests()]


def download(
    name: str,
    version: int | None = None,
    local_path: PathLike | None = None,
    *,
    overwrite: bool = False,
    project: str | None = None,
    progress: bool = True,
) -> str:
    """Copy a version to a local directory, and return its absolute path.

    The directory appears when it is complete, and the checksums of all files are verified. If it exists with exactly
    these files, nothing is copied.

    Args:
        name, version: as of `get`.
        local_path: the directory to be made; default: `<name>-<version>` in the working directory.
        overwrite: replace what is at the local path, if it is something else.
        project, progress: as of `upload`.

    Raises:
        DataSetNotFound: there is no such data set or version.
        FileExistsError: there is something else at the local path, and `overwrite` is not given.
        StoreError: the version is damaged, or the directory cannot be written.
    """
    return download_call(name, version, local_path, overwrite, project, bar(progress, "downloading"))


def rm(name: str, version: int | None = None, *, force: bool = False, project: str | None = None) -> None:
    """Delete a version of a data set, or without `version` the data set with all its versions.

    Content that other versions need stays. Numbers are never used again, also if the data set is created again.

    Args:
        name, version: as of `get`.
        force: also while a run uses it, whose later trials fail then.
        project: as of `create`.

    Raises:
        DataSetNotFound: there is no such data set or version.
        StoreError: a running run uses it; somebody uploads to the data set that is to be deleted, or deletes from it.
    """
    rm_call(name, version, force, project)


def runs(name: str, version: int | None = None, *, project: str | None = None) -> list[DataUse]:
    """The runs that used a data set, the newest first.

    Args:
        name, version: as of `get`; without a version the runs of all versions.
        project: as of `create`.

    Returns:
        Uses with `run_id`, `run_name`, `run_version`, `state`, `started_at`, `input` and `version`.
    """
    data_set, number = reference_of("data.runs()", name, version, project)
    return list(uses_of(data_set.project, data_set.name, number))


def contact_sheet(
    name: str, version: int | None = None, path: PathLike = "contact_sheet.png", *, project: str | None = None
) -> str:
    """Draw some images of each class into one PNG, and return its absolute path.

    Of a data set without classes, it shows the first images. Only these images are fetched.

    Args:
        name, version: as of `get`.
        path: the PNG; a file there is replaced.
        project: as of `create`.

    Raises:
        MissingExtra: Pillow is not installed: `pip install "hopslite[plots]"`.
        DataSetNotFound: there is no such data set or version.
        InvalidArguments: `path` is in no folder that can be written.
        StoreError: it has no images, or one is damaged.
    """
    extras.require("plots", "data.contact_sheet()")
    from .figures.contact_sheet import IMAGES, draw_contact_sheet
    from .storage.datasets.samples import read_sample, samples

    target = picture_path("data.contact_sheet()", path)
    data_set, manifest = look_up("data.contact_sheet()", name, version, project)
    rows = samples(data_set.files(manifest), IMAGES)
    if not rows:
        raise StoreError(f"{Reference(data_set.name, manifest['version'])} has no images ({', '.join(IMAGES)})")
    title = f"{data_set.name}/{manifest['version']}: {manifest['num_files']} files"
    content = draw_contact_sheet(title, rows, functools.partial(read_sample, data_set.objects))
    try:
        write_file(target, content)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _data_set(data_set: stored.DataSet) -> DataSet:
    manifests = [_version(data_set, manifest) for manifest in data_set.manifests()]
    description = data_set.record().get("description")
    numbers = tuple(manifest.version for manifest in manifests)
    return DataSet(data_set.name, description, numbers, manifests[0] if manifests else None)


def _version(data_set: stored.DataSet, manifest: Mapping[str, Any]) -> DataVersion:
    return DataVersion(
        name=data_set.name,
        version=int(manifest["version"]),
        num_files=int(manifest["num_files"]),
        size=int(manifest["size"]),
        classes=dict(manifest["classes"]),
        fingerprint=str(manifest["fingerprint"]),
        description=manifest.get("description"),
        user=manifest.get("user"),
        created_at=float(manifest.get("created") or 0.0),
        project=data_set.project.url,
    )
