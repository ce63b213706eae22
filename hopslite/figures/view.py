"""What is drawn of a run, as plain values: its trials in the order of their ends, its parameters as columns."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _format
from .._trial import Direction, State, finite, json_safe
from ..errors import InvalidArguments
from ..result import Run, Trial

__all__ = ["Column", "Floats", "Scale", "View", "counted", "label", "scale_of", "within"]

Floats = npt.NDArray[np.float64]
Kind = Literal["linear", "log", "category"]

CATEGORIES = 16  # more are put together as "others"
MIXED = 12  # a parameter with more different numbers and other values besides is a number that some trials lack
LISTED = 8  # so many different numbers are a list of values rather than a range
DECADES = 100.0  # the ratio of largest to smallest from which positive values are drawn on a logarithmic scale
LARGEST = 1e200  # matplotlib's arithmetic overflows with what is beyond
RANGES = ("uniform", "loguniform", "integer")
STEEP = 1.5  # the least ratio of values of which each is so many times the one before, as 16, 32, 64
FEWEST = 8  # values among which some can be called far off
FAR, NEAR = 20.0, 3.0  # in distances between the best value and the third quartile: what is far, where the axis ends


def label(text: str, width: int = 28) -> str:
    """Any text as one line of a figure; never empty."""
    return _format.one_line(text, width) or repr(text[:width])


@dataclasses.dataclass(frozen=True)
class Scale:
    """How values are laid out on an axis, from `low` to `high`; `outside` of them lie beyond its worse end."""

    log: bool
    low: float
    high: float
    outside: int = 0

    def on(self, values: Floats) -> Floats:
        """The values, with those that lie outside at the edge."""
        return np.clip(values, self.low, self.high)

    def unit(self, values: Floats) -> Floats:
        """The values as fractions of the axis; a half where all are one."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = np.log10(self.on(values)) if self.log else self.on(values)
        with np.errstate(over="ignore", invalid="ignore"):
            return (at - low) / (high - low) if high > low else np.where(np.isnan(at), np.nan, 0.5)


def scale_of(values: Floats, direction: Direction | None = None) -> Scale:
    """The scale on which all values can be told apart; with a direction, bad ones that are far off may lie outside."""
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / DECADES >= low:
        return Scale(True, max(low, 1 / LARGEST), high)
    if direction is not None and len(values) >= FEWEST:
        best, towards = (high, -1.0) if direction is Direction.MAX else (low, 1.0)
        with np.errstate(over="ignore"):
            far = np.abs(values - best)
        usual = float(np.quantile(far, 0.75))
        if usual > 0 and float(far.max()) > FAR * usual:
            edge = best + towards * NEAR * usual
            outside = int(np.sum(far > NEAR * usual))
            return Scale(False, min(best, edge), max(best, edge), outside)
    return Scale(False, low, high)


@dataclasses.dataclass(frozen=True)
class Column:
    """A parameter over the trials of a view.

    `values` are its numbers, or the indices of its `labels`, and NaN where a trial does not have it.
    """

    name: str
    kind: Kind
    values: Floats
    labels: tuple[str, ...] = ()
    others: int = 0  # how many rare values the last label stands for
    listed: tuple[float, ...] = ()  # the numbers, where they are few
    bounds: tuple[float, float] | None = None

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.values)

    @property
    def missing(self) -> int:
        return int(np.sum(~self.present))

    @property
    def scale(self) -> Scale:
        """Of a number: from the lower bound of the search space to the upper one, or as far as values reach."""
        reach = np.append(self.values[self.present], self.bounds or ())
        low, high = float(reach.min()), float(reach.max())
        return Scale(self.kind == "log", max(low, 1 / LARGEST) if self.kind == "log" else low, high)


