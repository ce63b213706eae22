"""Figures of single parameters: each against the metric, and how much each one matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._trial import State
from .forest import FORESTS, Importance, fewest, importances
from .style import (
    BEST,
    DOT,
    INK,
    MUTED,
    PAPER,
    chart,
    drawable,
    dress,
    fade,
    finish,
    fit,
    header,
    lay_out,
    metric_axis,
    parameter_axis,
    spread,
    titled,
)
from .view import Column, Floats, View, counted, label

__all__ = ["importance", "parameters"]

PANELS, BARS = 24, 25  # parameters at most
WIDTH, PANEL_HEIGHT = 9.6, 2.5


def parameters(view: View) -> Figure:
    columns = view.columns[:PANELS]
    rows, across, width = lay_out(len(columns), 3, WIDTH)
    width = min(width, 4.8)
    notes = view.notes()
    if left_out := len(view.columns) - len(columns):
        notes.append(f"{left_out} of {len(view.columns)} parameters left out")
    if any(column.kind == "category" for column in columns):
        notes.append("bars are the medians of categories")
    figure = chart(max(6.0, width * across), PANEL_HEIGHT * rows, "Parameters and metric", header(view), notes)
    grid = figure.subplots(rows, across, sharey=True, squeeze=False)
    for number, axes in enumerate(grid.flat):
        if number >= len(columns):
            axes.set_visible(False)
            continue
        _panel(axes, view, columns[number], number, width)
        axes.set_ylabel(view.metric_label if number % across == 0 else "")
    return finish(figure)


def _panel(axes: Axes, view: View, column: Column, number: int, width: float) -> None:
    title = titled(column, width - (1.4 if column.missing else 0.5))
    dress(axes, title=title)
    metric_axis(axes, view.scale, 5)
    parameter_axis(axes, column)
    if not column.present.any():
        return
    x = _apart(column, number)
    y = view.scale.on(view.metrics)
    count = len(x)
    size = 22 if count <= 200 else 8
    for here, hollow in ((column.present & ~view.stopped, False), (column.present & view.stopped, True)):
        if here.any():
            faces: dict[str, Any] = {"facecolors": "none" if hollow else DOT, "edgecolors": DOT}
            axes.scatter(x[here], y[here], s=size, alpha=fade(count, 0.15), linewidths=1.0 if hollow else 0,
                         zorder=2, rasterized=count > 500, **faces)  # fmt: skip
    if column.kind == "category":
        for place in range(len(column.labels)):
            here = column.values == place
            if here.any():
                middle = float(np.median(y[here]))
                axes.plot([place - 0.36, place + 0.36], [middle] * 2, color=INK, linewidth=1.6, zorder=3,
                          solid_capstyle="butt")  # fmt: skip
    if column.present[view.best]:
        axes.plot([x[view.best]], [y[view.best]], "*", color=BEST, markersize=13, markeredgecolor=PAPER, zorder=4)
    if column.missing:
        axes.text(1.0, 1.02, f"{column.missing} without it", transform=axes.transAxes, ha="right", va="bottom",
                  fontsize=7.5, color=MUTED)  # fmt: skip


def _apart(column: Column, seed: int) -> Floats:
    """Where points are drawn that would hide each other: categories, and numbers of which there are few."""
    if column.kind == "category":
        return spread(column.values, seed)
    if len(column.listed) < 2 or np.sum(column.present) <= len(column.listed):
        return column.values
    values = np.log(column.values) if column.kind == "log" else column.values
    listed = np.log(column.listed) if column.kind == "log" else np.array(column.listed)
    moved = spread(values, seed, 0.04 * float(np.diff(listed).min()))
    return np.exp(moved) if column.kind == "log" else moved


def importance(view: View) -> Figure:
    """Bars; or, where the trials say nothing, a figure that says so."""
    columns, needed = view.columns, fewest(len(view.columns))
    notes = view.notes()
    if len(view.trials) < needed:
        why = f"{counted(len(view.trials), 'trial')} with a metric: too few to say anything.\n"
        why += f"For {counted(len(columns), 'parameter')} at least {needed} are needed."
        return _said(view, why, notes)
    if np.ptp(view.metrics) == 0:
        return _said(view, "all metrics are equal: nothing can matter", notes)
    found = importances(columns, view.metrics)
    order = np.argsort(-found.mean, kind="stable")[:BARS]
    if left_out := len(columns) - len(order):
        notes.append(f"the {left_out} least important parameters left out")
    notes[:0] = [
        "how much worse a random forest predicts the rank of trials that it has not seen when one parameter is "
        f"shuffled; whiskers: the spread over {FORESTS} forests",
        _worth(found),
    ]
    if any(trial.state is State.STOPPED for trial in view.trials):
        notes.append("trials that were stopped early count with what they had reached")
    figure = chart(8.0, 0.9 + 0.36 * len(order), "Importance of parameters", header(view), notes)
    axes = figure.add_subplot()
    dress(axes, "share of the metric's variance", grid="x")
    _bars(axes, found, order, [fit(label(columns[place].name, 60), 2.4, bold=False) for place in order])
    return finish(figure)


def _worth(found: Importance) -> str:
    if found.explained <= 0:
        return "together the parameters explain nothing of the metric here, so the bars say little"
    return f"together the parameters explain {100 * found.explained:.0f} % of the variance"


def _bars(axes: Axes, found: Importance, order: npt.NDArray[np.intp], names: list[str]) -> None:
    mean, deviation = found.mean[order], found.deviation[order]
    places = np.arange(len(order))
    axes.barh(
        places, mean, height=0.62, color=DOT if found.explained > 0 else "#b6bec7", alpha=0.85, linewidth=0, zorder=2
    )
    axes.errorbar(mean, places, xerr=deviation, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3, zorder=3)
    axes.set_yticks(places, [drawable(name) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=MUTED, linewidth=0.9, zorder=4)
    low, high = float(min(0.0, (mean - deviation).min())), float((mean + deviation).max())
    axes.set_xlim(min(low * 1.05, -0.01 * max(high, 0.1)), max(high * 1.12, 0.05))
    for place, value, whisker in zip(places, mean, deviation, strict=True):
        text = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")
        axes.annotate(text, (max(value + whisker, 0.0), place), (5, 0), textcoords="offset points", va="center",
                      fontsize=8.5, color=MUTED)  # fmt: skip


def _said(view: View, text: str, notes: list[str]) -> Figure:
    figure = chart(8.0, 1.4, "Importance of parameters", header(view), notes)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=MUTED)
    return finish(figure)
