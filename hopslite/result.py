"""What a verb returns: a run, which unpacks like HopsML's tuple, and its trials."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import html
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from . import _format
from ._trial import Direction, Result, State

if TYPE_CHECKING:
    import pandas

__all__ = ["Run", "Trial"]

HTML_ROWS = 50
Lazy = Callable[[], str | None] | str | None
Reports = Callable[[], Iterable[tuple[str, float, float]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation of the training function.

    `params` are the values as they were given, `metric` is a finite number or None. For a failed trial `cause` names
    the kind of failure, `error` says it in one line and `traceback` is the training function's own; for one that was
    stopped early `error` says why, and `metric` is what it reported. `usage` sums up
    the system metrics; `started_at` is in seconds since the epoch, `duration` in seconds.
    """

    id: str
    params: dict[str, Any] = dataclasses.field(hash=False)
    state: State
    metric: float | None = None
    outputs: dict[str, Any] | None = dataclasses.field(default=None, hash=False)
    error: str | None = None
    cause: str | None = None
    traceback: str | None = None
    started_at: float | None = None
    duration: float | None = None
    logdir: str = ""
    generation: int | None = None
    host: str | None = None
    usage: dict[str, float] | None = dataclasses.field(default=None, hash=False)
    warnings: tuple[str, ...] = ()
    log: str = "output.log"

    @property
    def started(self) -> datetime.datetime | None:
        """When the trial began to run, with its time zone (UTC); None when it never did."""
        return _moment(self.started_at)

    @classmethod
    def from_result(
        cls, result: Result, *, params: dict[str, Any], logdir: str, generation: int | None = None
    ) -> Trial:
        """The trial that ended with `result`. Texts that many trials have in common are kept once."""
        return cls(
            id=result.trial_id,
            params=params,
            state=result.state,
            metric=result.metric,
            outputs=_shared_keys(result.outputs),
            error=_shared(result.error),
            cause=_shared(result.cause),
            traceback=_shared(result.traceback),
            started_at=result.started or None,
            duration=result.duration,
            logdir=logdir,
            generation=generation,
            host=_shared(result.host),
            usage=_shared_keys(result.usage),
            warnings=tuple(sys.intern(str(text)) for text in result.warnings),
            log=sys.intern(result.log),
        )


