"""Figure of the importance of parameters."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.types import State
from .columns import counted, label
from .data import View
from .importance import FORESTS, Importance, fewest, importances
from .theme import DOT, INK, MUTED, chart, drawable, dress, finish, fit, header

__all__ = ["Estimate", "SHARE", "TITLE", "estimate", "importance"]

BARS = 25  # parameters at most
TITLE = "Importance of parameters"
SHARE = "explained share of the variance of the metric's ranks"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Importances with the indices of the most important parameters in order; without an estimate `problem` says why.

    `notes` are what a figure says below.
    """

    measured: Importance | None
    order: npt.NDArray[np.intp]
    notes: list[str]
    problem: str = ""


def estimate(view: View) -> Estimate:
    """Importances of a view's parameters, as far as its trials allow an estimate."""
    columns, needed = view.columns, fewest(len(view.columns))
    notes = view.notes()
    nothing = functools.partial(Estimate, None, np.array([], dtype=np.intp), notes)
    if len(view.trials) < needed:
        why = f"{counted(len(view.trials), 'trial')} with a metric: too few to say anything.\n"
        why += f"For {counted(len(columns), 'parameter')} at least {needed} are needed."
        return nothing(why)
    if np.ptp(view.metrics) == 0:
        return nothing("all metrics are equal: nothing can matter")
    measured = importances(columns, view.metrics)
    if measured.is_chance:
        why = "The trials do not suffice: from the parameters, a random forest predicts\n"
        why += "the metric of trials that it has not seen no better than chance would."
        return nothing(why)
    order = np.argsort(-measured.mean, kind="stable")[:BARS]
    if left_out := len(columns) - len(order):
        notes.append(f"the {left_out} least important parameters left out")
    notes[:0] = [
        f"together the parameters explain {100 * measured.explained:.0f} % of the variance of the ranks of trials that "
        "a random forest has not seen; bars are the shares of each (Shapley effects), and add up to this",
        f"whiskers: the spread over {FORESTS} forests",
    ]
    if any(trial.state is State.STOPPED for trial in view.trials):
        notes.append("trials that were stopped early count with what they had reached")
    return Estimate(measured, order, notes)


def importance(view: View, estimated: Estimate) -> Figure:
    """Bar chart of importances; a figure that says so if the trials allow no estimate."""
    if estimated.measured is None:
        return _message(view, estimated.problem, estimated.notes)
    figure = chart(8.0, 0.9 + 0.36 * len(estimated.order), TITLE, header(view), estimated.notes)
    axes = figure.add_subplot()
    dress(axes, SHARE, grid="x")
    names = [fit(label(view.columns[place].name, 60), 2.4, bold=False) for place in estimated.order]
    _bars(axes, estimated.measured, estimated.order, names)
    return finish(figure)


def _bars(axes: Axes, measured: Importance, order: npt.NDArray[np.intp], names: list[str]) -> None:
    mean, deviation = measured.mean[order], measured.deviation[order]
    places = np.arange(len(order))
    axes.barh(places, mean, height=0.62, color=DOT, alpha=0.85, linewidth=0, zorder=2)
    whiskers = [np.minimum(mean, deviation), deviation]  # a share is never negative
    axes.errorbar(mean, places, xerr=whiskers, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3, zorder=3)
    axes.set_yticks(places, [drawable(name) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=MUTED, linewidth=0.9, zorder=4)
    axes.set_xlim(0.0, max(float((mean + deviation).max()) * 1.12, 1.0))  # of a small share the bar is short
    for place, value, whisker in zip(places, mean, deviation, strict=True):
        axes.annotate(f"{value:.2f}", (value + whisker, place), (5, 0), textcoords="offset points", va="center",
                      fontsize=8.5, color=MUTED)  # fmt: skip


def _message(view: View, text: str, notes: list[str]) -> Figure:
    figure = chart(8.0, 1.4, TITLE, header(view), notes)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=MUTED)
    return finish(figure)
