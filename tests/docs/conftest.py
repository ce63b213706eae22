"""One process with one Spark session for all programs of the documentation that need no process of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.helpers.shared_session import SharedSession


@pytest.fixture(scope="session")
def shared_session() -> Iterator[SharedSession]:
    with contextlib.closing(SharedSession()) as session:
        yield session
