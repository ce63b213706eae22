"""All exceptions that hopslite raises.

```
HopsliteError
├── InvalidArguments       (ValueError, TypeError)   a call that cannot work; raised before any task starts
│   └── InvalidConfiguration                         a configuration of `configured.train` that cannot work
├── NotSerializable        (TypeError)               the training function cannot be sent to an executor
├── NotSupported           (NotImplementedError)     a name of HopsML's or Maggy's that hopslite does not have
├── UnknownPlugin          (LookupError)             no search, pool, … of that name
├── MissingExtra           (ImportError)             a package that this feature needs is not installed
├── StoreError             (OSError)                 the project or a run directory cannot be used
├── StorageUnavailable     (OSError)                 a run could not be recorded for long; it can be resumed
├── RunDeleted             (OSError)                 the directory of a run was deleted while the run went on
├── RunNotFound            (LookupError)             no run or trial of this name, version or id
├── ModelNotFound          (LookupError)             no model of this name, version or metric
├── ModelExists            (FileExistsError, ValueError)   a model's version that is there already
├── ModelArchiveExists     (FileExistsError)         something else is where a model is to be downloaded to
├── DataSetNotFound        (LookupError)             no data set of this name or version
├── DataSetExists          (FileExistsError)         a data set that is there already
├── SparkUnavailable       (RuntimeError)            no Java, no session, or executors that cannot work
├── ReturnValueError       (ValueError, TypeError)   a training function returned something without a metric
├── ReportError            (ValueError, TypeError)   a training function reported something that is no value or step
├── CommandFailed          (RuntimeError)            a command of `hopslite run` ended with an error
├── ReplayError            (RuntimeError)            an algorithm does not repeat the suggestions in a journal
├── ResumeError            (ValueError)              a run that cannot be resumed
├── RunIsRunning           (RuntimeError)            another driver works on the run that is to be resumed
├── RunTakenOver           (RuntimeError)            another driver has resumed the run while this one did not answer
├── TrialFailed            (RuntimeError)            a run failed because of its trials
└── RunInterrupted         (KeyboardInterrupt)       Ctrl-C, a notebook's interrupt or hopslite stop ended it
```

`TrialStopped` is not a `HopsliteError`: it ends a training function early, and is a `BaseException`, so that
`except Exception` in a training loop does not catch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "CommandFailed",
    "DataSetExists",
    "DataSetNotFound",
    "HopsliteError",
    "InvalidArguments",
    "InvalidConfiguration",
    "MissingExtra",
    "ModelArchiveExists",
    "ModelExists",
    "ModelNotFound",
    "NotSerializable",
    "NotSupported",
    "ReplayError",
    "ReportError",
    "ResumeError",
    "ReturnValueError",
    "RunDeleted",
    "RunInterrupted",
    "RunIsRunning",
    "RunNotFound",
    "RunTakenOver",
    "SparkUnavailable",
    "StorageUnavailable",
    "StoreError",
    "TrialFailed",
    "TrialStopped",
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


class InvalidConfiguration(InvalidArguments):
    """A configuration of a training cannot work. `problems` holds each with its file, line and path."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("configuration", problems)


class NotSerializable(HopsliteError, TypeError):
    """The training function, or something that it refers to, cannot be sent to an executor."""


class NotSupported(HopsliteError, NotImplementedError):
    """A name of HopsML's or Maggy's that hopslite does not have was used; the message says what to use instead.

    Attribute: `name`.
    """

    name: str


class UnknownPlugin(HopsliteError, LookupError):
    """There is no plugin of this name in the group."""


class MissingExtra(HopsliteError, ImportError):
    """An optional package is needed; the message names the `pip install` line."""


class StoreError(HopsliteError, OSError):
    """The project directory or a run directory cannot be read or written."""


class StorageUnavailable(StoreError):
    """The run could not be recorded, or no trial could write, for `storage_patience` seconds; it can be resumed.

    Attributes: `run_id`, `logdir`, `result` (the run as it is recorded) and `unrecorded` (trials that had ended and
    whose ends are in no record; they are run again when the run is resumed).
    """

    run_id: str
    logdir: str
    result: Any
    unrecorded: tuple[Any, ...]


class RunDeleted(StoreError):
    """The directory of the run was deleted or moved while the run went on. Attributes: `run_id`, `logdir`."""

    run_id: str
    logdir: str


class RunNotFound(HopsliteError, LookupError):
    """No run or trial matches the text; the message lists similar names."""


class ModelNotFound(HopsliteError, LookupError):
    """No complete model has this name, version or metric; the message says which there are."""


class ModelExists(HopsliteError, FileExistsError, ValueError):
    """This version of a model exists already, perhaps incomplete. Attributes: `name`, `version`."""

    name: str
    version: int


class ModelArchiveExists(HopsliteError, FileExistsError):
    """The destination of a model's download exists and is something else. Attribute: `path`."""

    path: str


class DataSetNotFound(StoreError, LookupError):
    """No data set has this name or version, or it was deleted; the message says which there are."""


class DataSetExists(StoreError, FileExistsError):
    """There is a data set of this name already. Attribute: `name`."""

    name: str


class SparkUnavailable(HopsliteError, RuntimeError):
    """Spark cannot be started, or its executors cannot run trials."""


class ReturnValueError(HopsliteError, ValueError, TypeError):
    """A training function returned a value from which no metric can be taken.

    Attribute: `outputs`, the numbers of a returned dict; not there for other values.
    """


class ReportError(HopsliteError, ValueError, TypeError):
    """A report is invalid: no number, a step that does not grow, or made outside of a trial."""


class CommandFailed(HopsliteError, RuntimeError):
    """A command that `hopslite run` started could not be started, or ended with an error; its output says which."""


class ReplayError(HopsliteError, RuntimeError):
    """An algorithm, replayed from a journal, does not repeat the suggestions in it.

    The search space, the seed, an option or a library of the algorithm has changed since.
    Attributes: `trial_id`, `expected` (the journal's parameters), `suggested`.
    """

    trial_id: str
    expected: dict[str, Any]
    suggested: dict[str, Any] | None


class ResumeError(HopsliteError, ValueError):
    """The run does not exist, or cannot be resumed; the message says why. Attribute: `run_id`."""

    run_id: str


class RunIsRunning(HopsliteError, RuntimeError):
    """Another driver works on the run. Attributes: `run_id`, and its `host` and `pid` (None where not known)."""

    run_id: str
    host: str | None
    pid: int | None


class RunTakenOver(HopsliteError, RuntimeError):
    """Another driver has taken the run over while this one did not answer. Attributes as of `RunIsRunning`."""

    run_id: str
    host: str | None
    pid: int | None


class TrialStopped(BaseException):
    """Raised in a training function, at its next report, when its trial is to end early; let it pass.

    What the trial reported counts as its result.
    """


class TrialFailed(HopsliteError, RuntimeError):
    """The run failed because of its trials: every trial failed, or too many did.

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
    """The run was interrupted and is KILLED, or was stopped by a user before a trial had a metric, and is STOPPED.

    Everything that had finished is in `logdir`.

    Attributes: `run_id`, `logdir`, `result` (the run as far as it came); all None where it had not begun.
    """

    run_id: str | None
    logdir: str | None
    result: Any

    def _render_traceback_(self) -> list[str]:
        """Traceback for IPython."""
        return [f"{type(self).__name__}: {self}"]
