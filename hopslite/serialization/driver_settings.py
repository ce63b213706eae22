"""Process-wide settings of the driver that also apply in trials: logging, warning filters, locale and others.

`capture` runs on the driver, `apply` in the parent process of trials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import locale
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from .program_pickler import is_own_module, is_plain
from .warning_filters import FilterData, active_filters, set_filters

__all__ = ["DriverSettings", "changed_environment"]

DEFAULT_RECURSION_LIMIT = 1000
# variables that describe a machine or a process: the executor keeps its own
_MACHINE_VARIABLES = frozenset(
    [
        "CUDA_VISIBLE_DEVICES",
        "HOSTNAME",
        "JAVA_HOME",
        "ML_ID",
        "MPLBACKEND",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHLVL",
        "TERM",
        "_",
    ]
)
_MACHINE_PREFIXES = (
    "HADOOP_",
    "HOPSLITE_",
    "JPY_",
    "JUPYTER",
    "LD_",
    "PYSPARK_",
    "PYTEST_",
    "PYTHON",
    "SPARK_",
    "VIRTUAL_ENV",
)


@dataclasses.dataclass(frozen=True)
class HandlerSettings:
    """Settings of a logging handler for a standard stream."""

    stream: str  # "stdout" or "stderr"
    level: int
    format: tuple[str | None, str | None, str] | None  # the arguments of logging.Formatter
    defaults: dict[str, Any] | None = None  # of the format's fields


@dataclasses.dataclass(frozen=True)
class LoggerSettings:
    """Settings of a logger that differ from the defaults."""

    level: int
    disabled: bool
    propagate: bool
    handlers: tuple[HandlerSettings, ...]


@dataclasses.dataclass(frozen=True)
class DriverSettings:
    """The settings as plain data, captured on the driver and applied in trials.

    A warning filter has its category as module and name, since the category's module may not be imported yet.
    """

    loggers: dict[str, LoggerSettings]
    level_names: dict[int, str]
    disabled_level: int
    captures_warnings: bool
    warning_filters: list[FilterData] | None
    recursion_limit: int
    umask: int | None
    locale: dict[int, str]

    @staticmethod
    def capture() -> DriverSettings:
        """Capture the settings of this process."""
        return DriverSettings(
            loggers=_loggers(),
            level_names={level: name for level, name in _level_names().items() if level not in _STANDARD_LEVELS},
            disabled_level=logging.root.manager.disable,
            captures_warnings=getattr(logging, "_warnings_showwarning", None) is not None,
            warning_filters=active_filters(),
            recursion_limit=sys.getrecursionlimit(),
            umask=_umask(),
            locale=_locale(),
        )

    def apply(self, framework_filters: Sequence[tuple[Any, ...]] = ()) -> None:
        """Apply the settings to this process.

        Args:
            framework_filters: warning filters that frameworks have added in this process. Those that the driver does
                not have precede its own, as they do where a trial imports the framework.
        """
        for level, name in self.level_names.items():
            logging.addLevelName(level, name)
        for name, settings in self.loggers.items():
            _configure_logger(logging.getLogger(name or None), settings)
        logging.disable(self.disabled_level)
        logging.captureWarnings(self.captures_warnings)
        if self.warning_filters is not None:
            set_filters(self.warning_filters, framework_filters)
        if self.recursion_limit != DEFAULT_RECURSION_LIMIT:
            sys.setrecursionlimit(self.recursion_limit)
        if self.umask is not None:
            os.umask(self.umask)
        for category, value in self.locale.items():
            with contextlib.suppress(locale.Error):  # this machine does not have it
                locale.setlocale(category, value)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Apply the settings temporarily, in a process that keeps its own."""
        previous = DriverSettings.capture()
        loggers = {name: logging.getLogger(name or None) for name in self.loggers}
        states = {
            name: (logger.level, logger.disabled, logger.propagate, logger.handlers[:])
            for name, logger in loggers.items()
        }
        with warnings.catch_warnings():
            self.apply()
            try:
                yield
            finally:
                for name, logger in loggers.items():
                    level, logger.disabled, logger.propagate, logger.handlers[:] = states[name]
                    logger.setLevel(level)
                dataclasses.replace(previous, loggers={}, warning_filters=None).apply()
                sys.setrecursionlimit(previous.recursion_limit)


def changed_environment() -> dict[str, str]:
    """Environment variables that the program has set since its start, except those that describe a machine."""
    import psutil  # not above: every slot imports this module

    try:
        initial = psutil.Process().environ()
    except (psutil.Error, OSError):
        return {}
    return {
        name: value
        for name, value in os.environ.items()
        if initial.get(name) != value and name not in _MACHINE_VARIABLES and not name.startswith(_MACHINE_PREFIXES)
    }


