"""What people say of a run after it was made: tags and a note, kept beside its record, which is its driver's."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from .rundir import RunDir

__all__ = ["LOCK", "NAME", "Notes"]

NAME = "notes.json"
LOCK = ".notes.lock"
RETRY_SECONDS = 0.1
ABANDONED_SECONDS = 10.0  # to change notes takes a small part of it


@dataclasses.dataclass(frozen=True)
class Notes:
    """`tags` are put over those of the run's call, `text` in the place of its description; "" says nothing."""

    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    text: str = ""

    @classmethod
    def read(cls, run: RunDir) -> Notes:
        """Those of a run; none where there are none, or nobody can read them."""
        try:
            found: Any = json.loads(run.read_many([NAME])[0] or b"{}")
            return cls(
                {str(key): str(value) for key, value in (found.get("tags") or {}).items()}, found.get("note") or ""
            )
        except (ValueError, AttributeError, TypeError):
            return cls()

    @staticmethod
    @contextlib.contextmanager
    def alone(run: RunDir) -> Iterator[None]:
        """Nobody else changes a run's notes meanwhile."""
        if run.is_local:
            with open(run.path(LOCK), "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        _take_lock(run)
        try:
            yield
        finally:
            run.remove([LOCK])

    def write(self, run: RunDir) -> None:
        run.write_json(NAME, {"tags": self.tags, "note": self.text})


def _take_lock(run: RunDir) -> None:
    """On a store a file is the lock. One that stays for long is of a process that was killed, and is taken away."""
    mine, others, since = secrets.token_bytes(16), None, 0.0
    while not run.create(LOCK, mine):
        [there] = run.read_many([LOCK])
        if there != others:
            others, since = there, time.monotonic()
        elif there is not None and time.monotonic() > since + ABANDONED_SECONDS:
            run.remove([LOCK])
        time.sleep(RETRY_SECONDS)