@dataclasses.dataclass(frozen=True)
class View:
    """A search, ready to be drawn.

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
        """The view of a run for a plot.

        Raises:
            InvalidArguments: there is nothing that this plot could show.
        """
        which = f"{label(run.name)} version {run.version}"
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
            why = f"; the first error: {_format.one_line(failure)}" if failure else ""
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
        """Of the metric."""
        return scale_of(self.metrics, self.direction)

    @property
    def metric(self) -> str:
        return label(self.run.optimization_key or "metric")

    @property
    def metric_label(self) -> str:
        return f"{self.metric} (log)" if self.scale.log else self.metric

    @functools.cached_property
    def best(self) -> int:
        """The place of the best trial in `trials`."""
        best = self.run.best_trial.id if self.run.best_trial else None
        known = [place for place, trial in enumerate(self.trials) if trial.id == best]
        return known[0] if known else int(self.goodness.argmax())

    @functools.cached_property
    def goodness(self) -> Floats:
        """The metrics as fractions of their axis, 1 for the best."""
        unit = self.scale.unit(self.metrics)
        return unit if self.direction is Direction.MAX else 1.0 - unit

    @functools.cached_property
    def stopped(self) -> npt.NDArray[np.bool_]:
        return np.array([trial.state is State.STOPPED for trial in self.trials])

    def so_far(self) -> Floats:
        """The best metric after each of `trials`."""
        running = np.maximum if self.direction is Direction.MAX else np.minimum
        return np.asarray(running.accumulate(self.metrics), dtype=np.float64)

    @functools.cached_property
    def columns(self) -> list[Column]:
        """The parameters, as the search space orders them."""
        there = {str(name): None for trial in self.trials for name in trial.params}
        ordered = [name for name in self.space if name in there]
        names = dict.fromkeys([*ordered, *there])
        return [column(name, [trial.params.get(name, ABSENT) for trial in self.trials], self._described(name))
                for name in names]  # fmt: skip

    def _described(self, name: str) -> Mapping[str, Any]:
        found = self.space.get(name)
        return found if isinstance(found, Mapping) else {}

    def notes(self) -> list[str]:
        """What a figure must say of what it does not show."""
        notes = []
        if odd := sum(1 for trial in self.ended if trial.metric is not None and not finite(trial.metric)):
            notes.append(f"{counted(odd, 'trial')} with a metric that is not finite left out")
        if self.scale.outside:
            edge = f"{self.scale.low if self.direction is Direction.MAX else self.scale.high:.3g}"
            notes.append(f"{counted(self.scale.outside, 'trial')} worse than {edge} drawn at the edge")
        return notes


ABSENT = object()


def has_metric(trial: Trial) -> bool:
    return trial.state in (State.FINISHED, State.STOPPED) and finite(trial.metric)


def within(values: Floats) -> Floats:
    """The values, those that are too large to be drawn made smaller."""
    return np.clip(values, -LARGEST, LARGEST)


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _end(trial: Trial) -> tuple[float, str]:
    if trial.started_at is None or not math.isfinite(trial.started_at + (trial.duration or 0.0)):
        return (math.inf, trial.id)
    return (trial.started_at + (trial.duration or 0.0), trial.id)


def column(name: str, items: Sequence[Any], described: Mapping[str, Any]) -> Column:
    """A parameter's values as numbers where they are, otherwise as categories, in the order of the search space."""
    plain = [ABSENT if item is ABSENT else json_safe(item) for item in items]
    as_numbers = np.array([_number(item) for item in plain], dtype=np.float64)
    others = [item for item in plain if item is not ABSENT and not _is_number(item)]
    kinds = np.unique(as_numbers[np.isfinite(as_numbers)])
    if len(kinds) and (not others or len(kinds) > MIXED):
        kind: Kind = "log" if _is_log(kinds, described) else "linear"
        few = len(kinds) <= LISTED and described.get("type") not in RANGES
        few_numbers = tuple(map(float, kinds)) if few else ()
        return Column(name, kind, as_numbers, listed=few_numbers, bounds=_bounds(described, kind))
    keys = [None if item is ABSENT else repr(item) for item in plain]
    listed = described.get("values") if described.get("type") == "choice" else None
    order = [repr(item) for item in listed] if isinstance(listed, list) else []
    shown = dict(zip(keys, plain, strict=True))
    counts = collections.Counter(key for key in keys if key is not None)
    ranked = sorted(counts, key=lambda key: (order.index(key) if key in order else len(order), _rank(shown[key])))
    if len(ranked) > CATEGORIES:
        common = {key for key, _ in counts.most_common(CATEGORIES - 1)}
        ranked = [key for key in ranked if key in common]
    places = {key: float(place) for place, key in enumerate(ranked)}
    labels = [label(_format.value(shown[key]), 18) for key in ranked]
    if others_count := len(counts) - len(ranked):
        labels.append(f"({others_count} others)")
    rest = float(len(ranked)) if others_count else math.nan
    values = np.array([math.nan if key is None else places.get(key, rest) for key in keys], dtype=np.float64)
    return Column(name, "category", values, tuple(labels), others_count)


def _is_number(item: Any) -> bool:
    return isinstance(item, numbers.Real) and not isinstance(item, bool)


def _number(item: Any) -> float:
    """As a float; NaN for what is none, and for infinities."""
    try:
        found = float(item) if _is_number(item) else math.nan
    except OverflowError:
        return math.nan
    return min(max(found, -LARGEST), LARGEST) if math.isfinite(found) else math.nan


def _is_log(values: Floats, described: Mapping[str, Any]) -> bool:
    """What the search space says; of listed values, whether they span two decades or have equal ratios."""
    if values[0] <= 0:
        return False
    if described.get("type") in RANGES:
        return bool(described.get("type") == "loguniform" or described.get("log"))
    if values[-1] / DECADES >= values[0]:
        return True
    ratios = values[1:] / values[:-1]
    return len(ratios) > 1 and bool(ratios[0] >= STEEP and np.ptp(ratios) < 1e-6)


def _bounds(described: Mapping[str, Any], kind: Kind) -> tuple[float, float] | None:
    low, high = (_number(described.get(end)) for end in ("low", "high"))
    if math.isnan(low) or math.isnan(high) or (kind == "log" and low <= 0):
        return None
    return (low, high)


def _rank(item: Any) -> tuple[int, float, str]:
    """Numbers by size, then everything else by its text."""
    number = _number(item)
    return (1, 0.0, str(item)) if math.isnan(number) else (0, number, "")
