"""Validated reading of a run's records, which a crash, a newer version or an untrusted archive may have left.

All readers go through here, so that a record either has the form that it is documented to have, or cannot be read and
says why in one line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.plain_values import is_integer
from ..core.types import Direction, Event, State
from ..errors import StoreError

__all__ = [
    "FORMAT",
    "MOST_BYTES",
    "NewerFormat",
    "check_format",
    "command_of",
    "git_of",
    "is_sound",
    "is_time",
    "json_object",
    "read_record",
    "record_of",
]

# Number of the form of a run's directory: `run.json`, journal, and archives of `hopslite export`. It grows when an
# older hopslite would misread what a newer one writes; every older format is read. 1: without a number. 2: with one,
# sets sorted, times of NumPy as texts.
FORMAT = 2
MOST_BYTES = 64 << 20  # hopslite writes no larger ones
LATEST = 253_000_000_000.0  # seconds since the epoch, in the year 9987
SHOWN = 40
Check = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300  # JSON has no subclasses of these


def _is_metric(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, float) and not isinstance(value, bool))


def _is_count(value: Any) -> bool:
    return is_integer(value, 0) and value < 1 << 63


def is_time(value: Any) -> bool:
    """True if a value is a time in seconds since the epoch, in a year that a calendar has."""
    return _is_number(value) and 0 <= value < LATEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_simple(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value not in ("", ".", "..") and not set("/\\\0") & set(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_objective(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("name")) and value.get("direction") in tuple(Direction)


def _object_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


TEXT: Check = (_is_text, "a text")
NUMBER: Check = (_is_number, "a number")
METRIC: Check = (_is_metric, "a number")
METRICS: Check = (_object_of(_is_metric), "an object of numbers")
COUNT: Check = (_is_count, "a whole number of at least 0")
TIME: Check = (is_time, "a time in seconds since the epoch")
OBJECT: Check = (_is_object, "an object")
OBJECTS: Check = (_object_of(_is_object), "an object of objects")
TEXTS: Check = (_list_of(_is_text), "a list of texts")
STATE: Check = (lambda value: isinstance(value, str) and value in State.__members__, f"one of {', '.join(State)}")

RUN: Mapping[str, Check] = {
    **dict.fromkeys(("verb", "description", "optimization_key", "isolation", "project", "logdir", "user"), TEXT),
    **dict.fromkeys(("hopslite", "best_trial", "program", "tensorboard_url"), TEXT),
    **dict.fromkeys(("application_id", "connect_server", "spark_ui"), TEXT),
    **dict.fromkeys(("error", "host", "ranked_by"), TEXT),
    "run_id": (_is_id, "the name of a directory"),
    "name": (lambda value: isinstance(value, str) and bool(value.strip()), "a text that is not empty"),
    "version": COUNT,
    "state": STATE,
    "direction": (lambda value: isinstance(value, str) and value in Direction.__members__, "MAX or MIN"),
    "objectives": (_list_of(_is_objective), "a list of names with directions"),
    "pareto_trials": TEXTS,
    "seed": (is_integer, "a whole number"),
    "session": COUNT,
    "total": (_is_simple, "a number"),
    "started": TIME,
    "finished": TIME,
    "duration": NUMBER,
    "metric": METRIC,
    "tags": (_object_of(_is_simple), "an object of texts"),
    "counts": (_object_of(_is_count), "an object of whole numbers"),
    "function": OBJECT,
    "inputs": OBJECTS,
    "space": (lambda value: isinstance(value, (dict, list)), "an object or a list"),
    "initial_params": (_list_of(_is_object), "a list of objects"),
    "warm_start": OBJECT,
    "members": (_list_of(_is_object), "a list of objects"),
}
REQUIRED = ("name", "version", "state")
RESULT: Mapping[str, Check] = {
    **dict.fromkeys(("trial_id", "error", "cause", "traceback", "host", "log"), TEXT),
    "state": STATE,
    "metric": METRIC,
    "metrics": METRICS,
    "outputs": OBJECT,
    "started": TIME,
    "duration": NUMBER,
    "warnings": TEXTS,
    "usage": (_object_of(_is_number), "an object of numbers"),
    "artifacts": TEXTS,
}
GIT: Mapping[str, Check] = {"commit": TEXT, "branch": TEXT, "remote": TEXT, "changed": TEXTS}
COMMAND: Mapping[str, Check] = {
    **dict.fromkeys(("options", "env", "parameters"), TEXTS),
    **dict.fromkeys(("program", "job"), TEXT),
}
ASKED: Mapping[str, Check] = {
    "params": OBJECT,
    "generation": COUNT,
    "continues": TEXT,
    "copies": (lambda value: isinstance(value, bool), "true or false"),
    "of": TEXT,
}
# Checks and required fields of an event's data, by its kind.
EVENTS: Mapping[str, tuple[Mapping[str, Check], tuple[str, ...]]] = {
    "run_started": (RUN, ()),
    "asked": (ASKED, ("params",)),
    "known": (ASKED, ("params", "of")),
    "suggested": ({"params": OBJECT, "distributions": OBJECTS}, ("params", "distributions")),
    "user_attr": ({"values": OBJECT}, ("values",)),
    "started": ({"attempt": COUNT, "slot": COUNT, "host": TEXT}, ()),
    "retry": ({"attempt": COUNT, "cause": TEXT, "error": TEXT}, ()),
    "report": ({"step": NUMBER, "value": METRIC, "metrics": METRICS, "attempt": COUNT}, ("step",)),
    "ended": (RESULT, ("trial_id", "state")),
    "run_ended": (
        {name: RUN[name] for name in ("state", "best_trial", "metric", "pareto_trials", "duration", "error")},
        (),
    ),
    "tensorboard": ({"url": TEXT}, ()),
}


class NewerFormat(StoreError):
    """A record is of a newer hopslite, whose form this one does not know."""


UNKNOWN: tuple[Mapping[str, Check], tuple[str, ...]] = ({}, ())


def json_object(content: bytes | None) -> dict[str, Any] | None:
    """Parse a JSON object; None if the content is not one."""
    try:
        value = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def git_of(content: bytes | None) -> dict[str, Any]:
    """Content of `git.json`, the program's commit; empty if it cannot be read."""
    record = json_object(content) or {}
    return record if _problem(record, GIT) is None else {}


