"""Data of the figures as plain values: trials in the order of their ends, parameters as columns."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import formatting
from ..core.fidelity import outranks
from ..core.objectives import described
from ..core.types import Direction, State, finite
from ..errors import InvalidArguments
from ..result import Run, Trial
from .columns import ABSENT, Column, Floats, Scale, column, counted, label, scale_of, within

__all__ = ["View"]


@dataclasses.dataclass(frozen=True)
class View:
    """Search prepared for drawing.

    Attributes:
        ended: all trials that have ended, in the order in which they did.
        trials: those of them that have a finite metric.
        space: the search space in JSON form, as far as it is known.
    """

    run: Run
    direction: Direction
    ended: tuple[Trial, ...]
    space: Mapping[str, Any]

    @classmethod
    def of(cls, run: Run, space: Mapping[str, Any], where: str) -> View:
        """View of a run for a plot.

        Raises:
            InvalidArguments: there is nothing that this plot could show.
        """
        which = f"{label(run.name)} version {run.version}"
        if run.objectives:
            problem = f"{which} optimises {described(run.objectives)}; plots.pareto_front(run) draws them"
            raise InvalidArguments(where, [f"{problem}, this plot is for one metric"])
        if run.direction is None:
            possible = "plots.reports(run) draws what its trials have reported"
            problem = f"{which} is a run of {run.verb}, which optimises nothing: there is no metric to draw; {possible}"
            raise InvalidArguments(where, [f"{problem}. The other plots take runs that search, such as grid_search"])
        if not run.trials:
            raise InvalidArguments(where, [f"{which} ({run.state}) has no trials; a run with at least one is needed"])
        view = cls(run, run.direction, tuple(sorted((t for t in run.trials if t.state.final), key=_end)), space)
        if not view.trials:
            states = ", ".join(f"{count} {state}" for state, count in run.counts.items())
            failure = next((trial.error for trial in run.trials if trial.error), None)
            why = f"; the first error: {formatting.one_line(failure)}" if failure else ""
            raise InvalidArguments(where, [f"no trial of {which} has a finite metric (trials: {states}){why}"])
        return view

    @functools.cached_property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.ended if has_metric(trial))

    @functools.cached_property
    def metrics(self) -> Floats:
        return within(np.array([trial.metric for trial in self.trials], dtype=np.float64))

    @functools.cached_property
    def scale(self) -> Scale:
        """Scale of the metric."""
        return scale_of(self.metrics, self.direction)

    @property
    def metric(self) -> str:
        return label(self.run.optimization_key or "metric")

    @property
    def metric_label(self) -> str:
        return f"{self.metric} (log)" if self.scale.log else self.metric

    @functools.cached_property
    def best(self) -> int:
        """Index of the best trial in `trials`."""
        best = self.run._best.id if self.run._best else None
        known = [place for place, trial in enumerate(self.trials) if trial.id == best]
        return known[0] if known else int(self.goodness.argmax())

    @functools.cached_property
    def goodness(self) -> Floats:
        """Metrics as fractions of their axis, 1 for the best."""
        unit = self.scale.unit(self.metrics)
        return unit if self.direction is Direction.MAX else 1.0 - unit

    @functools.cached_property
    def stopped(self) -> npt.NDArray[np.bool_]:
        return np.array([trial.state is State.STOPPED for trial in self.trials])

    def so_far(self) -> Floats:
        """Metric of the best trial after each of `trials`; it may get worse when a larger budget is reached."""
        best = 0
        places = []
        for place, trial in enumerate(self.trials):
            if outranks(trial, self.trials[best], self.direction, self.run._ranked_by):
                best = place
            places.append(best)
        return self.metrics[places]

    @functools.cached_property
    def columns(self) -> list[Column]:
        """Parameters of `trials`, in the order of the search space."""
        return self._columns_of(self.trials)

    @functools.cached_property
    def ended_columns(self) -> list[Column]:
        """Parameters of `ended`, in the order of the search space."""
        return self._columns_of(self.ended)

    @functools.cached_property
    def places(self) -> npt.NDArray[np.intp]:
        """Indices of `trials` in `ended`."""
        return np.flatnonzero([has_metric(trial) for trial in self.ended])

    @functools.cached_property
    def lost(self) -> npt.NDArray[np.intp]:
        """Indices in `ended` of the trials without a metric."""
        return np.setdiff1d(np.arange(len(self.ended)), self.places)

    @property
    def lost_as(self) -> str:
        """Legend entry of the trials without a metric."""
        states = {self.ended[place].state for place in self.lost}
        name = "failed" if states == {State.FAILED} else "killed" if states == {State.KILLED} else "without a metric"
        return f"{name} ({len(self.lost)})"

    def _columns_of(self, trials: Sequence[Trial]) -> list[Column]:
        there = {str(name): None for trial in trials for name in trial.params}
        ordered = [name for name in self.space if name in there]
        names = dict.fromkeys([*ordered, *there])
        return [column(name, [trial.params.get(name, ABSENT) for trial in trials], self._described(name))
                for name in names]  # fmt: skip

    def _described(self, name: str) -> Mapping[str, Any]:
        dimension = self.space.get(name)
        return dimension if isinstance(dimension, Mapping) else {}

    def notes(self) -> list[str]:
        """Remarks on what a figure does not show."""
        notes = []
        if odd := sum(1 for trial in self.ended if trial.metric is not None and not finite(trial.metric)):
            notes.append(f"{counted(odd, 'trial')} with a metric that is not finite left out")
        if self.scale.outside:
            edge = f"{self.scale.low if self.direction is Direction.MAX else self.scale.high:.3g}"
            notes.append(f"{counted(self.scale.outside, 'trial')} worse than {edge} drawn at the edge")
        return notes


def has_metric(trial: Trial) -> bool:
    return trial.state in (State.FINISHED, State.STOPPED) and finite(trial.metric)


def _end(trial: Trial) -> tuple[float, str]:
    if trial.started_at is None or not math.isfinite(trial.started_at + (trial.duration or 0.0)):
        return (math.inf, trial.id)
    return (trial.started_at + (trial.duration or 0.0), trial.id)
