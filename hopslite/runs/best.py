"""Best trial among all runs of a name, read from their directories."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ..core import formatting
from ..core.fidelity import level
from ..core.objectives import described, objectives_in
from ..core.settings import Settings
from ..core.suggestions import did_you_mean
from ..core.types import Direction, DirectionName, Result, State
from ..errors import InvalidArguments, StoreError
from ..result import Trial
from ..storage.project import Project
from ..storage.records import json_object
from ..storage.run_records import records_in
from ..storage.run_uris import names_of_runs
from .history import RunHistory

__all__ = ["Best", "best"]

log = logging.getLogger(__name__)

AT_ONCE = 32  # runs whose records are read in one go
NEAR = 10
COUNTED = (State.FINISHED, State.STOPPED)


@dataclasses.dataclass(frozen=True, slots=True)
class Best:
    """Best trial of all runs of a name.

    Attributes:
        trial: the trial; its parameters are in the form that JSON gives them.
        metric, value, direction: what it is best at.
        name, version, run_id: the run that it belongs to.
        run_logdir: that run's directory; `logdir` is the trial's.
    """

    trial: Trial
    metric: str
    value: float
    direction: Direction
    name: str
    version: int
    run_id: str
    run_logdir: str

    @property
    def params(self) -> dict[str, Any]:
        return self.trial.params

    @property
    def outputs(self) -> dict[str, Any] | None:
        return self.trial.outputs

    @property
    def logdir(self) -> str:
        return self.trial.logdir

    def __repr__(self) -> str:
        score = f"{self.metric} = {formatting.metric(self.value)} ({self.direction.value.lower()})"
        lines = [f"{self.name} version {self.version}, trial {self.trial.id}: {score}"]
        if self.params:
            lines.append(f"params: {formatting.exact_params(self.params)}")
        return "\n  ".join(map(formatting.plain, [*lines, f"logdir: {self.logdir}"]))


@dataclasses.dataclass(frozen=True, slots=True)
class _RunMetric:
    """Metric values of a run's trials: of the output `key`, or of the optimised metric (None)."""

    run_id: str
    record: dict[str, Any]
    key: str | None
    values: list[float]
    history: RunHistory | None = None
    is_own: bool = True  # True if the run's direction applies to these values

    @property
    def direction(self) -> Direction | None:
        own = {objective.name: objective.direction for objective in objectives_in(self.record.get("objectives"))}
        if self.key in own:
            return own[self.key]
        recorded = str(self.record.get("direction"))
        return Direction(recorded) if recorded in Direction.__members__ else None

    def best(self, direction: Direction) -> float:
        return max(self.values) if direction is Direction.MAX else min(self.values)


def best(
    name: str,
    metric: str | None = None,
    direction: Direction | DirectionName | None = None,
    *,
    project: str | None = None,
) -> Best:
    """Find the best trial of all runs of a name, also those that were interrupted or are still running.

    >>> from hopslite import experiment
    >>> def train(lr):
    ...     return {"accuracy": 1 - lr, "seconds": 2.0}
    >>> options = {"name": "doc", "optimization_key": "accuracy", "pool": "inline", "display": False}
    >>> first = experiment.grid_search(train, {"lr": [0.25, 0.5]}, **options)
    >>> second = experiment.grid_search(train, {"lr": [0.75]}, **options)
    >>> best("doc").params
    {'lr': 0.25}
    >>> best("doc", "seconds", "min").version
    2

    Trials count that FINISHED or were STOPPED early. Of equal ones the newest run's counts, and in it the first.

    Args:
        name: what the runs are called.
        metric: a number that the trials returned, by its name; default: what each run optimised.
        direction: "max" or "min"; default: that of the runs, for what they optimised.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: there is no such run or metric, or it must be said which direction or metric is meant; the
            message says what there is.
    """
    home = Project(Settings.load(project=project).project)
    wanted = _direction(direction)
    outputs: set[str] = set()
    candidates = list(_read(home, name, metric, wanted, outputs))
    if metric is None:
        _check_one_metric(name, candidates)
    chosen = wanted or _common_direction(name, metric, candidates)
    for candidate in sorted(candidates, key=lambda candidate: candidate.best(chosen), reverse=chosen is Direction.MAX):
        trial = _trial(home, candidate, candidate.best(chosen))
        if trial is not None:
            return _result(home, candidate, trial, candidate.best(chosen), chosen)
    raise InvalidArguments("experiment.best()", [_why_none(home, name, metric, outputs)])


