"""Figure of several metrics: the trials, and the Pareto front between which the user has to choose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.objectives import Objective
from ..core.types import Direction, State
from ..result import Run, Trial
from .axes import metric_axis, value_axis
from .columns import Floats, counted, label, scale_of, within
from .theme import BEST, DOT, PAPER, chart, dress, fade, finish, lay_out, lead, legend

__all__ = ["front_of", "pareto_front", "titled_objective", "values_of"]

WIDTH, HEIGHT, PANEL_HEIGHT = 8.4, 4.4, 3.0
NAMED = 12  # up to so many trials of the front have their ids beside them


def pareto_front(run: Run, objectives: Sequence[Objective]) -> Figure:
    """A panel for each pair of metrics; a single pair has the border of what the front dominates."""
    trials, marked = front_of(run)
    pairs = list(itertools.combinations(objectives, 2))
    rows, across, width = lay_out(len(pairs), 3, WIDTH)
    about = [
        *lead(run.name, run.version, run.verb),
        f"{int(marked.sum())} of {counted(len(trials), 'trial')} on the front",
    ]
    single = len(pairs) == 1
    height = HEIGHT if single else PANEL_HEIGHT * rows
    figure = chart(max(6.0, width * across), height, "Pareto front", " · ".join(about))
    for number, pair in enumerate(pairs):
        axes = figure.add_subplot(rows, across, number + 1)
        _panel(axes, pair, trials, marked, 8 if single else 4)
        if single:
            _border(axes, pair, trials, marked)
            legend(axes)
    return finish(figure)


def front_of(run: Run) -> tuple[list[Trial], npt.NDArray[np.bool_]]:
    """Trials with metrics, and which of them are on the front."""
    trials = [trial for trial in run.trials if trial.state is State.FINISHED and trial.metrics is not None]
    return trials, np.isin([trial.id for trial in trials], [trial.id for trial in run.pareto_trials])


def _panel(
    axes: Axes,
    pair: tuple[Objective, Objective],
    trials: Sequence[Trial],
    marked: npt.NDArray[np.bool_],
    most_ticks: int,
) -> None:
    x, y = (values_of(trials, objective) for objective in pair)
    scales = scale_of(x), scale_of(y)
    dress(axes, titled_objective(pair[0], scales[0].log), titled_objective(pair[1], scales[1].log), grid="both")
    value_axis(axes, scales[0], most_ticks)
    metric_axis(axes, scales[1])
    axes.scatter(x[~marked], y[~marked], s=30 if len(x) <= 200 else 12, color=DOT, alpha=fade(len(x), 0.3),
                 linewidths=0, label="other trials", zorder=2)  # fmt: skip
    axes.scatter(x[marked], y[marked], s=56, color=BEST, edgecolors=PAPER, linewidths=1.0, label="Pareto front",
                 zorder=4, clip_on=False)  # fmt: skip


def _border(
    axes: Axes, pair: tuple[Objective, Objective], trials: Sequence[Trial], marked: npt.NDArray[np.bool_]
) -> None:
    x, y = (values_of(trials, objective)[marked] for objective in pair)
    order = np.argsort(x, kind="stable")
    style = "steps-pre" if pair[0].direction is Direction.MAX else "steps-post"
    axes.plot(x[order], y[order], color=BEST, linewidth=1.4, alpha=0.7, drawstyle=style, zorder=3)
    chosen = [trial.id for trial, here in zip(trials, marked, strict=True) if here]
    for name, *place in zip(chosen, x, y, strict=True) if len(chosen) <= NAMED else ():
        axes.annotate(name, (place[0], place[1]), xytext=(6, 5), textcoords="offset points", fontsize=8)


def titled_objective(objective: Objective, is_log: bool) -> str:
    towards = "higher" if objective.direction is Direction.MAX else "lower"
    return f"{label(objective.name)}{' (log)' * is_log}, {towards} is better"


def values_of(trials: Sequence[Trial], objective: Objective) -> Floats:
    return within(np.array([(trial.metrics or {})[objective.name] for trial in trials], dtype=np.float64))
