"""The best trial among all runs of a name, from what their directories say."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from . import _format
from ._past import Past, record_of
from ._trial import Direction, Result, State
from .config import Settings
from .errors import InvalidArguments
from .result import Trial
from .store import Project
from .store.references import names_of_runs

__all__ = ["Best", "best"]

log = logging.getLogger(__name__)

AT_ONCE = 32  # runs whose records are read in one go
NEAR = 10
COUNTED = (State.FINISHED, State.STOPPED)


@dataclasses.dataclass(frozen=True, slots=True)
class Best:
    """The best trial of all runs of a name.

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
        what = f"{self.metric} = {_format.metric(self.value)} ({self.direction.value.lower()})"
        lines = [f"{self.name} version {self.version}, trial {self.trial.id}: {what}"]
        if self.params:
            lines.append(f"params: {_format.exact_params(self.params)}")
        return "\n  ".join([*lines, f"logdir: {self.logdir}"])


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """The values that a run's trials have of the metric: of the output `key`, or of what the run optimised (None)."""

    run_id: str
    record: dict[str, Any]
    key: str | None
    values: list[float]
    past: Past | None = None
    is_own: bool = True  # whether the run's direction is that of these values

    @property
    def direction(self) -> Direction | None:
        given = str(self.record.get("direction"))
        return Direction(given) if given in Direction.__members__ else None

    def best(self, direction: Direction) -> float:
        return max(self.values) if direction is Direction.MAX else min(self.values)


def best(
    name: str, metric: str | None = None, direction: Direction | str | None = None, *, project: str | None = None
) -> Best:
    """The best trial of all runs of a name, those included that broke off or are still going on.

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
    found = list(_read(home, name, metric, wanted, outputs))
    if metric is None:
        _check_one_metric(name, found)
    chosen = wanted or _common_direction(name, metric, found)
    for each in sorted(found, key=lambda each: each.best(chosen), reverse=chosen is Direction.MAX):
        trial = _trial(home, each, each.best(chosen))
        if trial is not None:
            return _result(home, each, trial, each.best(chosen), chosen)
    raise InvalidArguments("experiment.best()", [_why_none(home, name, metric, outputs)])


def _direction(given: Any) -> Direction | None:
    if given is None:
        return None
    if str(given).upper() not in Direction.__members__:
        raise InvalidArguments("experiment.best()", [f"direction={given!r}; give 'max' or 'min'"])
    return Direction(str(given).upper())


def _read(
    project: Project, name: str, metric: str | None, wanted: Direction | None, outputs: set[str]
) -> Iterator[_Found]:
    """What there is in each run, the newest first; `outputs` gets the names of all numbers that trials returned."""
    runs = project.runs_named(name)
    is_any = False
    while run_ids := list(islice(runs, AT_ONCE)):
        is_any = True
        contents = project.read_many([f"Experiments/{run_id}/run.json" for run_id in run_ids])
        records = [record_of(content) for content in contents]
        needed = [
            run_id
            for run_id, record in zip(run_ids, records, strict=True)
            if record is not None and _is_over(record) and _key(record, metric, wanted)
        ]
        texts = project.read_many([f"Experiments/{run_id}/.summary.json" for run_id in needed])
        summaries = {run_id: record_of(text) for run_id, text in zip(needed, texts, strict=True)}
        for run_id, record in zip(run_ids, records, strict=True):
            try:
                yield from _look(project, run_id, record, summaries.get(run_id), metric, wanted, outputs)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # whatever damage leads to
                log.warning("run %s of %r is passed over: its record is damaged (%s)", run_id, name, error)
    if not is_any:
        names = names_of_runs(project)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"names: {', '.join(names[:NEAR])}" if names else "it has no runs"
        hint = f"did you mean {near[0]!r}?" if near else hint
        raise InvalidArguments("experiment.best()", [f"there is no run named {name!r} in {project.shown}; {hint}"])


def _is_over(record: Mapping[str, Any]) -> bool:
    """Whether a run's record is complete; otherwise its journal is asked."""
    complete = {"metric", "best_trial"} <= record.keys()
    return complete and _says_which(record) and record.get("state") in (State.FINISHED, State.FAILED, State.KILLED)


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
) -> Iterator[_Found]:
    """The run's trials that have the metric; nothing when none has."""
    if record is not None and _is_over(record) and _key(record, metric, wanted) is None:
        if _is_number(record["metric"]):
            yield _Found(run_id, record, None, [float(record["metric"])])
        return
    past = None
    if record is not None and _is_over(record) and summary is not None:
        rows = [row["outputs"] or {} for row in summary["combinations"]]
    else:
        past = Past(project.sub("Experiments", run_id), record if record is not None and _says_which(record) else None)
        record, results = past.record, _results(past)
        if not _says_which(record):
            if not project.exists(f"Experiments/{run_id}"):
                return  # deleted
            log.warning("run %s is passed over: neither its record nor its journal can be read", run_id)
            return
        if metric is None:
            values = [result.metric for result in results.values() if result.metric is not None]
            if values:
                yield _Found(run_id, record, None, values, past)
            return
        rows = [result.outputs or {} for result in results.values()]
    key = _key(record, metric, wanted)
    outputs |= _names(rows)
    numbers = [float(row[key]) for row in rows if key is not None and _is_number(row.get(key))]
    if numbers:
        yield _Found(run_id, record, key, numbers, past, _is_own(record, key, rows))


