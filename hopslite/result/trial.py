"""Results of trials."""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Sequence
from typing import Any

from ..core.objectives import Objective, metrics_in
from ..core.plain_values import is_number
from ..core.types import LOG_NAME, Result, State

__all__ = ["Trial", "moment", "rescored"]


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation of the training function.

    `params` are the hyperparameters, `metric` is a finite number or None. Where a run optimises several metrics,
    `metric` is None, and `metrics` has the values of a finished trial by name. For a failed trial `cause` is the kind
    of failure, `error` describes it in one line and `traceback` is that of the training function. For a trial that was
    stopped early `error` is the reason, and `metric` is a reported value. `usage` summarises the system metrics;
    `started_at` is in seconds since the epoch, `duration` in seconds. `continues` is the id of the trial whose
    checkpoints it went on from. `user_attrs` and `distributions` (of its parameters, by name) are those of a
    define-by-run trial.
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
    log: str = LOG_NAME
    continues: str | None = None
    user_attrs: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    distributions: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict, hash=False)
    metrics: dict[str, float] | None = dataclasses.field(default=None, hash=False)

    @property
    def started(self) -> datetime.datetime | None:
        """Start time of the trial in UTC; None if it never started."""
        return moment(self.started_at)

    @classmethod
    def from_result(
        cls, result: Result, *, params: dict[str, Any], logdir: str, generation: int | None = None, **details: Any
    ) -> Trial:
        """The trial that ended with `result`; `details` are further fields.

        Texts that many trials share are stored once.
        """
        return cls(
            id=result.trial_id,
            params=params,
            state=result.state,
            metric=result.metric,
            metrics=_shared_keys(result.metrics),
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
            **details,
        )


def rescored(trial: Trial, objectives: Sequence[Objective], key: str | None) -> Trial:
    """The trial in terms of what the run optimises now; it optimised something else before a resume with `force`."""
    names = [objective.name for objective in objectives]
    if names:
        if trial.state is not State.FINISHED or list(trial.metrics or ()) == names:
            return trial
        return dataclasses.replace(trial, metric=None, metrics=metrics_in(trial.outputs, objectives))
    if trial.metrics is None:
        return trial
    value: Any = (trial.outputs or {}).get(key or "")
    return dataclasses.replace(trial, metric=float(value) if is_number(value) else None, metrics=None)


def moment(seconds: float | None) -> datetime.datetime | None:
    """Time in UTC; None without one."""
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def _shared(text: str | None) -> str | None:
    return sys.intern(text) if type(text) is str else text


def _shared_keys(items: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if items is None else {sys.intern(str(key)): item for key, item in items.items()}
