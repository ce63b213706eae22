"""Settings from `hopslite.toml`, `HOPSLITE_*` variables and arguments, in rising precedence; read once per run."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InvalidArguments
from .suggestions import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Settings"]

TABLES = ("frameworks", "profiles")  # settings that only the file can have
CHANNELS = ("auto", "direct", "relay")
OFF = ("off", "none", "false", "0", "no")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Settings shared by many runs; `conf/hopslite.toml` documents each."""

    project: str = "./hopslite_project"
    tracking_uri: str | None = None  # None: SQLite in the project directory; "off": no MLflow
    tensorboard: bool = True
    plots: bool = True  # of searches, in their directories
    channel_port: str = "0"
    channel: str = "auto"  # over Spark Connect: "direct", "relay" (through the project), or whichever works
    channel_host: str | None = None  # over Spark Connect: the driver's address for executors; None: looked up
    member_ports: str = "0"
    sync_interval: float = 10.0  # seconds
    storage_patience: float = 600.0  # seconds that a run waits for storage that cannot be written
    warm_seconds: float = 300.0  # seconds for which executors keep imported frameworks for the next run; 0: not at all
    frameworks: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # requirements, for --framework
    profiles: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # options of `hopslite run`

    @classmethod
    def load(cls, **arguments: Any) -> Settings:
        """Load the settings; `arguments` that are None are ignored.

        Raises:
            InvalidArguments: an unknown setting, or a file that is not TOML.
        """
        values: dict[str, Any] = _from_file()
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(values.keys() - names)
        if unknown:
            raise InvalidArguments(
                "hopslite.toml", [f"unknown setting: {', '.join(unknown)}; known: {', '.join(sorted(names))}"]
            )
        if os.environ.get("MLFLOW_TRACKING_URI"):
            values["tracking_uri"] = os.environ["MLFLOW_TRACKING_URI"]
        values |= {name: text for name in names - set(TABLES) if (text := os.environ.get(f"HOPSLITE_{name.upper()}"))}
        values |= {name: value for name, value in arguments.items() if value is not None}
        return cls(**{name: _converted(name, value) for name, value in values.items()})

    @property
    def tracks(self) -> bool:
        """True unless MLflow is turned off."""
        return self.tracking_uri is None or _is_on(self.tracking_uri)


def _converted(name: str, value: Any) -> Any:
    if name in TABLES:
        return _frameworks(value) if name == "frameworks" else _profiles(value)
    if name in ("sync_interval", "storage_patience", "warm_seconds"):
        return _seconds(name, value, may_be_zero=name == "warm_seconds")
    return _CONVERSIONS.get(name, str)(value)


def _frameworks(value: Any) -> dict[str, tuple[str, ...]]:
    """Requirements by name; a name that was written without quotes, and so as tables, is put together again."""
    table = dict(_flat(value)) if isinstance(value, dict) else {"frameworks": value}
    for name, lines in table.items():
        if not isinstance(lines, (str, list)) or not all(isinstance(line, str) and line.strip() for line in lines):
            problem = f'frameworks: {name} is {lines!r:.60}; give a requirement or a list of them: "torch==2.13.0"'
            raise InvalidArguments("hopslite.toml", [problem])
    return {name: (lines,) if isinstance(lines, str) else tuple(lines) for name, lines in table.items()}


def _flat(table: dict[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value


def _profiles(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(profile, dict) for profile in value.values()):
        problem = "profiles has something else than tables; write [profiles.gpu] and below it lines: gpus_per_trial = 1"
        raise InvalidArguments("hopslite.toml", [problem])
    return value


def _seconds(name: str, value: Any, may_be_zero: bool) -> float:
    try:
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf") or (seconds == 0 and not may_be_zero):
        allowed = "0 or more" if may_be_zero else "above 0"
        raise InvalidArguments("hopslite.toml", [f"{name}={value!r}; give a number of seconds {allowed}"])
    return seconds


def _project(value: Any) -> str:
    """Expand `~` in a project's path, once for all its readers."""
    if not isinstance(value, (str, os.PathLike)):
        problem = f"project is of type {type(value).__name__}; give a path or a URL, such as './hopslite_project'"
        raise InvalidArguments("settings", [problem])
    place = os.fsdecode(value)
    return place if "://" in place else os.path.expanduser(place)


def _is_on(value: Any) -> bool:
    return str(value).strip().lower() not in OFF


def _from_file() -> dict[str, Any]:
    path = Path("hopslite.toml")
    if not path.is_file():
        return {}
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise InvalidArguments(str(path.resolve()), [f"not TOML: {error}"]) from error


def _channel(value: Any) -> str:
    if value not in CHANNELS:
        hint = did_you_mean(str(value), CHANNELS, start=". Did you mean")
        raise InvalidArguments("hopslite.toml", [f"channel={value!r}; give one of {', '.join(CHANNELS)}{hint}"])
    return str(value)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "channel": _channel,
    "project": _project,
    "tensorboard": _is_on,
    "plots": _is_on,
}
