"""Interface of trackers, and the context that they are created with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..core import redaction
from ..core.redaction import REDACTED, user_info, without_credentials
from ..core.types import Event, Result, metric_name
from ..errors import HopsliteError
from ..storage.run_directory import RunDir

__all__ = [
    "Context",
    "NoDestination",
    "Tracker",
    "Unavailable",
    "command",
    "final_values",
    "numeric",
    "redact",
    "reported",
]


class Unavailable(HopsliteError, ConnectionError):
    """Raised while a tracker's destination cannot be reached; the message says why, in one line."""


class NoDestination(HopsliteError):
    """Raised when no destination is configured; the message says what would help, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """Context of a tracker: the run, the destination, and a callback to the driver.

    `tell` sends a status (a JSON object) to the driver, `warn` a line for the user. `turn` is held while a database is
    written: deliveries of one process would wait for each other's locks there, and exhaust its connections.
    """

    run: RunDir
    tracking_uri: str | None
    tell: Callable[[dict[str, Any]], None]
    warn: Callable[[str], None]
    turn: contextlib.AbstractContextManager[Any] = dataclasses.field(default_factory=contextlib.nullcontext)


class Tracker(Protocol):
    """Tracker of a run. Created with a `Context`, or raises `NoDestination`; all calls come from one thread.

    Everything follows from the events alone, so that delivering a journal a second time changes nothing.
    """

    def handle(self, events: Sequence[Event]) -> None:
        """Take note of events, without input or output."""

    def flush(self) -> None:
        """Deliver the events taken note of.

        Raises:
            Unavailable: not now; what is left stays noted, and the next call goes on.
        """

    def close(self) -> None:
        """Release files and connections; the last call."""


def command(run: RunDir) -> str:
    """Command that delivers a run to its trackers."""
    return f"{os.path.basename(sys.executable) or 'python'} -m hopslite.track {shlex.quote(run.url)}"


def numeric(values: dict[str, Any] | None) -> dict[str, float]:
    """Numbers among a trial's outputs."""
    numbers = {}
    for name, value in (values or {}).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                numbers[name] = float(value)
            except OverflowError:
                continue
    return numbers


def reported(data: dict[str, Any], key: str | None) -> dict[str, float]:
    """Metrics of a report by name; `key` is the name of the optimised one."""
    return numeric(data.get("metrics") or {metric_name(key, None): data.get("value")})


def final_values(result: Result, key: str | None) -> dict[str, float]:
    """Metrics of a trial that has ended, by name, the optimised one first."""
    optimised = {} if result.metric is None else {metric_name(key, result.outputs): result.metric}
    return {**optimised, **numeric(result.outputs), **optimised}


def compact(value: Any) -> str:
    """Short text of a value: strings as they are, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def redact(text: str, uri: str | None) -> str:
    """Redact the secrets of a URI, and of MLflow's variables, in a message; returns one line."""
    secrets = {os.environ.get(name) for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")}
    user = user_info(uri or "")
    password = user.partition(":")[2]
    secrets |= {user, password, urllib.parse.unquote(password)}
    secrets |= {value for _, value in urllib.parse.parse_qsl((uri or "").partition("?")[2])}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return " ".join(redaction.redact(without_credentials(text)).split())