def _check_single(name: str, record: Mapping[str, Any]) -> None:
    """Raise InvalidArguments for a run that optimises several metrics, of which none is named."""
    if objectives := objectives_in(record.get("objectives")):
        names = " or ".join(repr(objective.name) for objective in objectives)
        problem = f"runs named {name!r} optimise {described(objectives)}; say which one is meant with metric={names}"
        raise InvalidArguments("experiment.best()", [f"{problem}, or choose one of a run's pareto_trials"])


def _direction(direction: Any) -> Direction | None:
    if direction is None:
        return None
    if str(direction).upper() not in Direction.__members__:
        raise InvalidArguments("experiment.best()", [f"direction={direction!r}; give 'max' or 'min'"])
    return Direction(str(direction).upper())


def _read(
    project: Project, name: str, metric: str | None, wanted: Direction | None, outputs: set[str]
) -> Iterator[_RunMetric]:
    """Metric values of each run, the newest first; adds the names of all numeric outputs to `outputs`."""
    runs = project.runs_named(name)
    is_any = False
    while run_ids := list(islice(runs, AT_ONCE)):
        is_any = True
        outcomes = dict(records_in(project, run_ids))
        records = {run_id: record for run_id, record in outcomes.items() if not isinstance(record, StoreError)}
        for record in records.values() if metric is None else ():
            _check_single(name, record)
        needed = [run_id for run_id, record in records.items() if _is_over(record) and _key(record, metric, wanted)]
        texts = project.read_many([f"Experiments/{run_id}/.summary.json" for run_id in needed])
        summaries = {run_id: json_object(text) for run_id, text in zip(needed, texts, strict=True)}
        for run_id in run_ids:
            try:
                yield from _look(project, run_id, records.get(run_id), summaries.get(run_id), metric, wanted, outputs)
            except (
                OSError,
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
            ) as error:  # damaged record
                log.warning("run %s of %r is passed over: its record is damaged (%s)", run_id, name, error)
    if not is_any:
        names = [formatting.plain(other) for other in names_of_runs(project)]
        hint = did_you_mean(name, names, f"names: {', '.join(names[:NEAR])}" if names else "it has no runs")
        raise InvalidArguments("experiment.best()", [f"there is no run named {name!r} in {project.shown}; {hint}"])


def _is_over(record: Mapping[str, Any]) -> bool:
    """True if a run's record is complete; otherwise its journal is read."""
    complete = {"metric", "best_trial"} <= record.keys()
    ends = [str(state) for state in State if state.final]
    return complete and _says_which(record) and record.get("state") in ends


def _says_which(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("name"), str) and isinstance(record.get("version"), int)


def _look(
    project: Project,
    run_id: str,
    record: dict[str, Any] | None,
    summary: dict[str, Any] | None,
    metric: str | None,
    wanted: Direction | None,
    outputs: set[str],
) -> Iterator[_RunMetric]:
    """Metric values of one run; nothing if no trial has the metric."""
    if record is not None and _is_over(record) and _key(record, metric, wanted) is None:
        if _is_number(record["metric"]):
            yield _RunMetric(run_id, record, None, [float(record["metric"])])
        return
    history = None
    if record is not None and _is_over(record) and summary is not None and record.get("ranked_by") is None:
        rows = [row["outputs"] or {} for row in summary["combinations"]]
    else:
        known = record if record is not None and _says_which(record) else None
        history = RunHistory(project.sub("Experiments", run_id), known)
        record, results = history.record, _results(history, metric)
        if not _says_which(record):
            if not project.exists(f"Experiments/{run_id}"):
                return  # deleted
            log.warning("run %s is passed over: neither its record nor its journal can be read", run_id)
            return
        if metric is None:
            values = [result.metric for result in results.values() if result.metric is not None]
            if values:
                yield _RunMetric(run_id, record, None, values, history)
            return
        rows = [result.outputs or {} for result in results.values()]
    key = _key(record, metric, wanted)
    outputs |= _names(rows)
    numbers = [float(row[key]) for row in rows if key is not None and _is_number(row.get(key))]
    if numbers:
        yield _RunMetric(run_id, record, key, numbers, history, _is_own(record, key, rows))


