"""Parallel coordinates: an axis for each parameter and one for the metric, a line for each trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ..core import formatting
from .axes import numbers, ticks
from .columns import Column, Floats, Scale, label
from .data import View
from .theme import BEST, INK, MUTED, PAPER, chart, drawable, fade, finish, fit, header, tint

__all__ = ["FAN", "MISSING", "parallel_coordinates", "placed"]

AXES = 20  # parameters at most
AXIS_WIDTH, WIDEST, HEIGHT = 1.5, 20.0, 4.6
MISSING, FAN = -0.14, 0.05  # where trials pass that do not have a parameter, and how far apart
BAND = 0.36  # how much of a category's room its lines take


def parallel_coordinates(view: View) -> Figure:
    columns, places, notes = placed(view)
    width = min(max(7.0, AXIS_WIDTH * (len(columns) + 1) + 0.7), WIDEST)
    apart = (width - 0.4) / (len(columns) + 1.04)  # of two axes, in inches
    figure = chart(width, HEIGHT, "Parallel coordinates", header(view), notes)
    axes = figure.add_subplot()
    axes.set_axis_off()
    y = np.column_stack([*places, view.scale.unit(view.metrics)])
    _lines(axes, y, view)
    for number, column in enumerate(columns):
        _axis(axes, number, column, apart)
    _metric_axis(axes, len(columns), view, apart)
    best = view.trials[view.best]
    text = f"best: {formatting.metric(best.metric)} (trial {best.id})"
    axes.plot([], [], color=BEST, linewidth=3, label=text)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.1), frameon=False, fontsize=8.5, labelcolor=INK,
                borderaxespad=0)  # fmt: skip
    axes.set_xlim(-0.62, len(columns) + 0.42)
    axes.set_ylim(MISSING - FAN / 2 - 0.06 if any(column.missing for column in columns) else -0.05, 1.02)
    return finish(figure)


def placed(view: View) -> tuple[list[Column], list[Floats], list[str]]:
    """The drawn parameters, the trials' positions on the axis of each, from 0 to 1 or `MISSING`, and notes."""
    columns = _most_telling(view.columns)
    notes = view.notes()
    if left_out := len(view.columns) - len(columns):
        notes.append(f"{left_out} of {len(view.columns)} parameters left out")
    goodness = view.goodness + 1e-9 * (np.arange(len(view.trials)) == view.best)  # the best one above its equals
    return columns, [_place(column, goodness) for column in columns], notes


def _most_telling(columns: Sequence[Column]) -> list[Column]:
    """Most important parameters; those with a single value last."""
    if len(columns) <= AXES:
        return list(columns)
    varied = [column for column in columns if len(np.unique(column.values[column.present])) > 1]
    kept = {column.name for column in [*varied, *columns][:AXES]}
    return [column for column in columns if column.name in kept]


def _place(column: Column, goodness: Floats) -> Floats:
    """Positions of the trials' lines on a parameter's axis, from 0 to 1; better trials higher among equal values."""
    y = MISSING + FAN * _fan(~column.present, goodness)
    if column.kind != "category":
        return np.where(column.present, column.scale.unit(column.values), y)
    count = len(column.labels)
    for place in range(count):
        here = column.values == place
        y[here] = ((place + 0.5 + BAND * _fan(here, goodness)) / count)[here]
    return y


def _fan(chosen: npt.NDArray[np.bool_], goodness: Floats) -> Floats:
    """Offsets between -0.5 and 0.5 by rank, for the chosen trials."""
    here, fan = np.flatnonzero(chosen), np.zeros(len(chosen))
    if len(here) > 1:
        fan[here[np.argsort(goodness[here], kind="stable")]] = np.linspace(-0.5, 0.5, len(here))
    return fan


def _lines(axes: Axes, y: Floats, view: View) -> None:
    count, x = len(y), np.arange(y.shape[1])
    order = np.argsort(view.goodness, kind="stable")  # the best on top
    order = order[order != view.best]
    if len(order):
        colours = tint()(view.goodness[order])
        colours[:, 3] = np.clip(fade(count) * (0.45 + 0.75 * view.goodness[order] ** 2), 0, 1)
        width = 1.5 if count <= 100 else 0.9
        lines = [np.column_stack([x, row]) for row in y[order]]
        axes.add_collection(LineCollection(lines, colors=colours, linewidths=width, zorder=1), autolim=False)
    axes.plot(x, y[view.best], color=BEST, linewidth=3.0, zorder=3, solid_joinstyle="round",
              path_effects=[patheffects.withStroke(linewidth=5.5, foreground=PAPER)])  # fmt: skip


def _axis(axes: Axes, x: int, column: Column, apart: float) -> None:
    axes.plot([x, x], [0, 1], color=MUTED, linewidth=1.1, zorder=2)
    _head(axes, x, column.name, column.kind == "log", apart)
    if column.kind == "category":
        _labels(axes, x, (np.arange(len(column.labels)) + 0.5) / len(column.labels), list(column.labels))
    else:
        _numbers(axes, x, column.scale, column.listed)
    if column.missing:
        axes.plot([x, x], [MISSING - FAN / 2, MISSING + FAN / 2], color=MUTED, linewidth=1.1, zorder=2)
        _text(axes, x, MISSING - FAN / 2 - 0.02, f"not set ({column.missing})", MUTED, size=7.5, ha="center", va="top")


def _head(axes: Axes, x: float, name: str, log: bool, apart: float) -> None:
    _text(axes, x, 1.085, fit(label(name, 60), apart - 0.12), INK, size=9.5, weight="bold", ha="center")
    if log:
        _text(axes, x, 1.035, "log", MUTED, size=8, ha="center")


def _numbers(axes: Axes, x: float, scale: Scale, listed: Sequence[float] = (), bar: float = 0.0) -> None:
    at = list(listed) or ticks(scale.low, scale.high, scale.log)
    _labels(axes, x, scale.unit(np.array(at)), numbers(at), bar)


def _labels(axes: Axes, x: float, places: Floats, texts: Sequence[str], bar: float = 0.0) -> None:
    """Tick labels to the left of an axis, or to the right of a bar."""
    side = 1 if bar else -1
    for y, text in zip(places, texts, strict=True):
        axes.plot([x + bar, x + bar + side * 0.025], [y, y], color=MUTED, linewidth=1.0, zorder=2)
        _text(axes, x + bar + side * 0.05, float(y), fit(text, 0.85, 8, bold=False), MUTED, size=8,
              ha="left" if bar else "right")  # fmt: skip


def _metric_axis(axes: Axes, x: int, view: View, apart: float) -> None:
    """Axis of the metric, which is also the legend of the colours."""
    bar = 0.075 / apart
    up = np.linspace(0, 1, 256)[:, None]
    axes.imshow(up if view.direction == "MAX" else 1 - up, cmap=tint(), aspect="auto", origin="lower", vmin=0, vmax=1,
                extent=(x, x + bar, 0, 1), zorder=2)  # fmt: skip
    _head(axes, x, view.metric, view.scale.log, apart)
    _numbers(axes, x, view.scale, bar=bar)


def _text(axes: Axes, x: float, y: float, text: str, color: str, size: float, ha: str, va: str = "center",
          weight: str = "normal") -> None:  # fmt: skip
    axes.text(x, y, drawable(text), color=color, fontsize=size, ha=ha, va=va, fontweight=weight, zorder=5,
              path_effects=[patheffects.withStroke(linewidth=2.5, foreground=PAPER)])  # fmt: skip
