"""Axes of metrics, parameters, counts and time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import (
    FixedLocator,
    Formatter,
    FuncFormatter,
    Locator,
    MaxNLocator,
    MultipleLocator,
    NullFormatter,
    NullLocator,
)

from ..core import formatting
from .columns import Column, Scale
from .theme import drawable

__all__ = ["UNITS", "metric_axis", "numbers", "parameter_axis", "ticks", "time_axis", "value_axis", "whole_numbers"]

PERIODS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # seconds
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def ticks(low: float, high: float, log: bool, most: int = 5) -> list[float]:
    """Round tick values of a scale; its ends only if they are round."""
    if not high > low:
        return [low]
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for multiples in ((1,), (1, 3), (1, 2, 5)):
            steps = [multiple * 10.0**power for power in powers for multiple in multiples]
            positions = [at for at in steps if low * (1 - 1e-9) <= at <= high * (1 + 1e-9)]
            if len(positions) >= 3:
                return positions[:: math.ceil(len(positions) / most)]
    positions = [float(at) for at in MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    slack = (high - low) * 1e-9
    return [at for at in positions if low - slack <= at <= high + slack] or [low, high]


def numbers(values: Sequence[float]) -> list[str]:
    """Labels of an axis's numbers, with the fewest digits that distinguish them."""
    shown: list[str] = []
    apart = min((abs(b - a) for a, b in itertools.pairwise(values)), default=0.0)
    for digits in range(6, 18):
        shown = [f"{value:.{digits}g}" for value in values]
        off = max((abs(float(text) - value) for text, value in zip(shown, values, strict=True)), default=0.0)
        if len(values) < 2 or off <= apart / 1000:
            break
    return [_tidy(text) for text in shown]


def _tidy(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "\u2212") if e else text.replace("-", "\u2212")


class _Numbers(Formatter):
    """Tick formatter with distinguishable numbers, without offset, factor or formulas."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return numbers([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        texts = numbers(values)
        if any("e" in text for text in texts):
            return texts
        decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
        return [f"{value:.{decimals}f}".replace("-", "\u2212") for value in values]


class _Apart(_Numbers):
    """Tick formatter of a log axis, on which 0.01 and 100 need different digits."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return numbers(values)


def _number_axis(axis: Axis, scale: Scale, most: int, listed: Sequence[float] = ()) -> None:
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(_Apart() if scale.log or listed else _Numbers())
    if scale.log or listed:
        axis.set_major_locator(FixedLocator(list(listed) or ticks(scale.low, scale.high, True, most)))
    else:
        axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))


def whole_numbers(last: float, most: int) -> Locator:
    """Set ticks for counts from 0 or 1 to `last`."""
    return MultipleLocator(1) if last <= most else MaxNLocator(nbins=most, integer=True, steps=[1, 2, 5, 10])


def metric_axis(axes: Axes, scale: Scale, most: int = 6) -> None:
    """Set up the vertical axis for a metric."""
    _limit(axes.set_yscale, axes.set_ylim, scale, 0.05)
    _number_axis(axes.yaxis, scale, most)


def value_axis(axes: Axes, scale: Scale, most: int = 8) -> None:
    """Set up the horizontal axis for a metric."""
    _limit(axes.set_xscale, axes.set_xlim, scale, 0.05)
    _number_axis(axes.xaxis, scale, most)


def parameter_axis(axes: Axes, column: Column, most: int = 5, vertical: bool = False) -> None:
    """Set up the horizontal or the vertical axis for a parameter."""
    axis, set_limits = (axes.yaxis, axes.set_ylim) if vertical else (axes.xaxis, axes.set_xlim)
    if column.kind == "category":
        shown = [drawable(formatting.cut(text, 14)) for text in column.labels]
        many = len(shown) > 8
        axis.set_ticks(range(len(shown)), shown)
        if not vertical and (len(shown) > 4 or sum(map(len, shown)) > 26):
            axis.set_ticks(range(len(shown)), shown, rotation=60 if many else 35, ha="right", rotation_mode="anchor",
                           fontsize=7 if many else 8.5)  # fmt: skip
        set_limits(-0.6, len(shown) - 0.4)
        return
    longest = max(map(len, numbers(ticks(column.scale.low, column.scale.high, column.scale.log))))
    most = most if longest <= 7 or vertical else 3 if longest <= 10 else 1
    set_scale = axes.set_yscale if vertical else axes.set_xscale
    _limit(set_scale, set_limits, column.scale, 0.14 if len(column.listed) > 1 else 0.05)
    _number_axis(axis, column.scale, most, column.listed)


def _limit(set_scale: Any, set_limits: Any, scale: Scale, margin: float) -> None:
    low, high = scale.low, scale.high
    if scale.log:
        set_scale("log")
        room = 10 ** (margin * (math.log10(high) - math.log10(low))) if high > low else 2.0
        set_limits(low / room, high * room)
        return
    with np.errstate(over="ignore"):
        room = (high - low) * margin if high > low else abs(low) * 0.1 or 1.0
    if math.isfinite(room):
        set_limits(low - room, high + room)


def time_axis(axes: Axes, last: float) -> None:
    """Set up the horizontal axis for seconds from 0 to `last`."""
    room = 0.02 * last or 0.5
    axes.set_xlim(-room, last + room)
    if last > 4:
        period = next(
            (candidate for candidate in PERIODS if last / candidate <= 10), max(86400, round(last / 8 / 86400) * 86400)
        )
        axes.xaxis.set_major_locator(MultipleLocator(period))
        size, unit = next(candidate for candidate in UNITS if period % candidate[0] == 0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds / size:g} {unit}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))
