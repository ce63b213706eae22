"""URLs of stores, the errors of file systems, and their credentials; needs no fsspec, which takes a while to import."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...core.redaction import without_credentials
from ...errors import StoreError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "access_variables",
    "errors_of",
    "first_line",
    "forget_connections",
    "is_local",
    "local_path",
    "scheme_of",
]

LOCAL = ("file", "local")
# Types of errors that are kept, as callers catch them.
KINDS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
# The environment by which the file systems' packages find servers and credentials.
ACCESS = ("AWS_", "HADOOP_", "KRB5", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "AZURE_", "STORAGE_")
TRACKING = ("MLFLOW_TRACKING_", "MLFLOW_S3_")  # the same for MLflow's server, and what it stores


def scheme_of(url: str) -> str:
    """The scheme of a URL; "file" for a plain path."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator else "file"


def local_path(url: str) -> str | None:
    """Absolute path of a local URL or plain path; None for a URL of another file system."""
    if scheme_of(url) not in LOCAL:
        return None
    for scheme in LOCAL:
        url = url.removeprefix(f"{scheme}://").removeprefix(f"{scheme}:")
    return os.path.abspath(os.path.expanduser(url))


def is_local(fs: AbstractFileSystem) -> bool:
    """True for fsspec's file system of local disks."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)


def access_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables with addresses and credentials of stores and MLflow, for executors and subprocesses."""
    return {name: value for name, value in environment.items() if name.startswith((*ACCESS, *TRACKING))}


def forget_connections() -> None:
    """Clear cached file systems, so that the next use reads credentials from the environment again."""
    if "fsspec" not in sys.modules:
        return
    from fsspec import AbstractFileSystem
    from fsspec.implementations.local import LocalFileSystem
    from fsspec.implementations.memory import MemoryFileSystem

    pending = [AbstractFileSystem]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind is not LocalFileSystem and kind is not MemoryFileSystem:
            kind.clear_instance_cache()


@contextlib.contextmanager
def errors_of(where: str) -> Iterator[None]:
    """Raise errors of a file system as an `OSError` whose message has `where` and no credentials."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError) or error.filename is not None or where in str(error):
            raise
        kind = next((kind for kind in KINDS if isinstance(error, kind)), StoreError)
        translated = kind(without_credentials(f"{where}: {first_line(error)}"))
        translated.errno = error.errno
        raise translated from error
    except Exception as error:  # each file system has exceptions of its own
        raise StoreError(without_credentials(f"{where}: {first_line(error)}")) from error


def first_line(error: Any) -> str:
    """First line of an error's text; for a missing library it fills pages."""
    lines = str(error).strip().splitlines()
    if lines:
        return str(lines[0])
    name = type(error).__name__
    return "the server has not answered in time" if "Timeout" in name else name
