"""Knowledge of a search before it begins: earlier trials, and combinations to try first."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.plain_values import is_number, plain, short
from ..core.types import Direction, State, finite, json_safe
from ..errors import InvalidArguments, RunNotFound, StoreError
from ..result import Run
from ..runs.lookup import load
from ..search import Search
from ..search._base import BUDGET, recorded
from ..search._given_values import given_problems
from ..search._points import is_complete, point_problems, values_in
from ..space import Space
from .keywords import Options
from .options import project_path

__all__ = ["Prior", "Problem", "prior_of"]

FORMS = "a run's name or id, a Run, a data frame, or a list of runs or of dicts with parameters and their metric"
Known = list[tuple[dict[str, Any], float]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """The space of a search, and its metric."""

    space: Space | None  # None: trials ask for their parameters, whose names are not known before
    direction: Direction | None
    key: str | None


@dataclasses.dataclass(frozen=True)
class Prior:
    """Values of `initial_params` and `warm_start`: `runs` are read, `rows` have parameters and metrics by name."""

    initial: Any = None
    runs: tuple[Run, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    problem: Problem | None = None

    def prepare(self, search: Search) -> None:
        """Pass everything to a new search.

        Raises:
            InvalidArguments: the algorithm cannot use it, or it does not fit the space or the direction.
        """
        if self.problem is None or (self.initial is None and not self._has_trials):
            return
        prepare = getattr(search, "prepare", None)
        if prepare is None:
            text = f"initial_params and warm_start need an algorithm with a method prepare(), not {search!r:.60}"
            raise InvalidArguments("search", [f"{text}; see docs/search.md"])
        space, initial = self.problem.space, () if self.initial is None else self.initial
        check = given_problems if space is None else functools.partial(point_problems, space)
        if problems := check(initial, search.total):
            raise InvalidArguments("search", problems)
        points = initial if space is None else [values_in(space, point) for point in initial]
        prepare(points, self._known(self.problem, search)[0])
        if search.total < 1:
            raise InvalidArguments("search", ["warm_start has a result for every combination; nothing is left to try"])

    def notes(self, search: Search) -> list[str]:
        """Lines about the trials that are used."""
        if self.problem is None or not self._has_trials:
            return []
        known, skipped = self._known(self.problem, search)
        names = [f"{run.name} v{run.version}" for run in self.runs] + (["the given list"] if self.rows else [])
        others = f"; {skipped} others have no metric, or other parameters than the space" if skipped else ""
        return [f"warm start: the algorithm knows {len(known)} trials of {', '.join(names)}{others}"]

    @property
    def _has_trials(self) -> bool:
        return bool(self.runs or self.rows)

    def to_json(self) -> dict[str, Any]:
        """The fields of a run's record."""
        fields: dict[str, Any] = {}
        if self.initial is not None:
            fields["initial_params"] = json_safe([dict(point) for point in self.initial])
        if self._has_trials:
            fields["warm_start"] = {"runs": [run.run_id for run in self.runs], "rows": len(self.rows)}
        return fields

    def _known(self, problem: Problem, search: Search) -> tuple[Known, int]:
        """Combinations of the space with their metrics, and the number of trials that are not used.

        Of a combination that was tried several times, the trial with the largest budget counts, or the last one. An
        algorithm without budgets gets only those with the largest budget of all: others are not comparable.
        """
        best: dict[str, tuple[float, dict[str, Any], float]] = {}
        count = 0
        for params, metric in self._trials(problem):
            count += 1
            budget = params.get(BUDGET) if BUDGET not in (problem.space or ()) else None
            values = _combination(problem.space, {k: v for k, v in params.items() if k != BUDGET or budget is None})
            if values is None or not (is_number(metric) and finite(metric)):
                continue
            size, record = float(plain(budget) or 0.0), recorded(values)
            if record not in best or size >= best[record][0]:
                best[record] = (size, values, float(metric))
        known = list(best.values())
        if getattr(search, "budget", None) is None:
            known = [item for item in known if item[0] == max(size for size, _, _ in known)]
        if self._has_trials and not known:
            others = (
                "whose parameters are exactly those of this space" if problem.space is not None else "and parameters"
            )
            text = f"warm_start has no trial with a metric {others}"
            raise InvalidArguments("search", [text])
        return [(values, metric) for _, values, metric in known], count - len(known)

    def _trials(self, problem: Problem) -> Iterator[tuple[dict[str, Any], Any]]:
        key, direction = problem.key, problem.direction
        for run in self.runs:
            if run.direction not in (None, direction):
                text = f"warm_start: the direction of {run.name} v{run.version} was {run.direction}, not {direction}"
                raise InvalidArguments("search", [text])
            for trial in run.trials:
                has_metric = trial.state in (State.FINISHED, State.STOPPED)
                is_same = not run.objectives and run.optimization_key in (None, key)
                metric = trial.metric if is_same else (trial.outputs or {}).get(key or "")
                yield trial.params, plain(metric) if has_metric else None
        for row in self.rows:
            metric = plain(row[key] if key is not None and key in row else row.get("metric"))
            names = (*problem.space, BUDGET) if problem.space is not None else row.keys() - {key, "metric"}
            yield {k: row[k] for k in names if k in row and not _is_missing(row[k])}, metric


def prior_of(options: Options, problem: Problem, past: Mapping[str, Any]) -> Prior:
    """The values of both keywords in a call, with the runs that they name.

    Args:
        past: the record of a run that is resumed; its runs are taken again, whatever their name means now.

    Raises:
        InvalidArguments: a value has another form, or there is no such run.
    """
    items = _items(options["warm_start"])
    rows = tuple(item for item in items if isinstance(item, Mapping))
    references = [item for item in items if not isinstance(item, Mapping)]
    recorded_runs = (past.get("warm_start") or {}).get("runs") or []
    if len(recorded_runs) == len(references):
        references = recorded_runs
    problems, runs = [], []
    for reference in references:
        try:
            runs.append(reference if isinstance(reference, Run) else load(reference, project=project_path(options)))
        except (RunNotFound, StoreError) as error:
            problems.append(f"warm_start: {error}")
    if problems:
        raise InvalidArguments("search", problems)
    return Prior(options["initial_params"], tuple(runs), rows, problem)


def _items(warm_start: Any) -> Sequence[Any]:
    """Runs, references to runs, and dicts of parameters and metrics.

    Raises:
        InvalidArguments: it is something else.
    """
    if warm_start is None:
        return []
    if isinstance(warm_start, (str, os.PathLike, Run)):
        return [warm_start]
    if callable(getattr(warm_start, "to_dict", None)) and hasattr(warm_start, "columns"):
        return list(warm_start.to_dict("records"))
    items = list(warm_start) if isinstance(warm_start, (list, tuple)) else [warm_start]
    if not items or not all(isinstance(item, (str, os.PathLike, Run, Mapping)) for item in items):
        raise InvalidArguments("search", [f"warm_start={short(warm_start)}; give {FORMS}"])
    return items


def _combination(space: Space | None, params: Mapping[str, Any]) -> dict[str, Any] | None:
    if space is None:
        return dict(params) or None
    try:
        values = values_in(space, params)
    except InvalidArguments:
        return None
    return values if is_complete(space, values) else None


def _is_missing(value: Any) -> bool:
    """True for the NaN of a data frame where a trial does not have a parameter."""
    return is_number(value) and math.isnan(value)
