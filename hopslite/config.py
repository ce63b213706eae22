"""Settings: `hopslite.toml`, then `HOPSLITE_*` variables, then a call's arguments; read once per run."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import InvalidArguments

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Settings"]

OFF = ("off", "none", "false", "0", "no")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for many runs; `conf/hopslite.toml` shows each with its meaning."""

    project: str = "./hopslite_project"
    tracking_uri: str | None = None  # None: SQLite in the project directory; "off": no MLflow
    tensorboard: bool = True
    plots: bool = True  # of searches, in their directories
    channel_port: str = "0"
    member_ports: str = "0"
    sync_interval: float = 10.0  # seconds

    @classmethod
    def load(cls, **arguments: Any) -> Settings:
        """The settings in force; `arguments` that are None do not count.

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
        values |= {name: text for name in names if (text := os.environ.get(f"HOPSLITE_{name.upper()}"))}
        values |= {name: value for name, value in arguments.items() if value is not None}
        return cls(**{name: _CONVERSIONS.get(name, str)(value) for name, value in values.items()})

    @property
    def tracks(self) -> bool:
        """Whether MLflow is told of runs."""
        return self.tracking_uri is None or _is_on(self.tracking_uri)


def _interval(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidArguments("hopslite.toml", [f"sync_interval={value!r}; give a number of seconds above 0"])
    return seconds


def _project(value: Any) -> str:
    """A project's place with `~` expanded, here and once: of those who read it some would, and others would not."""
    place = str(value)
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


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "project": _project,
    "tensorboard": _is_on,
    "plots": _is_on,
    "sync_interval": _interval,
}
