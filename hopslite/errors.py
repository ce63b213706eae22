"""Every exception that hopslite raises.

```
HopsliteError
├── InvalidArguments       (ValueError, TypeError)   a call that cannot work; raised before any task starts
├── NotSerializable        (TypeError)               the training function cannot travel to an executor
├── UnknownPlugin          (LookupError)             no search, pool, … of that name
├── MissingExtra           (ImportError)             a package that this feature needs is not installed
├── StoreError             (OSError)                 the project or a run directory cannot be used
├── SparkUnavailable       (RuntimeError)            no Java, no session, or executors that cannot work
├── ReturnValueError       (ValueError, TypeError)   a training function returned something without a metric
├── TrialFailed            (RuntimeError)            a trial's failure, raised where nothing else is left
└── RunInterrupted         (KeyboardInterrupt)       Ctrl-C or a notebook's interrupt ended the run
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "HopsliteError",
    "InvalidArguments",
    "MissingExtra",
    "NotSerializable",
    "ReturnValueError",
    "RunInterrupted",
    "SparkUnavailable",
    "StoreError",
    "TrialFailed",
    "UnknownPlugin",
]


class HopsliteError(Exception):
    """The root of all exceptions of hopslite; keyword arguments become attributes and survive pickling."""

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.__dict__.update(context)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(cls: type[HopsliteError], args: tuple[Any, ...], context: dict[str, Any]) -> HopsliteError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(context)
    return error


class InvalidArguments(HopsliteError, ValueError, TypeError):
    """The arguments of a call cannot work. `problems` holds every problem found, in the order of the arguments."""

    problems: tuple[str, ...]

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        shown = problems[0] if len(problems) == 1 else "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{where}: {shown}", problems=tuple(problems))


class NotSerializable(HopsliteError, TypeError):
    """The training function, or something that it refers to, cannot be sent to an executor."""


class UnknownPlugin(HopsliteError, LookupError):
    """There is no plugin of this name in the group."""


class MissingExtra(HopsliteError, ImportError):
    """An optional package is needed; the message names the `pip install` line."""


class StoreError(HopsliteError, OSError):
    """The project directory or a run directory cannot be read or written."""


class SparkUnavailable(HopsliteError, RuntimeError):
    """Spark cannot be started, or its executors cannot run trials."""


class ReturnValueError(HopsliteError, ValueError, TypeError):
    """A training function returned a value from which no metric can be taken."""


class TrialFailed(HopsliteError, RuntimeError):
    """A trial failed and nothing else is left to return.

    Attributes: `trial_id`, `params`, `cause` (`exception`, `segfault`, `exit`, `signal`, `out-of-memory`,
    `timeout`, `lost`, …), `traceback` (of the training function, or None), `log_path`, `run_id`, `logdir`.
    """

    trial_id: str
    params: dict[str, Any]
    cause: str
    traceback: str | None
    log_path: str
    run_id: str
    logdir: str


class RunInterrupted(HopsliteError, KeyboardInterrupt):
    """The run was interrupted and is KILLED; everything that had finished is in `logdir`.

    Attributes: `run_id`, `logdir`, `result` (the run as far as it came).
    """

    run_id: str
    logdir: str
    result: Any
