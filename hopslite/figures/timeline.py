"""Figure of a timeline: which slot ran which trial from when to when, and how each attempt ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ..result import Run
from ..runs.attempts import Attempts, Outcome
from .axes import time_axis
from .columns import counted
from .lanes import Bar, Lane, lanes_of
from .theme import BEST, INK, PAPER, best_label, chart, drawable, dress, figure_legend, finish, fit, lead

__all__ = ["COLORS", "busy_share", "timeline"]

WIDTH, LANE = 9.6, 0.3
LOWEST, HIGHEST = 0.5, 9.0  # inches of all lanes
NAMED = 40  # lanes at most that all have their name
ROOM = 0.4  # inches that a bar needs for its trial's id

COLORS: dict[Outcome, str] = {
    "finished": "#0072b2",
    "stopped": "#56b4e9",
    "failed": "#82071e",
    "retried": "#e69f00",
    "killed": "#777777",
    "cut off": "#777777",
    "running": "#b7dcc9",
}
LABELS: dict[Outcome, str] = {
    "stopped": "stopped early",
    "retried": "failed, tried again",
    "cut off": "driver ended",
}
DARK = ("finished", "failed", "killed", "cut off")  # bars whose text is light


def timeline(run: Run, read: Attempts) -> Figure:
    lanes, bars = lanes_of(read.attempts)
    began = min(read.began or read.attempts[0].begin, read.attempts[0].begin)
    last = max(attempt.end for attempt in read.attempts) - began
    is_gang = any(bar.rows > 1 for bar in bars)
    about = [*lead(run.name, run.version, run.verb), counted(len({bar.attempt.trial for bar in bars}), "trial")]
    about.append(counted(len({bar.row for bar in bars}), "gang") if is_gang else counted(len(lanes), "slot"))
    about.append(f"{100 * busy_share(lanes, bars):.0f} % busy from the first start to the last end")
    notes = ["times are those of the driver"]
    if read.resumed:
        notes.append(f"dashed lines: the run was resumed ({counted(len(read.resumed), 'time')})")
    height = float(np.clip(LANE * len(lanes), LOWEST, HIGHEST))
    figure = chart(WIDTH, height + 0.5, "Timeline", " · ".join(about), notes, has_legend=True)
    axes = figure.add_subplot()
    dress(axes, "time since the run began", grid="x")
    time_axis(axes, last)
    _lane_axis(axes, lanes)
    _bars(axes, bars, began, height / len(lanes))
    _texts(axes, bars, began, last, height / len(lanes))
    for moment in read.resumed:
        axes.axvline(moment - began, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=4)
    starred = {trial.id for trial in run._chosen}
    ends = {bar.attempt.trial: bar for bar in bars if bar.attempt.trial in starred}  # the last attempt of each
    if ends:
        x = [(bar.attempt.begin + bar.attempt.end) / 2 - began for bar in ends.values()]
        axes.plot(x, [bar.row + (bar.rows - 1) / 2 for bar in ends.values()], "*", color=BEST, markersize=12,
                  markeredgecolor=PAPER, linestyle="none", zorder=6)  # fmt: skip
    best = "Pareto front" if run.objectives else best_label(run._chosen[0]) if ends else None
    _legend_of(figure, bars, best if ends else None)
    return finish(figure)


def busy_share(lanes: Sequence[Lane], bars: Sequence[Bar]) -> float:
    """Share of the time of all lanes, from the first start to the last end, in which something ran."""
    first, last = min(bar.attempt.begin for bar in bars), max(bar.attempt.end for bar in bars)
    worked = sum(bar.attempt.seconds * bar.rows for bar in bars)
    return min(1.0, worked / ((last - first) * len(lanes))) if last > first else 1.0


def _lane_axis(axes: Axes, lanes: Sequence[Lane]) -> None:
    every = -(-len(lanes) // NAMED)
    has_hosts = len({lane.host for lane in lanes}) > 1
    names = [f"{lane.name} ({lane.host})" if has_hosts and lane.host else lane.name for lane in lanes]
    places = range(0, len(lanes), every)
    axes.set_yticks(places, [drawable(fit(names[place], 2.2, 8.5, bold=False)) for place in places])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)


def _bars(axes: Axes, bars: Sequence[Bar], began: float, lane: float) -> None:
    for outcome, color in COLORS.items():
        patches = [
            Rectangle((bar.attempt.begin - began, bar.row - 0.4), bar.attempt.seconds, bar.rows - 0.2)
            for bar in bars
            if bar.attempt.outcome == outcome
        ]
        hatch = "////" if outcome == "cut off" else None
        thin = 0.6 if lane > 0.15 and len(bars) <= 500 else 0.2
        axes.add_collection(PatchCollection(patches, facecolor=color, edgecolor=PAPER, linewidth=thin, hatch=hatch,
                                            zorder=2), autolim=False)  # fmt: skip


def _texts(axes: Axes, bars: Sequence[Bar], began: float, last: float, lane: float) -> None:
    """Ids of trials, in the bars that have room for them."""
    width = (WIDTH - 2.0) / max(last, 1e-9)  # inches of a second
    if lane < 0.14:
        return
    for bar in bars:
        attempt = bar.attempt
        if attempt.seconds * width >= ROOM:
            color = PAPER if attempt.outcome in DARK else INK
            text = attempt.trial + f" ({attempt.number + 1})" * (attempt.number > 0 and attempt.seconds * width > 0.7)
            axes.text(attempt.begin - began + 0.05 / width, bar.row + (bar.rows - 1) / 2, text, color=color, fontsize=7,
                      va="center", ha="left", clip_on=True, zorder=5)  # fmt: skip


def _legend_of(figure: Figure, bars: Sequence[Bar], best: str | None) -> None:
    seen = {bar.attempt.outcome for bar in bars}
    entries: list[Patch | Line2D] = [
        Patch(facecolor=color, edgecolor=PAPER, hatch="////" if outcome == "cut off" else None,
              label=LABELS.get(outcome, outcome))
        for outcome, color in COLORS.items() if outcome in seen
    ]  # fmt: skip
    if best is not None:
        entries.append(Line2D([], [], marker="*", color=BEST, markersize=11, markeredgecolor=PAPER, linestyle="none",
                              label=best))  # fmt: skip
    figure_legend(figure, entries)
