"""Figure of slices: each parameter against the metric, with the colour of the order in which trials ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..core.types import Direction
from .axes import metric_axis, parameter_axis
from .columns import Column, Floats, chosen
from .data import View
from .theme import (
    BEST,
    FAILED,
    INK,
    MUTED,
    PAPER,
    Chart,
    best_label,
    chart,
    dress,
    fade,
    figure_legend,
    finish,
    header,
    lay_out,
    order_colors,
    spread,
    titled,
)

__all__ = ["apart", "slices"]

PANELS = 24  # parameters at most
WIDTH, PANEL_HEIGHT = 9.6, 2.5


def slices(view: View, names: Sequence[str] | None = None) -> Figure:
    chosen_columns = chosen(view.ended_columns, names, "slice()")
    columns = chosen_columns[:PANELS]
    rows, across, width = lay_out(len(columns), 3, WIDTH)
    width = min(width, 4.8)
    notes = view.notes()
    if left_out := len(chosen_columns) - len(columns):
        notes.append(f"{left_out} of {len(chosen_columns)} parameters left out")
    if any(column.kind == "category" for column in columns):
        notes.append("bars are the medians of categories")
    figure = chart(max(6.0, width * across), PANEL_HEIGHT * rows, "Slices", header(view), notes, has_legend=True)
    grid = figure.subplots(rows, across, sharey=True, squeeze=False)
    for number, axes in enumerate(grid.flat):
        if number >= len(columns):
            axes.set_visible(False)
            continue
        _panel(axes, view, columns[number], number, width)
        axes.set_ylabel(view.metric_label if number % across == 0 else "")
    _legend_of(figure, view)
    return finish(figure)


def _panel(axes: Axes, view: View, column: Column, number: int, width: float) -> None:
    without = int(column.missing)
    title = titled(column, width - (1.4 if without else 0.5))
    dress(axes, title=title)
    metric_axis(axes, view.scale, 5)
    parameter_axis(axes, column)
    if not column.present.any():
        return
    places = view.places
    x_of_ended = apart(column, number)
    x, y, present = x_of_ended[places], view.scale.on(view.metrics), column.present[places]
    size = 22 if len(x) <= 200 else 8
    order = places / max(1, len(view.ended) - 1)
    colors = order_colors()(order)
    for here, is_hollow in ((present & ~view.stopped, False), (present & view.stopped, True)):
        faces: dict[str, Any] = {"facecolors": "none" if is_hollow else colors[here], "edgecolors": colors[here]}
        if here.any():
            axes.scatter(x[here], y[here], s=size, alpha=max(0.5, fade(len(x))), linewidths=1.1 if is_hollow else 0,
                         zorder=2, rasterized=len(x) > 500, **faces)  # fmt: skip
    crossed = view.lost[column.present[view.lost]]
    if len(crossed):  # an empty line would take part in the layout
        edge = 0.0 if view.direction is Direction.MAX else 1.0
        axes.plot(x_of_ended[crossed], [edge] * len(crossed), "x", color=FAILED,
                  markersize=5 if len(crossed) <= 50 else 3.5, transform=axes.get_xaxis_transform(), clip_on=False,
                  zorder=5)  # fmt: skip
    if column.kind == "category":
        for place in range(len(column.labels)):
            here = column.values[places] == place
            if here.any():
                middle = float(np.median(y[here]))
                axes.plot([place - 0.36, place + 0.36], [middle] * 2, color=INK, linewidth=1.6, zorder=3,
                          solid_capstyle="butt")  # fmt: skip
    if present[view.best]:
        axes.plot([x[view.best]], [y[view.best]], "*", color=BEST, markersize=13, markeredgecolor=PAPER, zorder=4)
    if without:
        axes.text(1.0, 1.02, f"{without} without it", transform=axes.transAxes, ha="right", va="bottom",
                  fontsize=7.5, color=MUTED)  # fmt: skip


def _legend_of(figure: Chart, view: View) -> None:
    """Legend in the figure's first line, with marks in the colours of the first and the last trials."""
    first, last = order_colors()(0.0), order_colors()(1.0)
    entries = [Line2D([], [], marker="o", color=first, markersize=5, linestyle="none", label="tried first")]
    entries += [Line2D([], [], marker="o", color=last, markersize=5, linestyle="none", label="tried last")]
    if view.stopped.any():
        entries.append(Line2D([], [], marker="o", markerfacecolor="none", markeredgecolor=last, markersize=5,
                              linestyle="none", label="stopped early"))  # fmt: skip
    if len(view.lost):
        entries.append(Line2D([], [], marker="x", color=FAILED, markersize=5, linestyle="none", label=view.lost_as))
    entries.append(Line2D([], [], marker="*", color=BEST, markersize=11, markeredgecolor=PAPER, linestyle="none",
                          label=best_label(view.trials[view.best])))  # fmt: skip
    figure_legend(figure, entries)


def apart(column: Column, seed: int) -> Floats:
    """Coordinates with jitter for categories and numbers with few values, whose points would hide each other."""
    if column.kind == "category":
        return spread(column.values, seed)
    if len(column.listed) < 2 or np.sum(column.present) <= len(column.listed):
        return column.values
    values = np.log(column.values) if column.kind == "log" else column.values
    listed = np.log(column.listed) if column.kind == "log" else np.array(column.listed)
    moved = spread(values, seed, 0.04 * float(np.diff(listed).min()))
    return np.exp(moved) if column.kind == "log" else moved
