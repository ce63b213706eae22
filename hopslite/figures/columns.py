"""Columns of the figures: the values of a parameter over trials as numbers or categories, and scales of axes."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..core import formatting
from ..core.log_scale import needs_log_scale
from ..core.plain_values import is_number
from ..core.suggestions import did_you_mean
from ..core.types import Direction, json_safe
from ..errors import InvalidArguments

__all__ = ["ABSENT", "Column", "Floats", "Scale", "chosen", "column", "counted", "label", "scale_of", "within"]

Floats = npt.NDArray[np.float64]
Kind = Literal["linear", "log", "category"]

CATEGORIES = 16  # more are put together as "others"
MIXED = 12  # a parameter with more different numbers and other values besides is a number that some trials lack
LISTED = 8  # up to so many different numbers are a list of values, not a range
LARGEST = 1e200  # matplotlib's arithmetic overflows beyond it
RANGES = ("uniform", "loguniform", "normal", "lognormal", "integer")
STEEP = 1.5  # the least ratio of values of which each is so many times the one before, as 16, 32, 64
FEWEST = 8  # minimum number of values for detecting outliers
FAR, NEAR = 20.0, 3.0  # in distances between the best value and the third quartile: what is far, where the axis ends


def label(text: str, width: int = 28) -> str:
    """One-line text for a figure; never empty."""
    return formatting.one_line(text, width) or repr(text[:width])


@dataclasses.dataclass(frozen=True)
class Scale:
    """Axis scale from `low` to `high`; values `outside` of it lie beyond its worse end."""

    log: bool
    low: float
    high: float
    outside: int = 0

    def on(self, values: Floats) -> Floats:
        """Values clipped to the axis."""
        return np.clip(values, self.low, self.high)

    def unit(self, values: Floats) -> Floats:
        """Values as fractions of the axis; 0.5 if all are equal."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = np.log10(self.on(values)) if self.log else self.on(values)
        with np.errstate(over="ignore", invalid="ignore"):
            return (at - low) / (high - low) if high > low else np.where(np.isnan(at), np.nan, 0.5)


def scale_of(values: Floats, direction: Direction | None = None) -> Scale:
    """Scale that tells all values apart; with a direction, distant bad ones may lie outside."""
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if needs_log_scale(low, high):
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
    """Parameter over the trials of a view.

    `values` are its numbers, or the indices of its `labels`, and NaN where a trial does not have it.
    """

    name: str
    kind: Kind
    values: Floats
    labels: tuple[str, ...] = ()
    others: int = 0  # number of rare values behind the last label
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
        """Scale of a number: the bounds of the search space, or the range of the values."""
        reach = np.append(self.values[self.present], self.bounds or ())
        low, high = float(reach.min()), float(reach.max())
        return Scale(self.kind == "log", max(low, 1 / LARGEST) if self.kind == "log" else low, high)


ABSENT = object()


def chosen(columns: Sequence[Column], names: Sequence[str] | None, where: str, fewest: int = 1) -> list[Column]:
    """Columns with these names, in their order; all without names.

    Raises:
        InvalidArguments: there is no such parameter, one is listed twice, or they are fewer than `fewest`.
    """
    if names is None:
        return list(columns)
    known = {column.name: column for column in columns}
    problems = []
    for name in dict.fromkeys(names):
        if name not in known:
            known_names = f"its parameters are {', '.join(known)}"
            problems.append(f"{name!r} is no parameter of this run; {did_you_mean(name, known, known_names)}")
    if len(set(names)) < len(names):
        problems.append(f"params has a name twice: {', '.join(names)}")
    if len(names) < fewest:
        problems.append(f"params must have at least {counted(fewest, 'name')}, given {list(names)!r}")
    if problems:
        raise InvalidArguments(where, problems)
    return [known[name] for name in names]


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def within(values: Floats) -> Floats:
    """Values with those beyond the largest drawable number clipped."""
    return np.clip(values, -LARGEST, LARGEST)


def column(name: str, items: Sequence[Any], described: Mapping[str, Any]) -> Column:
    """Parameter's values as numbers if possible, otherwise as categories in the order of the search space."""
    plain = [ABSENT if item is ABSENT else json_safe(item) for item in items]
    as_numbers = np.array([_number(item) for item in plain], dtype=np.float64)
    others = [item for item in plain if item is not ABSENT and not is_number(item)]
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
    labels = [label(formatting.value(shown[key]), 18) for key in ranked]
    if others_count := len(counts) - len(ranked):
        labels.append(f"({others_count} others)")
    rest = float(len(ranked)) if others_count else math.nan
    values = np.array([math.nan if key is None else places.get(key, rest) for key in keys], dtype=np.float64)
    return Column(name, "category", values, tuple(labels), others_count)


def _number(item: Any) -> float:
    """Value as float; NaN for other types and infinities."""
    try:
        number = float(item) if is_number(item) else math.nan
    except OverflowError:
        return math.nan
    return min(max(number, -LARGEST), LARGEST) if math.isfinite(number) else math.nan


def _is_log(values: Floats, described: Mapping[str, Any]) -> bool:
    """True for a log scale: as the search space says, or listed values with equal ratios or two decades apart."""
    if values[0] <= 0:
        return False
    if described.get("type") in RANGES:
        return bool(described.get("type") in ("loguniform", "lognormal") or described.get("log"))
    if needs_log_scale(values[0], values[-1]):
        return True
    ratios = values[1:] / values[:-1]
    return len(ratios) > 1 and bool(ratios[0] >= STEEP and np.ptp(ratios) < 1e-6)


def _bounds(described: Mapping[str, Any], kind: Kind) -> tuple[float, float] | None:
    low, high = (_number(described.get(end)) for end in ("low", "high"))
    if math.isnan(low) or math.isnan(high) or (kind == "log" and low <= 0):
        return None
    return (low, high)


def _rank(item: Any) -> tuple[int, float, str]:
    """Sort key: numbers by size, then other values by their text."""
    number = _number(item)
    return (1, 0.0, str(item)) if math.isnan(number) else (0, number, "")