class Run(tuple[Any, ...]):
    """A run that ended. It is the tuple that HopsML returned, with attributes.

    A search unpacks as `best_logdir, best_params, best_outputs` (all None when no trial has a metric); `launch` and
    distributed training as `logdir, outputs`, where `outputs` is None when several trials ran. Read-only and
    picklable; a pickle keeps what `tensorboard_url` and `mlflow_run_id` are at that moment.

    Attributes:
        run_id, name, version, verb, project, description, tags: which run it is.
        logdir: the run directory; `best_logdir` is the best trial's.
        state: FINISHED, FAILED or KILLED; `error` says why it is not FINISHED.
        direction, optimization_key: what was optimised; None where nothing was.
        trials: every trial, in the order of their ids.
        best_trial, best_params, best_metric, best_outputs: None when no trial has a metric.
        started, duration: when the run began (UTC, with its time zone), and its length in seconds.
        seed: the seed of the search, also when it was drawn.
    """

    run_id: str
    name: str
    version: int
    verb: str
    logdir: str
    state: State
    direction: Direction | None
    optimization_key: str | None
    trials: tuple[Trial, ...]
    best_trial: Trial | None
    started: datetime.datetime | None
    duration: float | None
    seed: int | None
    project: str | None
    description: str | None
    tags: dict[str, str]
    error: str | None
    _tensorboard_url: Lazy
    _mlflow_run_id: Lazy
    _reports: Reports | None

    def __new__(
        cls,
        *,
        is_search: bool,
        run_id: str,
        name: str,
        version: int,
        verb: str,
        logdir: str,
        state: State,
        trials: Iterable[Trial] = (),
        best_trial: Trial | None = None,
        direction: Direction | None = None,
        optimization_key: str | None = None,
        started_at: float | None = None,
        duration: float | None = None,
        seed: int | None = None,
        project: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        error: str | None = None,
        tensorboard_url: Lazy = None,
        mlflow_run_id: Lazy = None,
        reports: Reports | None = None,
    ) -> Run:
        trials = tuple(trials)
        values: tuple[Any, ...]
        if is_search:
            values = (best_trial.logdir, best_trial.params, best_trial.outputs) if best_trial else (None, None, None)
        else:
            values = (logdir, trials[0].outputs if len(trials) == 1 else None)
        facts = {
            "run_id": run_id,
            "name": name,
            "version": version,
            "verb": verb,
            "logdir": logdir,
            "state": state,
            "trials": trials,
            "best_trial": best_trial,
            "direction": direction,
            "optimization_key": optimization_key,
            "started": _moment(started_at),
            "duration": duration,
            "seed": seed,
            "project": project,
            "description": description,
            "tags": dict(tags or {}),
            "error": error,
            "_tensorboard_url": tensorboard_url,
            "_mlflow_run_id": mlflow_run_id,
            "_reports": reports,
        }
        return _restore(cls, values, facts)

    @classmethod
    def of(cls: type[R], run: Run) -> R:
        """The same run, with what this class adds."""
        return _restore(cls, tuple(run), run.__dict__)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a run is read-only: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a run is read-only: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        resolved = {"_tensorboard_url": self.tensorboard_url, "_mlflow_run_id": self.mlflow_run_id}
        return (_restore, (type(self), tuple(self), {**self.__dict__, **resolved}))

    @property
    def best_logdir(self) -> str | None:
        return self.best_trial.logdir if self.best_trial else None

    @property
    def best_params(self) -> dict[str, Any] | None:
        return self.best_trial.params if self.best_trial else None

    @property
    def best_metric(self) -> float | None:
        return self.best_trial.metric if self.best_trial else None

    @property
    def best_outputs(self) -> dict[str, Any] | None:
        return self.best_trial.outputs if self.best_trial else None

    @property
    def tensorboard_url(self) -> str | None:
        """Where the run's TensorBoard answers; None when it is not running."""
        return _resolve(self._tensorboard_url)

    @property
    def mlflow_run_id(self) -> str | None:
        """The MLflow parent run; None as long as the tracking server has not been reached."""
        return _resolve(self._mlflow_run_id)

    @property
    def counts(self) -> dict[State, int]:
        """How many trials there are of each state."""
        return dict(collections.Counter(trial.state for trial in self.trials))

    def reports(self) -> pandas.DataFrame:
        """What trials have reported, for curves: columns `trial`, `step` and `value`, read from the run's journal.

        Of a trial that was run again, its last attempt's.
        """
        import pandas as pd

        rows = list(self._reports()) if self._reports else []
        frame = pd.DataFrame(rows, columns=["trial", "step", "value"])
        numbers: pandas.DataFrame = frame.astype({"step": "float64", "value": "float64"})
        return numbers

    def to_pandas(self) -> pandas.DataFrame:
        """One row per trial, in the order of their ids.

        Columns: `id`, `state`, `metric`, each parameter under its own name, each output as `outputs.<name>`,
        `generation` where the search has them, `error`, `started` (UTC), `duration` (seconds), `logdir`. A parameter
        whose name is one of these columns is found as `params.<name>`. What a trial does not have is missing (NaN,
        NaT or None).
        """
        import pandas as pd

        started = pd.Series([trial.started_at for trial in self.trials], dtype="float64")
        columns: dict[str, Any] = {
            "id": [trial.id for trial in self.trials],
            "state": [str(trial.state) for trial in self.trials],
            "metric": pd.Series([trial.metric for trial in self.trials], dtype="float64"),
        }
        last: dict[str, Any] = {
            "error": [trial.error for trial in self.trials],
            "started": pd.to_datetime(started, unit="s", utc=True),
            "duration": pd.Series([trial.duration for trial in self.trials], dtype="float64"),
            "logdir": [trial.logdir for trial in self.trials],
        }
        if any(trial.generation is not None for trial in self.trials):
            last = {"generation": pd.array([t.generation for t in self.trials], dtype="Int64"), **last}
        outputs = {f"outputs.{key}": key for key in _keys(trial.outputs for trial in self.trials)}
        taken = {*columns, *outputs, "generation", *last}
        for key in _keys(trial.params for trial in self.trials):
            column = key
            while column in taken:
                column = f"params.{column}"
            taken.add(column)
            columns[column] = [trial.params.get(key) for trial in self.trials]
        for column, key in outputs.items():
            columns[column] = [(trial.outputs or {}).get(key) for trial in self.trials]
        frame: pandas.DataFrame = pd.DataFrame({**columns, **last})
        return frame

    def __repr__(self) -> str:
        lines = [f"{self.name} version {self.version}: {self.verb}, {self.state}", *_lines(self)]
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        rows, omitted = _format.select(self.trials, self.direction, self.best_trial, HTML_ROWS)
        facts = "".join(f"<div>{html.escape(line)}</div>" for line in _lines(self))
        title = html.escape(f"{self.name} version {self.version}")
        table = _format.html_table(rows, self.best_trial.id if self.best_trial else None, omitted)
        return f"<div><b>{title}</b>: {html.escape(self.verb)}, {self.state}{facts}{table}</div>"


def _lines(run: Run) -> list[str]:
    """The facts about a run that people look for first."""
    counts = run.counts
    by_state = ", ".join(f"{counts[state]} {state.value.lower()}" for state in State if state in counts)
    lines = [f"trials: {by_state or 'none'}"]
    best = run.best_trial
    if best is not None:
        name = run.optimization_key or "metric"
        lines.append(f"best: {name} = {_format.metric(best.metric)} (trial {best.id})")
        if best.params:
            lines.append(f"best params: {_format.exact_params(best.params)}")
    elif len(run.trials) == 1 and run.trials[0].outputs:
        lines.append(f"outputs: {_format.params(run.trials[0].outputs)}")
    if run.error:
        lines.append(f"error: {_format.one_line(run.error)}")
    if run.duration is not None:
        lines.append(f"duration: {_format.duration(run.duration)}")
    lines.append(f"logdir: {run.logdir}")
    return lines


R = TypeVar("R", bound=Run)


def _restore(cls: type[R], values: tuple[Any, ...], facts: dict[str, Any]) -> R:
    run = tuple.__new__(cls, values)
    run.__dict__.update(facts)
    return run


def _resolve(value: Lazy) -> str | None:
    return value() if callable(value) else value


def _moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def _keys(dicts: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """All keys, each once, in the order in which they first appear."""
    return list(dict.fromkeys(key for items in dicts for key in items or ()))


def _shared(text: str | None) -> str | None:
    return sys.intern(text) if type(text) is str else text


def _shared_keys(items: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if items is None else {sys.intern(str(key)): item for key, item in items.items()}