def _key(record: Mapping[str, Any], metric: str | None, wanted: Direction | None) -> str | None:
    """The output that is looked for; None: the record itself says what the best trial's metric is."""
    if metric is not None:
        return metric
    if record.get("best_trial") is not None:
        is_other = wanted is not None and record.get("direction") not in (wanted, None)
        return str(record.get("optimization_key") or "metric") if is_other else None
    key = record.get("optimization_key")  # of `launch`, which has no best trial
    return str(key) if key is not None else None


def _is_own(record: Mapping[str, Any], key: str | None, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the run optimised this output: it is the metric, as is the only number that trials return."""
    return record.get("optimization_key") == key or _names(rows) == {key}


def _names(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    return {name for row in rows for name, value in row.items() if _is_number(value)}


def _results(past: Past) -> dict[str, Result]:
    """How the trials ended that count, in the order of their ids, as in `.summary.json`."""
    found = {trial.id: trial.result for trial in past.trials.values() if trial.result is not None}
    return {trial_id: found[trial_id] for trial_id in sorted(found, key=int) if found[trial_id].state in COUNTED}


def _check_one_metric(name: str, found: Iterable[_Found]) -> None:
    keys = sorted({str(each.record.get("optimization_key") or "metric") for each in found})
    if len(keys) > 1:
        raise InvalidArguments(
            "experiment.best()",
            [f"the runs named {name!r} have optimised {' and '.join(keys)}; say which is meant with metric="],
        )


def _common_direction(name: str, metric: str | None, found: list[_Found]) -> Direction:
    directions = {each.direction for each in found if each.is_own} - {None}
    if len(directions) == 1 or not found:
        return next(filter(None, directions), Direction.MAX)  # without any trial it does not matter
    if directions:
        what = "some of them were maximised and some minimised"
    elif metric is not None and not any(each.is_own for each in found):
        what = f"{metric!r} is not what they optimised"
    else:
        what = "they have none of their own"
    raise InvalidArguments(
        "experiment.best()", [f"direction is missing for the runs named {name!r}: {what}; give 'max' or 'min'"]
    )


def _trial(project: Project, found: _Found, value: float) -> Trial | None:
    """The run's first trial with this value, from its journal; None when that does not know it."""
    try:
        run = project.sub("Experiments", found.run_id)
        past = found.past or Past(run, found.record)
        for trial_id, result in _results(past).items():
            if value == (result.metric if found.key is None else (result.outputs or {}).get(found.key)):
                known, logdir = past.trials[trial_id], run.path("trials", trial_id)
                return Trial.from_result(result, params=known.params, logdir=logdir, generation=known.generation)
        why = "no trial in it has this metric"
    except (OSError, ValueError, LookupError, TypeError) as error:  # whatever damage leads to
        why = str(error)
    log.warning("run %s is passed over: its journal is damaged (%s)", found.run_id, why)
    return None


def _result(project: Project, found: _Found, trial: Trial, value: float, direction: Direction) -> Best:
    record = found.record
    return Best(
        trial=trial,
        metric=found.key or str(record.get("optimization_key") or "metric"),
        value=float(value),
        direction=direction,
        name=str(record["name"]),
        version=int(record["version"]),
        run_id=found.run_id,
        run_logdir=project.path("Experiments", found.run_id),
    )


def _why_none(project: Project, name: str, metric: str | None, outputs: set[str]) -> str:
    if metric is None:
        return f"no trial of the runs named {name!r} in {project.shown} has a metric yet"
    near = difflib.get_close_matches(metric, outputs, 1)
    known = f"their numbers: {', '.join(sorted(outputs))}" if outputs else "they have returned no numbers"
    hint = f"did you mean {near[0]!r}?" if near else known
    return f"no trial of the runs named {name!r} returned {metric!r}; {hint}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
