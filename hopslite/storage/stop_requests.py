"""Requests to stop a run or one of its trials: files in the run's directory, for the driver that works on it.

The name of a file says everything that the driver needs, so that garbage in it does no harm, and two users who ask for
the same write the same file.
"""

from __future__ import annotations

import dataclasses
import getpass
import json
import re
import socket
import time
from collections.abc import Container

from ..core.formatting import one_line
from .records import json_object
from .run_directory import RunDir

__all__ = ["StopRequest", "new_requests", "request_stop"]

FOLDER = "requests"
MOST_BYTES = 4096
NAME_CHARS = 40
_NAME = re.compile(r"stop-([0-9]{4,9})-(run|[0-9]{4,9})\.json")


@dataclasses.dataclass(frozen=True, slots=True)
class StopRequest:
    """Request to stop a trial, or the whole run (`trial` is None); `by` names the user for messages."""

    trial: str | None
    by: str


def request_stop(run: RunDir, session: int, trial: str | None) -> None:
    """Ask the driver of a run to stop it, or one of its trials; idempotent.

    Args:
        session: number of the driver's lease; a driver that resumes the run later has another one.

    Raises:
        OSError: the run's directory cannot be written.
    """
    run.makedirs(FOLDER)
    record = {"user": _user(), "host": socket.gethostname(), "time": time.time()}
    run.write_bytes(f"{FOLDER}/stop-{session:04d}-{trial or 'run'}.json", f"{json.dumps(record)}\n".encode())


def new_requests(run: RunDir, session: int, seen: Container[str]) -> dict[str, StopRequest]:
    """Requests to the driver with this session, by the names of their files, without those in `seen`.

    Raises:
        OSError: the run's directory cannot be read now.
    """
    matches = [match for name in run.list(FOLDER) if name not in seen and (match := _NAME.fullmatch(name))]
    own = [match for match in matches if int(match[1]) == session]
    contents = run.read_each([f"{FOLDER}/{match[0]}" for match in own], MOST_BYTES)
    return {
        match[0]: StopRequest(None if match[2] == "run" else match[2], _by(content))
        for match, content in zip(own, contents, strict=True)
    }


def _by(content: bytes | OSError | None) -> str:
    record = {} if isinstance(content, OSError) else json_object(content) or {}
    user, host = (one_line(str(record.get(name) or ""))[:NAME_CHARS] for name in ("user", "host"))
    return f"{user or 'a user'} on {host}" if host else user or "a user"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