def _key(record: Mapping[str, Any], metric: str | None, wanted: Direction | None) -> str | None:
    """Output to compare; None if the record's own metric is the one."""
    if metric is not None:
        return metric
    if record.get("best_trial") is not None:
        is_other = wanted is not None and record.get("direction") not in (wanted, None)
        return str(record.get("optimization_key") or "metric") if is_other else None
    key = record.get("optimization_key")  # a run of `launch` has no best trial
    return str(key) if key is not None else None


def _is_own(record: Mapping[str, Any], key: str | None, rows: Iterable[Mapping[str, Any]]) -> bool:
    """True if the run optimised this output: its key or one of several, or the only number that trials return."""
    if any(objective.name == key for objective in objectives_in(record.get("objectives"))):
        return True
    return record.get("optimization_key") == key or _names(rows) == {key}


def _names(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    return {name for row in rows for name, value in row.items() if _is_number(value)}


def _results(history: RunHistory, key: str | None) -> dict[str, Result]:
    """Results of finished and stopped trials, ordered by id, as in `.summary.json`.

    Where trials are ranked by their budgets, those with the largest one that have a value, which are comparable.
    """
    ended = {trial.id: trial.result for trial in history.trials.values() if trial.result is not None}
    results = {trial_id: ended[trial_id] for trial_id in sorted(ended, key=int) if ended[trial_id].state in COUNTED}
    budget = history.record.get("ranked_by")
    if budget is None:
        return results
    valued = {trial_id: result for trial_id, result in results.items() if _is_number(_value(result, key))}
    levels = {
        trial_id: level(result.state, history.trials[trial_id].params, budget) for trial_id, result in valued.items()
    }
    return {trial_id: result for trial_id, result in valued.items() if levels[trial_id] == max(levels.values())}


def _value(result: Result, key: str | None) -> Any:
    """An output of a trial, or its metric."""
    return result.metric if key is None else (result.outputs or {}).get(key)


def _check_one_metric(name: str, candidates: Iterable[_RunMetric]) -> None:
    keys = sorted({str(candidate.record.get("optimization_key") or "metric") for candidate in candidates})
    if len(keys) > 1:
        raise InvalidArguments(
            "experiment.best()",
            [f"the runs named {name!r} have optimised {' and '.join(keys)}; say which is meant with metric="],
        )


def _common_direction(name: str, metric: str | None, candidates: list[_RunMetric]) -> Direction:
    directions = {candidate.direction for candidate in candidates if candidate.is_own} - {None}
    if len(directions) == 1 or not candidates:
        return next(filter(None, directions), Direction.MAX)  # without any trial it does not matter
    if directions:
        reason = "some of them were maximised and some minimised"
    elif metric is not None and not any(candidate.is_own for candidate in candidates):
        reason = f"{metric!r} is not what they optimised"
    else:
        reason = "they have none of their own"
    raise InvalidArguments(
        "experiment.best()", [f"direction is missing for the runs named {name!r}: {reason}; give 'max' or 'min'"]
    )


def _trial(project: Project, candidate: _RunMetric, value: float) -> Trial | None:
    """First trial of a run with this value, from its journal; None if the journal lacks it."""
    try:
        run = project.sub("Experiments", candidate.run_id)
        history = candidate.history or RunHistory(run, candidate.record)
        for trial_id, result in _results(history, candidate.key).items():
            if value == _value(result, candidate.key):
                return history.trials[trial_id].trial(result, run.path("trials", trial_id))
        why = "no trial in it has this metric"
    except (OSError, ValueError, LookupError, TypeError) as error:  # damaged record
        why = str(error)
    log.warning("run %s is passed over: its journal is damaged (%s)", candidate.run_id, why)
    return None


def _result(project: Project, candidate: _RunMetric, trial: Trial, value: float, direction: Direction) -> Best:
    record = candidate.record
    return Best(
        trial=trial,
        metric=candidate.key or str(record.get("optimization_key") or "metric"),
        value=float(value),
        direction=direction,
        name=str(record["name"]),
        version=int(record["version"]),
        run_id=candidate.run_id,
        run_logdir=project.path("Experiments", candidate.run_id),
    )


def _why_none(project: Project, name: str, metric: str | None, outputs: set[str]) -> str:
    if metric is None:
        return f"no trial of the runs named {name!r} in {project.shown} has a metric yet"
    known = f"their numbers: {', '.join(sorted(outputs))}" if outputs else "they have returned no numbers"
    hint = did_you_mean(metric, outputs, known)
    return f"no trial of the runs named {name!r} returned {metric!r}; {hint}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
