"""MLflow's own databases: which URIs name one, and new SQLite files with all tables."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

__all__ = ["has_database", "is_database", "lock_new_database", "new_database"]


def is_database(uri: str) -> bool:
    """True if a URI is that of a bare database instead of a server."""
    return urllib.parse.urlsplit(uri).scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def has_database(uri: str) -> bool:
    """False if a URI is that of an SQLite file that does not exist, which MLflow would create."""
    path = _sqlite_path(uri)
    return path is None or path.exists()


@contextlib.contextmanager
def lock_new_database(uri: str) -> Iterator[None]:
    """Lock a new SQLite file: of two processes that create its tables at the same time, both would fail."""
    path = _sqlite_path(uri)
    if path is None:
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock  # only here, since the driver imports this module

    with FileLock(lock):
        yield


@contextlib.contextmanager
def new_database(uri: str) -> Iterator[None]:
    """Lock a new SQLite file as `lock_new_database`, and make MLflow's tables if it does not exist.

    They are made under another name: a process that is killed meanwhile would leave a database that MLflow can neither
    use nor complete.
    """
    path = _sqlite_path(uri)
    with lock_new_database(uri):
        if path is not None and not path.exists():
            _make_database(path)
        yield


def _make_database(path: Path) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    new = path.with_name(f".{path.name}.new")
    files = [new.with_name(new.name + suffix) for suffix in ("", "-journal", "-wal", "-shm")]
    for left in files:  # by a process that was killed
        left.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{new}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    if not path.exists():  # MLflow's own server may have made one meanwhile
        new.rename(path)
    for left in files:
        left.unlink(missing_ok=True)


def _sqlite_path(uri: str) -> Path | None:
    """Path of an SQLite database; None for one in memory, or of another kind."""
    path = uri.partition(":///")[2].partition("?")[0]
    return Path(path) if uri.startswith("sqlite") and path and not path.startswith(":memory:") else None
