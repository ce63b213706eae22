"""Grids within a space: each suggestion of an algorithm is tried with every combination of the grids' values."""

from __future__ import annotations

import dataclasses
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..core.types import Result, State, finite
from ..errors import InvalidArguments
from ..space import GridValues, Space
from . import Search, Suggestion
from ._base import recorded, replay_error

__all__ = ["Crossed", "crossed"]

WHERE = "search"


def crossed(space: Space, make: Callable[[Space], Search]) -> Search:
    """The search that `make` creates; if the space has grids, it is for the other parameters, crossed with them.

    Raises:
        InvalidArguments: the algorithm or the space does not allow it.
    """
    grids = [name for name, dimension in space.items() if isinstance(dimension, GridValues)]
    if not grids:
        return make(space)
    shown = ", ".join(map(repr, grids))
    if problems := [
        f"{name!r}: its condition is on {condition.parent!r}; neither may be a space.grid, use space.choice instead"
        for name, condition in space.conditions.items()
        if name in grids or condition.parent in grids
    ]:
        raise InvalidArguments(WHERE, problems)
    others = [name for name in space if name not in grids]
    if not others:
        raise InvalidArguments(WHERE, [f"all parameters are grids ({shown}); use grid_search, or algorithm='grid'"])
    search = make(space.only(others))
    if getattr(search, "budget", None) is not None:
        raise InvalidArguments(WHERE, [f"{shown}: algorithms with budgets do not take a space.grid; use space.choice"])
    return Crossed(search, space.names, space.only(grids))


@dataclasses.dataclass
class _Sample:
    """A suggestion of the inner search; `results` are those of its trials that ended."""

    id: str
    suggestion: Suggestion
    open: int
    results: list[Result] = dataclasses.field(default_factory=list)


class Crossed:
    """A search whose every suggestion is tried with all combinations of the `grids`.

    The inner search gets the mean of the metrics of a suggestion's trials, when all of them have ended.
    """

    def __init__(self, inner: Search, names: Sequence[str], grids: Space) -> None:
        self._inner, self._names, self._grids = inner, names, grids
        self._size = grids.size or 1
        self._queue: deque[tuple[_Sample, dict[str, Any]]] = deque()
        self._running: dict[str, _Sample] = {}
        shown = " × ".join(f"{len(grids[name].values)} of {name}" for name in grids)  # type: ignore[union-attr]
        self._notes = [f"each of {inner.total} samples is tried with {shown}: {self.total} trials"]

    @property
    def total(self) -> int:
        return self._inner.total * self._size

    @property
    def done(self) -> bool:
        return not self._queue and self._inner.done

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Pass initial combinations of the other parameters to the inner search.

        Raises:
            InvalidArguments: the values of a grid are given, or earlier trials, or the inner search takes neither.
        """
        problems = []
        if any(name in params for params in initial for name in self._grids):
            problems.append(
                f"initial_params: leave out {', '.join(self._grids)}; all values are tried with each of them"
            )
        if len(initial) > self._inner.total:
            problems.append(
                f"initial_params has {len(initial)} combinations for {self._inner.total} samples; give fewer"
            )
        if known:
            problems.append("warm_start cannot be combined with a space.grid; use space.choice")
        if not hasattr(self._inner, "prepare"):
            problems.append(f"the algorithm {type(self._inner).__name__} takes no initial_params")
        if problems:
            raise InvalidArguments(WHERE, problems)
        self._inner.prepare(initial, [])  # type: ignore[attr-defined]

    def ask(self, trial_id: str) -> Suggestion | None:
        if not self._queue:
            suggestion = self._inner.ask(trial_id)
            if suggestion is None:
                return None
            self._begin(trial_id, suggestion)
        return self._next(trial_id)

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        if not self._queue:
            others = {name: value for name, value in params.items() if name not in self._grids}
            self._begin(trial_id, self._inner.adopt(trial_id, others))
        suggestion = self._next(trial_id)
        if recorded(suggestion.params) != recorded(params):
            raise replay_error(trial_id, params, suggestion)
        return suggestion

    def tell(self, result: Result) -> None:
        sample = self._running.pop(result.trial_id)
        sample.open -= 1
        sample.results.append(result)
        if sample.open:
            return
        metrics = [result.metric for result in sample.results if result.metric is not None and finite(result.metric)]
        state = State.FINISHED if metrics else result.state
        several = [result.metrics for result in sample.results if result.metrics is not None]
        means = {name: statistics.fmean(values[name] for values in several) for name in several[0]} if several else None
        state = State.FINISHED if several else state
        self._inner.tell(Result(sample.id, state, statistics.fmean(metrics) if metrics else None, metrics=means))

    def notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes + self._inner.notes()

    def _begin(self, trial_id: str, suggestion: Suggestion) -> None:
        sample = _Sample(trial_id, suggestion, self._size)
        self._queue.extend((sample, self._grids.at(number)) for number in range(self._size))

    def _next(self, trial_id: str) -> Suggestion:
        sample, values = self._queue.popleft()
        self._running[trial_id] = sample
        params = {**sample.suggestion.params, **values}
        ordered = {name: params[name] for name in self._names if name in params}
        return Suggestion(ordered, sample.suggestion.generation)
