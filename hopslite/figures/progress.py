"""Figures over time: best metric so far, and reports step by step."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..core.types import Direction, State
from ..result import Run, Trial
from .axes import metric_axis, time_axis, whole_numbers
from .columns import Floats, counted, label, scale_of
from .data import View
from .theme import BEST, DOT, FAILED, PAPER, best_label, chart, dress, fade, finish, header, lead, legend

__all__ = ["ORDER", "TIME", "best_so_far", "positions", "reports", "thinned"]

WIDTH, HEIGHT = 8.4, 4.1
CURVE_POINTS = 400  # of one trial: a figure has no more pixels
ENDS = 200  # up to so many trials the ends of stopped ones are marked


TIME, ORDER = "time since the run began", "trials, in the order in which they ended"


def positions(view: View, by_time: bool) -> dict[str, float]:
    """Horizontal positions of the ended trials: seconds since the run began, or numbers from 1."""
    began = _began(view)
    return {trial.id: _seconds(trial, began) if by_time else float(at + 1) for at, trial in enumerate(view.ended)}


def best_so_far(view: View, by_time: bool) -> Figure:
    at = positions(view, by_time)
    x = np.array([at[trial.id] for trial in view.trials])
    notes = view.notes()
    figure = chart(WIDTH, HEIGHT, "Best so far", header(view), notes)
    axes = figure.add_subplot()
    dress(axes, TIME if by_time else ORDER, view.metric_label)
    metric_axis(axes, view.scale)
    y = view.scale.on(view.metrics)
    size, opaque = (34, 0.75) if len(x) <= 100 else (16, fade(len(x), 0.3))
    whole = ~view.stopped
    if whole.any():
        axes.scatter(x[whole], y[whole], s=size, color=DOT, alpha=opaque, linewidths=0, label="finished", zorder=2)
    if view.stopped.any():
        axes.scatter(x[~whole], y[~whole], s=size, facecolors="none", edgecolors=DOT, alpha=min(1.0, opaque + 0.2),
                     linewidths=1.1, label="stopped early", zorder=2)  # fmt: skip
    _mark_failed(axes, view, at)
    last = max(at.values())
    axes.step([*x, last], view.scale.on(np.append(view.so_far(), view.so_far()[-1])), where="post", color=BEST,
              linewidth=2.0, label="best so far", zorder=3)  # fmt: skip
    axes.plot([x[view.best]], [y[view.best]], "*", color=BEST, markersize=15, markeredgecolor=PAPER,
              markeredgewidth=1.0, linestyle="none", label=best_label(view.trials[view.best]), zorder=4)  # fmt: skip
    if by_time:
        time_axis(axes, last)
    else:
        axes.set_xlim(1 - max(0.5, 0.02 * last), last + max(0.5, 0.02 * last))
        axes.xaxis.set_major_locator(whole_numbers(last, 10))
    legend(axes)
    return finish(figure)


def _mark_failed(axes: Axes, view: View, at: Mapping[str, float]) -> None:
    """Mark trials without a metric at the edge where bad metrics are."""
    lost = [view.ended[place] for place in view.lost]
    if lost:
        edge = 0.0 if view.direction is Direction.MAX else 1.0
        size, line = (6, 1.4) if len(lost) <= 50 else (4, 1.0)
        axes.plot([at[trial.id] for trial in lost], [edge] * len(lost), "x", color=FAILED, markersize=size,
                  markeredgewidth=line, alpha=max(0.4, fade(len(lost))), transform=axes.get_xaxis_transform(),
                  clip_on=False, zorder=5, label=view.lost_as)  # fmt: skip


def _began(view: View) -> float:
    starts = [trial.started_at for trial in view.ended if trial.started_at is not None]
    first = min(starts, default=0.0)
    started = view.run.started
    return min(first, started.astimezone(datetime.timezone.utc).timestamp()) if started and starts else first


def _seconds(trial: Trial, began: float) -> float:
    if trial.started_at is None:
        return 0.0
    return max(0.0, trial.started_at + (trial.duration or 0.0) - began)


def reports(
    run: Run, curves: Mapping[str, tuple[Floats, Floats]], chosen: Sequence[str] | None, metric: str | None
) -> Figure:
    """Figure of reports: `curves` has finite steps and values of a metric by trial, `chosen` the requested trials."""
    best = run._best.id if run._best and run._best.id in curves else None
    direction = run.direction if metric == run.optimization_key else None
    scale = scale_of(np.concatenate([values for _, values in curves.values()]), direction)
    about = [*lead(run.name, run.version, run.verb), f"{counted(len(curves), 'trial')} with reports"]
    if chosen is not None:
        about.append(f"of {len(run.trials)}")
    notes = [f"{scale.outside} values that are far worse than the others are drawn at the edge"] * (scale.outside > 0)
    figure = chart(WIDTH, HEIGHT, "Reported values", " · ".join(about), notes)
    axes = figure.add_subplot()
    dress(axes, "step", label(metric or "reported value") + " (log)" * scale.log)
    metric_axis(axes, scale)
    lines = {trial: thinned(steps, scale.on(values)) for trial, (steps, values) in curves.items()}
    rest = [line for trial, line in lines.items() if trial != best]
    opaque = float(np.clip(30 / max(len(rest), 1), 0.02, 0.8))  # less than points: lines cover more
    if rest:
        width = 1.3 if len(rest) <= 60 else 0.8
        axes.add_collection(LineCollection(rest, colors=DOT, linewidths=width, alpha=opaque, zorder=2), autolim=False)
        single = np.array([line[0] for line in rest if len(line) == 1])
        if len(single):
            axes.scatter(single[:, 0], single[:, 1], s=14, color=DOT, alpha=opaque, linewidths=0, zorder=2)
    stopped = [t.id for t in run.trials if t.state is State.STOPPED and t.id in lines and t.id != best]
    if stopped and len(stopped) <= ENDS:
        ends = np.array([lines[trial][-1] for trial in stopped])
        axes.scatter(ends[:, 0], ends[:, 1], s=16, facecolors=PAPER, edgecolors=DOT, linewidths=1.0,
                     alpha=max(0.5, opaque), zorder=2.5)  # fmt: skip
    if best is not None:
        line = lines[best]
        axes.plot(line[:, 0], line[:, 1], color=PAPER, linewidth=4.5, zorder=3)
        axes.plot(line[:, 0], line[:, 1], color=BEST, linewidth=2.2, zorder=4,
                  marker="o" if len(line) <= 30 else None, markersize=4)  # fmt: skip
    _steps_axis(axes, lines)
    _legend_of(axes, run, len(rest), best, bool(stopped) and len(stopped) <= ENDS)
    return finish(figure)


def _legend_of(axes: Axes, run: Run, rest: int, best: str | None, stopped: bool) -> None:
    """Legend with lines of its own, since the plotted ones are too faint to be recognised."""
    others = counted(rest, "other trial" if best is not None else "trial")
    entries = [(Line2D([], [], color=DOT, linewidth=1.4), others)] if rest else []
    if stopped:
        mark = Line2D([], [], marker="o", markerfacecolor=PAPER, markeredgecolor=DOT, markersize=5, linestyle="none")
        entries.append((mark, "stopped early"))
    if best is not None and run._best is not None:
        entries.append((Line2D([], [], color=BEST, linewidth=2.2), best_label(run._best)))
    for handle, text in entries:
        handle.set_label(text)
    legend(axes, handles=[handle for handle, _ in entries])


def thinned(steps: Floats, values: Floats, most: int = CURVE_POINTS) -> Floats:
    """Thinned points of a line, with the last one."""
    every = -(-len(steps) // most)
    kept = np.unique(np.append(np.arange(0, len(steps), every), len(steps) - 1))
    return np.column_stack([steps[kept], values[kept]])


def _steps_axis(axes: Axes, lines: Mapping[str, Floats]) -> None:
    ends = [(line[0, 0], line[-1, 0]) for line in lines.values()]
    low, high = min(first for first, _ in ends), max(last for _, last in ends)
    room = 0.02 * (high - low) or 0.5
    axes.set_xlim(low - room, high + room)
    whole = all(float(step).is_integer() for line in lines.values() for step in (line[0, 0], line[-1, 0]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=whole, steps=[1, 2, 5, 10]))