def command_of(content: bytes | None) -> dict[str, Any] | None:
    """Content of `command.json`, a call of `hopslite run`; None if it cannot be read."""
    record = json_object(content) or {}
    is_whole = all(record.get(name) is not None for name in ("options", "env", "parameters", "program"))
    return (
        {"job": None, "has_code": False, "has_env": False, **record}
        if is_whole and _problem(record, COMMAND) is None
        else None
    )


def read_record(content: bytes | None, required: Sequence[str] = REQUIRED) -> dict[str, Any]:
    """Parse the content of a `run.json`, which must have the fields `required`.

    Raises:
        StoreError: it holds none; the message says why, in one line.
    """
    if content is None:
        raise StoreError("there is no run.json")
    if len(content) > MOST_BYTES:
        raise StoreError(f"run.json has more than {MOST_BYTES >> 20} MB")
    record = json_object(content)
    if record is None:
        raise StoreError("run.json is empty" if not content.strip(b"\0 \r\n") else "run.json is not a JSON object")
    check_format(record)
    missing = [name for name in required if record.get(name) is None]
    if missing:
        raise StoreError(f"run.json lacks its {' and '.join(missing)}")
    if problem := _problem(record, RUN):
        raise StoreError(f"run.json: {problem}{_made_by(record)}")
    return record


def check_format(record: Mapping[str, Any]) -> None:
    """Check that this hopslite knows the format of a record.

    Raises:
        StoreError: it is no number, or a newer one (`NewerFormat`).
    """
    number = record.get("format", 1)
    if not is_integer(number, 1):
        raise StoreError(f"run.json: format is {json.dumps(number):.40}, not a whole number of at least 1")
    if number > FORMAT:
        raise NewerFormat(
            f"run.json has format {number}{_made_by(record)}; this hopslite reads formats up to {FORMAT}: upgrade it"
        )


def _made_by(record: Mapping[str, Any]) -> str:
    version = record.get("hopslite")
    return f" (hopslite {version:.20} has made it)" if isinstance(version, str) else ""


def record_of(content: bytes | None, required: Sequence[str] = REQUIRED) -> dict[str, Any] | None:
    """Parse the content of a `run.json`; None if it is not valid.

    Raises:
        NewerFormat: a newer hopslite has written it, so that nothing of it is to be guessed or replaced.
    """
    try:
        return read_record(content, required)
    except NewerFormat:
        raise
    except StoreError:
        return None


def is_sound(event: Event) -> bool:
    """True if the data of an event have the documented form of its kind."""
    checks, required = EVENTS.get(event.kind, UNKNOWN)
    for name in required:
        if event.data.get(name) is None:
            return False
    return _problem(event.data, checks) is None


def _problem(values: Mapping[str, Any], checks: Mapping[str, Check]) -> str | None:
    """First field with an invalid value, in a few words; None if all are valid."""
    for name, value in values.items():
        if value is None or name not in checks:
            continue
        is_right, meant = checks[name]
        if not is_right(value):
            shown = json.dumps(value)
            shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
            return f"{name} is {shown}, not {meant}"
    return None
