"""Tags and note of a run, written by its users beside the driver's record."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from collections.abc import Iterator

from ..core.redaction import redact_value
from .records import json_object
from .run_directory import RunDir

__all__ = ["LOCK", "NAME", "Notes"]

NAME = "notes.json"
LOCK = ".notes.lock"
RETRY_SECONDS = 0.1
ABANDONED_SECONDS = 10.0  # a change of annotations takes much less


@dataclasses.dataclass(frozen=True)
class Notes:
    """Tags and note that override those of the run's call; an empty `text` keeps the description."""

    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    text: str = ""

    @classmethod
    def read(cls, run: RunDir) -> Notes:
        """Read a run's annotations; empty if there are none or they cannot be read."""
        known = json_object(run.read_many([NAME])[0]) or {}
        tags, text = known.get("tags"), known.get("note")
        tags = {key: str(value) for key, value in tags.items()} if isinstance(tags, dict) else {}
        return cls(tags, text if isinstance(text, str) else "")

    @staticmethod
    @contextlib.contextmanager
    def locked(run: RunDir) -> Iterator[None]:
        """Hold the lock on a run's annotations."""
        if run.is_local:
            from filelock import FileLock  # its import would slow down all commands that only read

            with FileLock(run.path(LOCK)):
                yield
            return
        _take_lock(run)
        try:
            yield
        finally:
            run.remove([LOCK])

    def write(self, run: RunDir) -> None:
        run.write_json(NAME, redact_value({"tags": self.tags, "note": self.text}))


def _take_lock(run: RunDir) -> None:
    """Take the lock file on a store; one that does not change for some seconds is that of a killed process."""
    mine, others, since = secrets.token_bytes(16), None, 0.0
    while not run.create(LOCK, mine):
        [there] = run.read_many([LOCK])
        if there != others:
            others, since = there, time.monotonic()
        elif there is not None and time.monotonic() > since + ABANDONED_SECONDS:
            run.remove([LOCK])
        time.sleep(RETRY_SECONDS)
