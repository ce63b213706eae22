"""What a tracker is, and what it is given."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .._trial import Event
from ..errors import HopsliteError
from ..store import RunDir
from ..store.filesystems import user_info, without_credentials

__all__ = ["Context", "Nowhere", "Tracker", "Unavailable", "command", "numeric", "redact"]


class Unavailable(HopsliteError, ConnectionError):
    """What a tracker writes to cannot be reached now; the message says why, in one line."""


class Nowhere(HopsliteError):
    """A tracker does not know where to deliver to; the message says what would help, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What a tracker is given: a run, where to send it, and how to tell the driver of it.

    `tell` sends a status (a JSON object) to the driver, `warn` a line for the user.
    """

    run: RunDir
    tracking_uri: str | None
    tell: Callable[[dict[str, Any]], None]
    warn: Callable[[str], None]


class Tracker(Protocol):
    """Who else is told of a run. Made with a `Context`, or raises `Nowhere`; all calls come from one thread.

    Everything follows from the events alone, so that delivering a journal a second time changes nothing.
    """

    def handle(self, events: Sequence[Event]) -> None:
        """Take note of events; no input or output."""

    def flush(self) -> None:
        """Deliver what was noted.

        Raises:
            Unavailable: not now; what is left stays noted, and the next call goes on.
        """

    def close(self) -> None:
        """Release files and connections; the last call."""


def command(run: RunDir) -> str:
    """The command that delivers a run to its trackers."""
    return f"{os.path.basename(sys.executable) or 'python'} -m hopslite.track {shlex.quote(run.url)}"


def numeric(values: dict[str, Any] | None) -> dict[str, float]:
    """The numbers among a trial's outputs."""
    found = {}
    for name, value in (values or {}).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                found[name] = float(value)
            except OverflowError:
                continue
    return found


def compact(value: Any) -> str:
    """A value as a short text: strings as they are, all else in JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def redact(text: str, uri: str | None) -> str:
    """A message, in one line, without the secrets of a URI or of MLflow's variables."""
    secrets = {os.environ.get(name) for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")}
    user = user_info(uri or "")
    password = user.partition(":")[2]
    secrets |= {user, password, urllib.parse.unquote(password)}
    secrets |= {value for _, value in urllib.parse.parse_qsl((uri or "").partition("?")[2])}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"//[^/@\s]+@", "//", without_credentials(text))
    return " ".join(text.split())
