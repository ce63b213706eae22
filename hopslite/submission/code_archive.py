"""Zip archive of the code for `hopslite run`: a folder without what `.hopsliteignore` excludes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from ..errors import InvalidArguments
from ..storage.fs.file_info import largest, size_text
from ..storage.snapshot import zipped
from .job_file import has_variables, is_job
from .text_files import read_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["IGNORE", "pack"]

IGNORE = ".hopsliteignore"
ALWAYS = (".git/", "__pycache__/", ".venv/", ".ipynb_checkpoints/", "hopslite_project/", "*.pyc")
# Credentials, by the names that programs give them; no line of the user's brings these back.
SECRET = (
    ".env", ".env.*", "*.env",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk",
    "*.pem", "*.p12", "*.pfx", "*.key", "*.ppk", "*.jks", "*.jceks", "*.keystore", "*.keytab", "*.kdbx",
    ".ssh/", ".aws/", ".azure/", ".gnupg/", ".kube/", ".gcloud/", "**/.docker/config.json",
    ".netrc", "_netrc", ".pgpass", ".git-credentials", ".pypirc", ".npmrc", ".boto", ".s3cfg", ".databrickscfg",
    "kaggle.json",
)  # fmt: skip
PRIVATE_KEY = b"PRIVATE KEY-----"  # of PEM files, and of service accounts' JSON files
KEY_BYTES = 100_000  # larger files hold no key
OF_PROJECTS = (
    "mlflow.db",
    "mlflow.db-journal",
    "mlflow.db-wal",
    "mlflow.db-shm",
    "mlartifacts",
    "Experiments",
    "Models",
)
OF_RUNS = ("journal", "trials", "plan.pkl", ".summary.json")  # beside run.json
LARGEST = 200 << 20  # bytes, unpacked: it goes to each slot
LARGE = 20 << 20  # above which there is a warning
MOST = 0.8  # of a folder's size: what has so much of it is named in its place
NAMED = 5


def pack(folder: str, without: Collection[str] = (), project: str | None = None) -> bytes:
    """Pack all files of a folder into a zip archive; warnings are written to standard error.

    Args:
        without: paths of files that hold secrets, which stay here when they are in the folder.
        project: the directory of the project, which stays here as well; None where that is no local one.

    Raises:
        InvalidArguments: they are too large; the message names the largest. Or a name is not UTF-8, or what is ignored
            cannot be read.
    """
    code = _Code(folder, {os.path.realpath(path) for path in without}, project)
    files = dict(code.files())
    _check_names(folder, files)
    sizes = {name: os.path.getsize(path) for name, path in files.items()}
    size = sum(sizes.values())
    if size > LARGEST:
        raise InvalidArguments(
            "hopslite run",
            [
                f"the code in {folder} has {size_text(size)}, and {size_text(LARGEST)} may travel; list what is no "
                f"code in {IGNORE}, and give data with --input. The largest: {largest(_entries(sizes))}"
            ],
        )
    if size > LARGE:
        click.echo(
            f"the code in {folder} has {size_text(size)}, goes to each slot and is kept with each run; list what is no "
            f"code in {IGNORE}, and give data with --input. The largest: {largest(_entries(sizes))}",
            err=True,
        )
    if code.links:
        click.echo(
            f"not sent with the code, as they are links to folders: {', '.join(code.links[:NAMED])}; give data with "
            "--input, and a folder that has all of the code with --code",
            err=True,
        )
    if code.secrets:
        more = f" and {len(code.secrets) - NAMED} more" if len(code.secrets) > NAMED else ""
        click.echo(
            f"not sent with the code, as they may hold secrets: {', '.join(code.secrets[:NAMED])}{more}; a program "
            "that needs one gets it with --input",
            err=True,
        )
    return zipped(files)


def _check_names(folder: str, names: Collection[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = ascii(os.fsencode(name))[2:-1]
            raise InvalidArguments(
                "hopslite run",
                [f"the name of {shown} in {folder} is not UTF-8; rename the file, or list it in {IGNORE}"],
            ) from None


class _Code:
    """Walk through a folder; `secrets` and `links` collect names of what was left out, to be said."""

    def __init__(self, folder: str, without: Collection[str], project: str | None) -> None:
        self._folder, self._without = folder, without
        self._project = os.path.realpath(project) if project else None
        self._ignored = _ignored(os.path.join(folder, IGNORE))
        self._secret = _spec(SECRET)
        self.secrets: list[str] = []
        self.links: list[str] = []

    def files(self) -> Iterator[tuple[str, str]]:
        """Name and path of each file to be packed."""
        for place, folders, names in os.walk(self._folder):
            inside = os.path.relpath(place, self._folder)
            prefix = "" if inside == "." else f"{inside}/"
            is_project = os.path.realpath(place) == self._project or _is_project(place)
            folders[:] = [entry for entry in sorted(folders) if self._travels(place, prefix, entry, is_project)]
            self.links += [f"{prefix}{entry}" for entry in folders if os.path.islink(os.path.join(place, entry))]
            for entry in sorted(names):
                path = os.path.join(place, entry)
                if self._ignored.match_file(f"{prefix}{entry}") or not os.path.isfile(path):
                    continue
                if is_project and entry in OF_PROJECTS:
                    continue
                if not self._is_secret(f"{prefix}{entry}", path):
                    yield f"{prefix}{entry}", path
                elif not entry.startswith(".env") and os.path.realpath(path) not in self._without:
                    self.secrets.append(f"{prefix}{entry}")

    def _travels(self, place: str, prefix: str, name: str, is_project: bool) -> bool:
        path = os.path.join(place, name)
        if self._ignored.match_file(f"{prefix}{name}/") or self._secret.match_file(f"{prefix}{name}/".lower()):
            return False
        if is_project and name in OF_PROJECTS:
            return False
        return os.path.realpath(path) != self._project and not _is_run(path) and not _holds_runs(path)

    def _is_secret(self, name: str, path: str) -> bool:
        real = os.path.realpath(path)
        return (
            real in self._without
            or any(self._secret.match_file(candidate.lower()) for candidate in (name, os.path.basename(real)))
            or _holds_private_key(path)
            or (is_job(path) and has_variables(path))
        )


def _is_project(folder: str) -> bool:
    runs = os.path.join(folder, "Experiments")
    return os.path.isdir(os.path.join(runs, ".versions")) or _holds_runs(runs)


def _is_run(folder: str) -> bool:
    """True if a folder is a run's directory."""
    return os.path.isfile(os.path.join(folder, "run.json")) and any(
        os.path.exists(os.path.join(folder, name)) for name in OF_RUNS
    )


