"""Packing of a virtual or conda environment into an archive that Spark unpacks on executors."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidArguments

__all__ = ["Environment", "LEFT_OUT", "Packed", "current_environment", "pack"]

# Compiled modules depend on what has been imported so far; executors have the jars of their own Spark.
LEFT_OUT = ("*/__pycache__/*", "*/pyspark/jars/*")
MAKE_ONE = "make one for the cluster: uv venv env && uv pip install --python env/bin/python hopslite …"


@dataclasses.dataclass(frozen=True)
class Environment:
    """An environment that can be packed."""

    prefix: str
    kind: str
    """"conda" or "venv"; an archive of the latter holds a link to the Python that it was made with."""

    @property
    def packages(self) -> str:
        return os.path.join(self.prefix, "lib", f"python{_minor()}", "site-packages")


@dataclasses.dataclass(frozen=True)
class Packed:
    """An archive that has been written."""

    path: str
    size: int
    """Bytes of the archive."""

    sizes: Mapping[str, int]
    """Bytes of its files, by package."""

    python: str | None
    """Path of the Python that machines need, since a virtual environment holds only a link to it; None for conda."""

    @property
    def unpacked(self) -> int:
        """Bytes of its files."""
        return sum(self.sizes.values())


def current_environment() -> Environment:
    """The environment of this interpreter.

    Raises:
        InvalidArguments: it cannot be packed; the message has all reasons.
    """
    prefix = os.path.realpath(sys.prefix)
    if os.path.isdir(os.path.join(prefix, "conda-meta")):
        environment = Environment(prefix, "conda")
    elif sys.prefix != sys.base_prefix and os.path.isfile(os.path.join(prefix, "pyvenv.cfg")):
        environment = Environment(prefix, "venv")
    else:
        raise InvalidArguments(
            "ship", [f"{sys.executable} is in no virtual environment and in no conda environment: {MAKE_ONE}"]
        )
    problems = [*_editable_problems(environment), *_outside_problems(environment)]
    if problems:
        raise InvalidArguments("ship", problems)
    return environment


def pack(
    environment: Environment, target: str, exclude: Sequence[str] = (), python_prefix: str | None = None
) -> Packed:
    """Pack an environment into a `.tar.gz` file, which appears as a whole; an existing file is replaced.

    The same virtual environment makes the same archive. Of a conda environment the time of one script differs, which
    conda-pack adds.

    Args:
        exclude: patterns of files to leave out, with `*` for any characters, also `/`.
        python_prefix: the prefix of the Python on the cluster's machines, such as `/usr`; None where it is as here.
            Only for virtual environments.

    Raises:
        InvalidArguments: the library that packs refuses the environment.
        OSError: it cannot be written.
    """
    folder = os.path.dirname(target)
    with tempfile.TemporaryDirectory(prefix=".hopslite-", dir=folder) as scratch, _temporary_files_in(scratch):
        archive = os.path.join(scratch, "environment.tar.gz")
        if environment.kind == "conda":
            files = _pack_conda(environment, archive, exclude)
        else:
            files = _pack_venv(environment, archive, exclude, python_prefix)
        _clear_gzip_time(archive)
        sizes = _sizes(environment, files)
        size = os.path.getsize(archive)
        os.replace(archive, target)
    python = None if environment.kind == "conda" else _linked_python(environment, python_prefix)
    return Packed(target, size, sizes, python)


def _pack_venv(environment: Environment, archive: str, exclude: Sequence[str], python_prefix: str | None) -> list[Any]:
    import venv_pack

    try:
        packed = venv_pack.Env(environment.prefix)
        for pattern in (*LEFT_OUT, *exclude):
            packed = packed.exclude(pattern)
        packed.files = sorted(packed.files, key=lambda file: str(file.target))
        if python_prefix is not None:
            packed.files = _with_links(packed.files, environment, python_prefix, os.path.dirname(archive))
        packed.pack(output=archive, python_prefix=python_prefix)
    except venv_pack.VenvPackException as error:
        raise InvalidArguments("ship", [str(error)]) from error
    return list(packed.files)


def _with_links(files: Sequence[Any], environment: Environment, python_prefix: str, folder: str) -> list[Any]:
    """The files of a virtual environment with its links to Python pointing to another prefix.

    venv-pack appends the version twice where such a link has one in its name.
    """
    import venv_pack.core

    wanted = _linked_python(environment, python_prefix)
    changed = []
    for file in files:
        if os.path.islink(file.source) and os.path.isabs(os.readlink(file.source)) and file.target.startswith("bin/py"):
            link = os.path.join(folder, os.path.basename(file.target))
            os.symlink(wanted, link)
            os.utime(link, ns=(0, 0), follow_symlinks=False)
            changed.append(venv_pack.core.File(link, file.target))
        else:
            changed.append(file)
    return changed


def _linked_python(environment: Environment, python_prefix: str | None) -> str:
    if python_prefix is not None:
        return os.path.join(os.path.normpath(python_prefix), "bin", f"python{_minor()}")
    path = os.path.join(environment.prefix, "bin", "python")
    while os.path.islink(path):  # to the first one outside, and no further: /usr/bin/python3 may be a link itself
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        if not path.startswith(f"{environment.prefix}/"):
            break
    return path


def _pack_conda(environment: Environment, archive: str, exclude: Sequence[str]) -> list[Any]:
    import conda_pack

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that conda's cache of packages is gone, which changes nothing
            packed = conda_pack.CondaEnv.from_prefix(environment.prefix)
        for pattern in (*LEFT_OUT, *exclude):
            packed = packed.exclude(pattern)
        packed.pack(output=archive)
    except conda_pack.CondaPackException as error:
        raise InvalidArguments("ship", [str(error).strip()]) from error
    return list(packed.files)


def _editable_problems(environment: Environment) -> list[str]:
    """Packages whose files are not in the environment; a library would only see some of them."""
    problems = []
    for distribution in importlib.metadata.distributions(path=[environment.packages]):
        text = distribution.read_text("direct_url.json")
        try:
            source = json.loads(text) if text else {}
        except ValueError:
            continue
        if source.get("dir_info", {}).get("editable"):
            folder = str(source.get("url", "")).removeprefix("file://")
            problems.append(
                f"{distribution.metadata['Name']} is editable, so that its files are in {folder} and not in "
                f"{environment.prefix}: pip install --no-deps {folder}"
            )
    return problems


def _outside_problems(environment: Environment) -> list[str]:
    configuration = Path(environment.prefix, "pyvenv.cfg")
    text = configuration.read_text() if configuration.exists() else ""
    if "include-system-site-packages = true" not in text.lower():
        return []
    return [
        f"{environment.prefix} uses the packages of {sys.base_prefix} as well (--system-site-packages), which would "
        f"not be in the archive; {MAKE_ONE}"
    ]


def _sizes(environment: Environment, files: Sequence[Any]) -> Counter[str]:
    """Bytes by package; of what belongs to none, by folder."""
    sizes: Counter[str] = Counter()
    packages = os.path.relpath(environment.packages, environment.prefix) + "/"
    for file in files:
        name = file.target.removeprefix(packages).partition("/")[0]
        with contextlib.suppress(OSError):
            sizes[name] += os.lstat(file.source).st_size
    return sizes


def _clear_gzip_time(archive: str) -> None:
    """Remove the time of writing from a gzip header, so that the same content is the same file."""
    with open(archive, "r+b") as file:
        file.seek(4)
        file.write(bytes(4))


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Have `tempfile` use a folder: the libraries write the archive there, and `/tmp` is often too small."""
    before = tempfile.tempdir
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _minor() -> str:
    return ".".join(map(str, sys.version_info[:2]))
