"""Figure of contours: the metric over the plane of two parameters, for one pair or several."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..core.types import Direction
from ..errors import InvalidArguments
from .axes import numbers, parameter_axis, ticks
from .columns import Column, chosen
from .data import View
from .importance import fewest, importances
from .surface import FEWEST, Surface, surface
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
    figure_legend,
    finish,
    header,
    spread,
    tint,
    titled,
)

__all__ = ["contours", "pair_of"]

PARAMETERS = 3  # without names: the most important ones, of which each pair has a panel
MOST = 6  # with names
LEVELS = 10
PANEL, SINGLE = 2.6, 4.4  # inches


def contours(view: View, names: Sequence[str] | None = None) -> Figure:
    columns = plane(view, names)
    count = len(columns) - 1  # of rows, and of columns
    size = SINGLE if count == 1 else PANEL
    notes = view.notes()
    left_out = len(view.ended_columns) - len(columns)
    if names is None and left_out > 0:
        notes.append(f"{left_out} of {len(view.ended_columns)} parameters left out: params=[…] chooses others")
    pairs = [(row, across) for row in range(count) for across in range(row + 1)]
    surfaces = {(row, across): pair_of(view, columns[across], columns[row + 1]) for row, across in pairs}
    has_surface = any(surface is not None for surface in surfaces.values())
    if not has_surface:
        notes.append("all metrics are equal" if len(view.trials) >= FEWEST else "too few trials for a surface")
    figure = chart(size * count * 1.15 + 1.6, size * count, "Contours", header(view), notes, has_legend=True)
    grid = figure.subplots(count, count, squeeze=False)
    for row, across in itertools.product(range(count), range(count)):
        axes = grid[row, across]
        if across > row:
            axes.set_visible(False)
            continue
        x, y = columns[across], columns[row + 1]
        _panel(axes, view, x, y, surfaces[row, across])
        axes.set_xlabel(titled(x, size) if row == count - 1 else "")
        axes.set_ylabel(titled(y, size) if across == 0 else "")
        axes.tick_params(labelbottom=row == count - 1, labelleft=across == 0)
    if has_surface:
        _color_bar(figure, view, [axes for axes in grid.flat if axes.get_visible()])
    _legend_of(figure, view)
    return finish(figure)


def plane(view: View, names: Sequence[str] | None) -> list[Column]:
    """Columns of all ended trials whose pairs are drawn.

    Raises:
        InvalidArguments: there are not two parameters, or too many.
    """
    if names is not None:
        names = [names] if isinstance(names, str) else list(names)
        columns = chosen(view.ended_columns, names, "contour()", fewest=2)
        if len(columns) > MOST:
            raise InvalidArguments("contour()", [f"params has {len(columns)} names; at most {MOST} are drawn"])
        return columns
    columns = view.ended_columns
    varied = [column for column in columns if len(np.unique(column.values[column.present])) > 1]
    if len(columns) < 2:
        problem = (
            f"the trials have one parameter, {columns[0].name!r}, and contours need two; plots.slice(run) draws it"
        )
        raise InvalidArguments("contour()", [problem])
    candidates = varied if len(varied) >= 2 else columns
    return candidates if len(candidates) <= PARAMETERS else _most_important(view, candidates)


def _most_important(view: View, candidates: Sequence[Column]) -> list[Column]:
    """Most important parameters, in the order of the space; the first ones if the trials do not suffice."""
    kept = [column.name for column in candidates]
    if len(view.trials) >= fewest(len(view.columns)) and np.ptp(view.metrics) > 0:
        measured = importances(view.columns, view.metrics, forests=2)
        ranked = {view.columns[place].name for place in np.argsort(-measured.mean, kind="stable")[:PARAMETERS]}
        if not measured.is_chance and ranked <= set(kept):
            kept = [name for name in kept if name in ranked]
    return [column for column in candidates if column.name in kept[:PARAMETERS]]


def pair_of(view: View, x: Column, y: Column) -> Surface | None:
    """Surface of the metric's goodness over two columns of all ended trials."""
    values = np.full(len(view.ended), np.nan)
    values[view.places] = view.scale.unit(view.metrics)
    return surface(x, y, values)


