"""What people say of a run after it was made: tags and a note, kept beside its record, which is its driver's."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
from collections.abc import Iterator
from typing import Any

from .rundir import RunDir

__all__ = ["LOCK", "NAME", "Notes"]

NAME = "notes.json"
LOCK = ".notes.lock"


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
        """Nobody else on this machine changes a local run's notes meanwhile; elsewhere the last one's are kept."""
        if not run.is_local:
            yield
            return
        with open(run.path(LOCK), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, run: RunDir) -> None:
        run.write_json(NAME, {"tags": self.tags, "note": self.text})
