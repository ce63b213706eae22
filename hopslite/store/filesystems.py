"""File systems by URL: fsspec's, opened so that what hopslite promises holds on each of them.

What it asks of a file system beyond fsspec's interface: a file written whole (`pipe_file`, `put_file`) appears complete
or not at all, and `mode="create"` lets one of several writers win. Object stores are so by nature; HDFS is taught it in
`_hdfs`, and S3 in `_s3` that a wait ends.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from ..errors import MissingExtra, StoreError

__all__ = [
    "access_variables",
    "errors_of",
    "forget_connections",
    "is_local",
    "open_url",
    "scheme_of",
    "user_info",
    "without_credentials",
]

# A URL up to its last `@`, within what stands without a space, and before another URL of a list.
_UP_TO_AT = re.compile(
    r"(?<![a-z])([a-z][a-z0-9+.-]*)://(?!/)((?:(?!(?:[,;|\"'<>()]|::)(?:[\w.-]+=)?[a-z][a-z0-9+.-]*://)\S)*)@", re.I
)
_WITH_QUERY = re.compile(r"(?<![a-z])(([a-z][a-z0-9+.-]*)://[^\s?&;#]*)(?:\?|[&;](?=[\w.-]+=))\S*", re.I)
_SECRET_NAME = re.compile(r"(?:^|[&;?])[^=&;\s]*(?:sig|secret|token|key|pass|pwd|cred|auth)[^=&;\s]*=", re.I)
# What each kind of URL needs, by scheme: a package, and how it is installed.
PACKAGES = {
    "hdfs": ("hdfs_native", 'pip install "hopslite[hdfs]"'),
    "viewfs": ("hdfs_native", 'pip install "hopslite[hdfs]"'),
    "s3": ("s3fs", 'pip install "hopslite[s3]"'),
    "s3a": ("s3fs", 'pip install "hopslite[s3]"'),
    "gs": ("gcsfs", "pip install gcsfs"),
    "gcs": ("gcsfs", "pip install gcsfs"),
    "abfs": ("adlfs", "pip install adlfs"),
    "abfss": ("adlfs", "pip install adlfs"),
    "az": ("adlfs", "pip install adlfs"),
}
# Schemes of which all after the first `/` is a path, in which `@` and `?` may be letters like others.
WITH_PATHS = {*PACKAGES, *known_implementations, "local", "viewfs", "wasb", "wasbs"}
# What went wrong, where it matters to those who catch it.
KINDS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
# The environment by which the file systems' packages find servers and credentials.
ACCESS = ("AWS_", "HADOOP_", "KRB5", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "AZURE_", "STORAGE_")
TRACKING = ("MLFLOW_TRACKING_", "MLFLOW_S3_")  # the same for MLflow's server, and what it stores


class Memory(MemoryFileSystem):  # type: ignore[misc]
    """fsspec's, in which one of several threads that create a file wins."""

    _writing = threading.RLock()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        with self._writing:
            super().pipe_file(path, value, mode=mode, **options)


def open_url(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL or local path, and the path on it.

    Raises:
        MissingExtra: a package is needed that is not installed.
        StoreError: the URL cannot be used.
    """
    scheme = scheme_of(url)
    package, install = PACKAGES.get(scheme, ("fsspec", ""))
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(f"{scheme}:// needs the package {package!r}, which cannot be imported: {install}") from error
    try:
        if scheme in ("hdfs", "viewfs"):
            from ._hdfs import open_hdfs

            return open_hdfs(url)
        if scheme in ("s3", "s3a"):
            from ._s3 import open_s3

            return open_s3(url)
        if scheme == "memory":
            return Memory(), Memory._strip_protocol(url)
        if scheme in ("file", "local"):
            return LocalFileSystem(), str(LocalFileSystem._strip_protocol(url))
        if "::" in url:  # to fsspec `a::b` is two URLs, and the file system is that of `a`
            raise ValueError("'::' cannot be in a URL of this kind; rename what it names")
        opened: tuple[AbstractFileSystem, str] = fsspec.core.url_to_fs(url)
        return opened
    except Exception as error:  # each file system has exceptions of its own
        raise StoreError(f"cannot open {without_credentials(url)!r}: {_brief(error)}") from error


def scheme_of(url: str) -> str:
    """The scheme of a URL; "file" for a plain path."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator else "file"


def is_local(fs: AbstractFileSystem) -> bool:
    return isinstance(fs, LocalFileSystem)


def without_credentials(text: str) -> str:
    """A URL, or a text with URLs in it, without users' names and passwords, and without queries that may hold secrets.

    A password may have any letters, `/`, `?` and `@` among them. Of an address of a file, what is only a path stays.
    """
    return _WITH_QUERY.sub(_without_query, _UP_TO_AT.sub(_without_user, text))


def user_info(url: str) -> str:
    """What a URL says of the user: `name:password`; empty where it says nothing."""
    match = _UP_TO_AT.match(url)
    return _parted(match)[0] if match else ""


def _without_user(match: re.Match[str]) -> str:
    return f"{match[1]}://{_parted(match)[1]}"


def _parted(match: re.Match[str]) -> tuple[str, str]:
    """The user and the rest, of what a URL has up to its last `@`."""
    scheme, text = match[1].lower(), match[2]
    if scheme not in WITH_PATHS:
        return text, ""
    head, slash, path = text.partition("/")
    user, at, host = head.rpartition("@") if slash else (head, "@", "")
    if at:
        is_container = scheme in ("abfs", "abfss") and ":" not in user
        return ("", f"{text}@") if is_container else (user, f"{host}/{path}@" if slash else "")
    _, colon, port = head.rpartition(":")
    if colon and not port.isdigit() and not head.startswith("["):
        return text, ""  # a password with a slash in it
    return "", f"{text}@"


def _without_query(match: re.Match[str]) -> str:
    scheme = match[2].lower()
    if scheme not in WITH_PATHS:
        return match[1]
    address, _, query = match[0].partition("?")
    return address if scheme in ("http", "https") or _SECRET_NAME.search(query) else match[0]


def access_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables by which this process reaches remote stores and MLflow, for others that are to reach them, too."""
    return {name: value for name, value in environment.items() if name.startswith((*ACCESS, *TRACKING))}


def forget_connections() -> None:
    """Have file systems opened anew, with the credentials that are then in the environment."""
    pending = [AbstractFileSystem]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind is not LocalFileSystem and kind is not MemoryFileSystem:
            kind.clear_instance_cache()


@contextlib.contextmanager
def errors_of(where: str) -> Iterator[None]:
    """Whatever a file system raises comes out as an `OSError`, with `where` and without credentials in its message."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError) or error.filename is not None or where in str(error):
            raise
        kind = next((kind for kind in KINDS if isinstance(error, kind)), StoreError)
        told = kind(without_credentials(f"{where}: {_brief(error)}"))
        told.errno = error.errno
        raise told from error
    except Exception as error:  # each file system has exceptions of its own
        raise StoreError(without_credentials(f"{where}: {_brief(error)}")) from error


def _brief(error: Any) -> str:
    """What happened, in one line; a library that is not found fills pages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