def _panel(axes: Axes, view: View, x: Column, y: Column, smooth: Surface | None) -> None:
    dress(axes, grid="")
    both = x.present & y.present
    parameter_axis(axes, x, 4)
    parameter_axis(axes, y, 4, vertical=True)
    if smooth is not None:
        _fill(axes, view, smooth, "category" in (x.kind, y.kind))
    across = spread(x.values, 1) if x.kind == "category" else x.values
    along = spread(y.values, 2) if y.kind == "category" else y.values
    small = len(view.ended) > 200
    marks: dict[str, Any] = {"linestyle": "none", "markersize": 2.2 if small else 4,
                             "markeredgewidth": 0.3 if small else 0.7, "zorder": 3}  # fmt: skip
    stopped = view.places[view.stopped]
    for places, style in (
        (view.places[~view.stopped], {"marker": "o", "color": INK, "markeredgecolor": PAPER}),
        (stopped, {"marker": "o", "markerfacecolor": PAPER, "markeredgecolor": INK}),
        (view.lost, {"marker": "x", "color": FAILED, "markeredgewidth": 0.7 if small else 1.2}),
    ):
        here = places[both[places]]
        if len(here):
            axes.plot(across[here], along[here], **{**marks, **style})
    best = view.places[view.best]
    if both[best]:
        axes.plot([across[best]], [along[best]], "*", color=BEST, markersize=13, markeredgecolor=PAPER, zorder=5)
    if missing := int(np.sum(~both)):
        axes.text(1.0, 1.01, f"{missing} without both", transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5,
                  color=MUTED)  # fmt: skip


def _fill(axes: Axes, view: View, smooth: Surface, has_category: bool) -> None:
    """Filled contours; cells where an axis has categories, between which nothing is."""
    colors, norm = _colors(view)
    if has_category:
        axes.pcolormesh(smooth.x, smooth.y, smooth.values, shading="nearest", cmap=colors, norm=norm, zorder=1,
                        edgecolors="none", rasterized=True)  # fmt: skip
        return
    levels = np.linspace(0.0, 1.0, LEVELS + 1)
    axes.contourf(smooth.x, smooth.y, smooth.values, levels=levels, cmap=colors, norm=norm, zorder=1, extend="both")
    axes.contour(smooth.x, smooth.y, smooth.values, levels=levels, colors=PAPER, linewidths=0.5, alpha=0.6, zorder=2)


def _colors(view: View) -> tuple[Colormap, Normalize]:
    """Colour map of fractions of the metric's axis, dark where it is good."""
    colors = tint() if view.direction is Direction.MAX else tint().reversed()
    return colors, BoundaryNorm(np.linspace(0.0, 1.0, LEVELS + 1), 256)


def _color_bar(figure: Chart, view: View, panels: Sequence[Axes]) -> None:
    colors, norm = _colors(view)
    bar = figure.colorbar(ScalarMappable(norm, colors), ax=list(panels), pad=0.02, aspect=30, fraction=0.06)
    at = ticks(view.scale.low, view.scale.high, view.scale.log, 6)
    bar.set_ticks(list(view.scale.unit(np.array(at))), labels=numbers(at))
    bar.outline.set_visible(False)
    bar.minorticks_off()
    bar.ax.tick_params(colors=MUTED, labelsize=8.5, length=0)
    bar.set_label(view.metric_label, fontsize=9.5, color=INK)


def _legend_of(figure: Chart, view: View) -> None:
    entries = [Line2D([], [], marker="o", color=INK, markersize=4, linestyle="none", label="trial")]
    if view.stopped.any():
        entries.append(Line2D([], [], marker="o", markerfacecolor=PAPER, markeredgecolor=INK, markersize=4,
                              linestyle="none", label="stopped early"))  # fmt: skip
    if len(view.lost):
        entries.append(Line2D([], [], marker="x", color=FAILED, markersize=4, linestyle="none", label=view.lost_as))
    entries.append(Line2D([], [], marker="*", color=BEST, markersize=11, markeredgecolor=PAPER, linestyle="none",
                          label=best_label(view.trials[view.best])))  # fmt: skip
    figure_legend(figure, entries)
