"""Figure of differential evolution, generation by generation."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core import formatting
from ..errors import InvalidArguments
from .axes import metric_axis, whole_numbers
from .columns import Column, Floats
from .data import View
from .theme import (
    BEST,
    DOT,
    INK,
    MUTED,
    PALETTE,
    PAPER,
    chart,
    drawable,
    dress,
    fade,
    finish,
    header,
    lay_out,
    legend,
    spread,
    titled,
)

__all__ = ["PANELS", "generations", "generations_of"]

WIDTH, TOP_HEIGHT, PANEL_HEIGHT = 9.6, 2.9, 2.2
PANELS = 18
SHARES = 6  # categories that are told apart


def generations_of(view: View, where: str) -> View:
    """The view of the trials that have a generation.

    Raises:
        InvalidArguments: there are none.
    """
    view = dataclasses.replace(view, ended=tuple(trial for trial in view.ended if trial.generation is not None))
    if not view.trials:
        raise InvalidArguments(
            where,
            [f"the trials of a run of {view.run.verb} have no generations; those of differential_evolution and of "
             'search(…, algorithm="differential_evolution") do'],
        )  # fmt: skip
    return view


def generations(view: View, where: str) -> Figure:
    view = generations_of(view, where)
    at = np.array([trial.generation for trial in view.trials], dtype=np.float64)
    columns = view.columns[:PANELS]
    rows, across, width = lay_out(len(columns), 3, WIDTH)
    notes = view.notes()
    if left_out := len(view.columns) - len(columns):
        notes.append(f"{left_out} of {len(view.columns)} parameters left out")
    if any(column.kind != "category" for column in columns):
        notes.append("lines are medians, the bands hold the middle 80 % of a generation")
    height = TOP_HEIGHT + PANEL_HEIGHT * rows
    figure = chart(WIDTH, height, "Generation by generation", header(view), notes)
    grid = figure.add_gridspec(1 + rows, across, height_ratios=[TOP_HEIGHT, *[PANEL_HEIGHT] * rows])
    _metrics(figure.add_subplot(grid[0, :]), view, at)
    for number, column in enumerate(columns):
        axes = figure.add_subplot(grid[1 + number // across, number % across])
        _parameter(axes, column, at, number, width)
    return finish(figure)


def _metrics(axes: Axes, view: View, at: Floats) -> None:
    dress(axes, "generation", view.metric_label)
    metric_axis(axes, view.scale)
    _generation_axis(axes, at, 20)
    x, y = spread(at, 0, 0.16), view.scale.on(view.metrics)
    axes.scatter(x, y, s=24 if len(x) <= 300 else 9, color=DOT, alpha=fade(len(x), 0.2), linewidths=0, label="trial",
                 zorder=2)  # fmt: skip
    steps = np.unique(at)
    choose = np.max if view.direction == "MAX" else np.min
    running = np.maximum if view.direction == "MAX" else np.minimum
    own = np.array([choose(y[at == step]) for step in steps])
    axes.plot(steps, np.array([np.median(y[at == step]) for step in steps]), "_", color=INK, markersize=16,
              markeredgewidth=1.8, linestyle="none", label="median", zorder=3)  # fmt: skip
    axes.plot(steps, running.accumulate(own), color=BEST, linewidth=2.0, marker="o", markersize=5,
              markeredgecolor=PAPER, label="best so far", zorder=4)  # fmt: skip
    legend(axes)


def _generation_axis(axes: Axes, at: Floats, most: int) -> None:
    axes.set_xlim(at.min() - 0.5, at.max() + 0.5)
    axes.xaxis.set_major_locator(whole_numbers(float(np.ptp(at)), most))


def _parameter(axes: Axes, column: Column, at: Floats, number: int, width: float) -> None:
    title = titled(column, width - (1.4 if column.missing else 0.6))
    dress(axes, "generation", title=title, grid="" if column.kind == "category" else "y")
    _generation_axis(axes, at, 8)
    if column.kind == "category":
        _shares(axes, column, at)
        return
    metric_axis(axes, column.scale, 5)
    here = column.present
    axes.scatter(spread(at[here], number, 0.16), column.values[here], s=12 if here.sum() <= 300 else 6, color=DOT,
                 alpha=fade(int(here.sum()), 0.15), linewidths=0, zorder=2)  # fmt: skip
    steps = np.unique(at[here])
    low, middle, high = np.array([np.quantile(column.values[here & (at == s)], (0.1, 0.5, 0.9)) for s in steps]).T
    axes.fill_between(steps, low, high, color=DOT, alpha=0.14, linewidth=0, zorder=1)
    axes.plot(steps, middle, color=DOT, linewidth=1.8, marker="o" if len(steps) == 1 else None, zorder=3)
    if column.missing:
        axes.text(1.0, 1.02, f"{column.missing} without it", transform=axes.transAxes, ha="right", va="bottom",
                  fontsize=7.5, color=MUTED)  # fmt: skip


def _shares(axes: Axes, column: Column, at: Floats) -> None:
    """Share of each value in each generation."""
    steps = np.unique(at)
    counts = np.array([[np.sum((at == s) & (column.values == place)) for s in steps]
                       for place in range(len(column.labels))], dtype=np.float64)  # fmt: skip
    names = [formatting.cut(name, 14) for name in column.labels]
    if len(names) > SHARES:
        order = np.argsort(-counts.sum(axis=1), kind="stable")
        order = order[order != len(names) - 1] if column.others else order
        common = order[: SHARES - 1]
        rest = counts.sum(axis=0) - counts[common].sum(axis=0)
        counts, names = np.vstack([counts[common], rest]), [*(names[place] for place in common), "others"]
    if column.missing:
        counts = np.vstack([counts, [np.sum((at == s) & ~column.present) for s in steps]])
        names.append("not set")
    total = np.maximum(counts.sum(axis=0), 1)
    base = np.zeros(len(steps))
    for place, name in enumerate(names):
        share = counts[place] / total
        plain = place >= SHARES - 1 or (column.missing > 0 and place == len(names) - 1)
        colour = "#d0d7de" if plain else PALETTE[place]
        axes.bar(steps, share, bottom=base, width=0.82, color=colour, alpha=0.85, linewidth=0, label=drawable(name),
                 hatch="///" if name == "not set" and plain else None, edgecolor=PAPER)  # fmt: skip
        base += share
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    across = max(1, min(4, int(30 / max(map(len, names)))))
    axes.set_title(axes.get_title(loc="left"), loc="left", pad=8 + 12 * -(-len(names) // across), fontsize=9.5,
                   color=INK, fontweight="bold")  # fmt: skip
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=across, frameon=False, fontsize=7.5,
                labelcolor=INK, handlelength=0.9, handleheight=0.9, borderaxespad=0.2, columnspacing=1.0,
                handletextpad=0.4, labelspacing=0.3)  # fmt: skip