def _holds_runs(folder: str) -> bool:
    """True if a folder contains runs, as `Experiments` does."""
    try:
        with os.scandir(folder) as entries:
            return any(_is_run(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return False


def _holds_private_key(path: str) -> bool:
    if os.path.getsize(path) > KEY_BYTES or path.endswith((".py", ".ipynb")):  # which may only mention keys
        return False
    try:
        with open(path, "rb") as file:
            return PRIVATE_KEY in file.read()
    except OSError:
        return False  # packing the file raises the error


def _entries(sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes of files and folders; a folder is replaced by the parts that make up most of it."""
    totals: dict[str, int] = {}
    for name, size in sizes.items():
        first, slash, _ = name.partition("/")
        totals[first + slash] = totals.get(first + slash, 0) + size
    for folder in [name for name in totals if name.endswith("/")]:
        below = {name.removeprefix(folder): size for name, size in sizes.items() if name.startswith(folder)}
        most = {name: size for name, size in _entries(below).items() if size > MOST * totals[folder]}
        if most:
            del totals[folder]
            totals |= {folder + name: size for name, size in most.items()}
    return totals


def _ignored(path: str) -> GitIgnoreSpec:
    """Exclusion rules: those of `.hopsliteignore`, and the standard ones."""
    lines = read_text(path).splitlines() if os.path.isfile(path) else []
    for number, line in enumerate(lines, 1):
        try:
            _spec([line])
        except ValueError:
            raise InvalidArguments(
                "hopslite run", [f"{path}, line {number}: {line[:40]!r} is not a pattern of .gitignore"]
            ) from None
    return _spec([*ALWAYS, *lines])


def _spec(lines: Collection[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)
