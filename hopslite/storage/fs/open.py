"""File systems by URL: fsspec's, opened so that hopslite's promises hold on each of them.

Requirements beyond fsspec's interface: a file written whole (`pipe_file`, `put_file`) appears complete
or not at all, and `mode="create"` lets one of several writers win. Object stores are so by nature; HDFS is taught it in
`hdfs`; `s3`, `gcs` and `azure` bound the waits.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from ...core.redaction import without_credentials
from ...errors import MissingExtra, StoreError
from .urls import LOCAL, first_line, scheme_of

__all__ = ["open_url"]

# By scheme: the package that a URL needs, and how it is installed.
PACKAGES = {
    "hdfs": ("hdfs_native", 'pip install "hopslite[hdfs]"'),
    "viewfs": ("hdfs_native", 'pip install "hopslite[hdfs]"'),
    "s3": ("s3fs", 'pip install "hopslite[s3]"'),
    "s3a": ("s3fs", 'pip install "hopslite[s3]"'),
    "gs": ("gcsfs", 'pip install "hopslite[gs]"'),
    "gcs": ("gcsfs", 'pip install "hopslite[gs]"'),
    "abfs": ("adlfs", 'pip install "hopslite[azure]"'),
    "abfss": ("adlfs", 'pip install "hopslite[azure]"'),
    "az": ("adlfs", 'pip install "hopslite[azure]"'),
}


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
            from .hdfs import open_hdfs

            return open_hdfs(url)
        if scheme in ("s3", "s3a"):
            from .s3 import open_s3

            return open_s3(url)
        if scheme in ("gs", "gcs"):
            from .gcs import open_gcs

            return open_gcs(url)
        if scheme in ("abfs", "abfss", "az"):
            from .azure import open_azure

            return open_azure(url)
        if scheme == "memory":
            return Memory(), Memory._strip_protocol(url)
        if scheme in LOCAL:
            return LocalFileSystem(), str(LocalFileSystem._strip_protocol(url))
        if "::" in url:  # to fsspec `a::b` is two URLs, and the file system is that of `a`
            raise ValueError("'::' cannot be in a URL of this kind; rename what it names")
        opened: tuple[AbstractFileSystem, str] = fsspec.core.url_to_fs(url)
        return opened
    except Exception as error:  # each file system has exceptions of its own
        raise StoreError(f"cannot open {without_credentials(url)!r}: {first_line(error)}") from error
