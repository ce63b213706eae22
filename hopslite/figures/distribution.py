"""Figure of empirical distribution functions: the share of trials up to each metric, of one run or several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..errors import InvalidArguments
from .axes import value_axis
from .columns import counted, label, scale_of
from .data import View
from .theme import BEST, PALETTE, PAPER, chart, dress, finish, header, legend

__all__ = ["RUNS", "distributions", "named", "together"]

WIDTH, HEIGHT = 8.4, 4.1
RUNS = len(PALETTE) - 1  # at most; the last colour but one is that of the best trial
COLORS = tuple(color for color in PALETTE if color != BEST)
DASHES = ("-", "--", "-.", ":")


def distributions(views: Sequence[View]) -> Figure:
    together(views)
    scale = scale_of(np.concatenate([view.metrics for view in views]), views[0].direction)
    notes = [note for view in views for note in view.notes() if "drawn at the edge" not in note]
    if scale.outside:
        notes.append(f"{counted(scale.outside, 'trial')} that are far worse than the others lie beyond the edge")
    about = (
        header(views[0]) if len(views) == 1 else " · ".join([f"{len(views)} runs", *header(views[0]).split(" · ")[2:3]])
    )
    figure = chart(WIDTH, HEIGHT, "Distribution of the metric", about, list(dict.fromkeys(notes)))
    axes = figure.add_subplot()
    dress(axes, views[0].metric + " (log)" * scale.log, "trials with at most this metric")
    value_axis(axes, scale)
    low, high = axes.get_xlim()
    for number, view in enumerate(views):
        values = np.sort(view.metrics)
        shares = np.arange(1, len(values) + 1) / len(values)
        color = COLORS[number % len(COLORS)]
        axes.step([low, *values, max(high, values[-1])], [0.0, *shares, 1.0], where="post", color=color, linewidth=2.0,
                  linestyle=DASHES[number % len(DASHES)], label=named(view), zorder=2)  # fmt: skip
        best = view.metrics[view.best]
        height = float(np.searchsorted(values, best, side="right")) / len(values)
        axes.plot([best], [height], "*", color=color, markersize=12, markeredgecolor=PAPER, zorder=3)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.02, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axes, columns=2 if len(views) > 1 else 1)
    return finish(figure)


def named(view: View) -> str:
    """Legend entry of a run; the star at its line is the best trial."""
    lost = f", {view.lost_as.replace('(', '').rstrip(')')}" if len(view.lost) else ""
    return f"{label(view.run.name)} version {view.run.version}: {counted(len(view.trials), 'trial')}{lost}"


def together(views: Sequence[View]) -> None:
    """Check that runs can be compared.

    Raises:
        InvalidArguments: they have other metrics or directions, or they are too many.
    """
    metrics = {(view.metric, str(view.direction).lower()) for view in views}
    if len(metrics) > 1:
        shown = ", ".join(
            f"{named(view).partition(':')[0]} has {view.metric} ({view.direction.lower()})" for view in views
        )
        raise InvalidArguments("edf()", [f"runs must have one metric and direction to be compared; {shown}"])
    if len(views) > RUNS:
        raise InvalidArguments("edf()", [f"at most {RUNS} runs are drawn, given {len(views)}"])