# --- logging

_STANDARD_LEVELS = frozenset(
    [logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.NOTSET]
)


def _level_names() -> dict[int, str]:
    levels: dict[int, str] = getattr(logging, "_levelToName", {})
    return levels


def _loggers() -> dict[str, LoggerSettings]:
    """Settings of the loggers that the program has configured; the root logger has the name ""."""
    loggers = {"": logging.getLogger()}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        # loggers of special classes (absl's) are created by their libraries
        if type(logger) is logging.Logger and name.partition(".")[0] != "hopslite":
            loggers[name] = logger
    settings = {name: _logger_settings(name, logger) for name, logger in loggers.items()}
    return {
        name: settings_of_logger
        for name, settings_of_logger in settings.items()
        if settings_of_logger != _DEFAULT or not name
    }


_DEFAULT = LoggerSettings(logging.NOTSET, False, True, ())


def _logger_settings(name: str, logger: logging.Logger) -> LoggerSettings:
    # frameworks configure their loggers when they are imported, in a trial as well
    top = name.partition(".")[0]
    is_framework = top in sys.modules and is_own_module(top)
    handlers = () if is_framework else _handlers(logger)
    return LoggerSettings(logger.level, logger.disabled, logger.propagate, handlers)


def _handlers(logger: logging.Logger) -> tuple[HandlerSettings, ...]:
    to_streams = [
        HandlerSettings(stream, handler.level, _format(handler), _defaults(handler))
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and (stream := _stream(handler.stream))
    ]
    to_files = [  # trials would write to one file at the same time: their lines go to their own logs
        HandlerSettings("stderr", handler.level, _format(handler), _defaults(handler))
        for handler in logger.handlers
        if isinstance(handler, logging.FileHandler)
    ]
    return tuple(to_streams or to_files[:1])


def _stream(stream: Any) -> str | None:
    """The name of a standard stream; None for any other."""
    for name in ("stdout", "stderr"):
        if stream is not None and stream in (getattr(sys, name), getattr(sys, f"__{name}__")):
            return name
    return {"<stdout>": "stdout", "<stderr>": "stderr"}.get(str(getattr(stream, "name", None)))


def _format(handler: logging.Handler) -> tuple[str | None, str | None, str] | None:
    formatter = handler.formatter
    if formatter is None:
        return None
    style = {"StrFormatStyle": "{", "StringTemplateStyle": "$"}.get(
        type(getattr(formatter, "_style", None)).__name__, "%"
    )
    return getattr(formatter, "_fmt", None), formatter.datefmt, style


def _defaults(handler: logging.Handler) -> dict[str, Any] | None:
    defaults = getattr(getattr(handler.formatter, "_style", None), "_defaults", None)
    return dict(defaults) if defaults and is_plain(dict(defaults)) else None


class _Formatter(logging.Formatter):
    """Formatter that tolerates fields of the program's filters or record factory, which a trial does not have."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        try:
            return super().formatMessage(record)
        except ValueError:
            return f"{record.levelname}:{record.name}:{record.message}"


def _configure_logger(logger: logging.Logger, settings: LoggerSettings) -> None:
    logger.setLevel(settings.level)
    logger.disabled, logger.propagate = settings.disabled, settings.propagate
    for handler_settings in settings.handlers:
        handler = _StreamHandler(handler_settings.stream, handler_settings.level)
        if handler_settings.format is not None:
            text, dates, style = handler_settings.format
            handler.setFormatter(_Formatter(text, dates, style, defaults=handler_settings.defaults))  # type: ignore[arg-type]
        logger.addHandler(handler)


if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler  # which has no subscript before Python 3.11


class _StreamHandler(_Handler):
    """Handler that writes to the current standard stream, which differs for each trial."""

    def __init__(self, name: str, level: int) -> None:
        logging.Handler.__init__(self, level)
        self._name_of_stream = name

    @property
    def stream(self) -> TextIO:
        stream: TextIO = getattr(sys, self._name_of_stream)
        return stream

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Ignored: the stream is always the current one."""


# --- the rest


def _umask() -> int | None:
    """The process's umask, if it can be read without changing it, which other threads would notice."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii", errors="ignore") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return None


def _locale() -> dict[int, str]:
    """The categories of the locale that the program has set, without those set by the environment."""
    settings = {}
    for name in ("LC_COLLATE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"):
        category: int = getattr(locale, name)
        with contextlib.suppress(locale.Error):
            if (value := locale.setlocale(category)) != "C":
                settings[category] = value
    return settings
