"""Interactive figures as JSON that plotly.js draws, also without the plotly package."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import formatting
from ..core.objectives import Objective
from ..result import Run
from ..runs.attempts import Attempts, Outcome
from .axes import UNITS
from .columns import chosen, counted, scale_of
from .contours import pair_of, plane
from .data import View
from .distribution import COLORS as RUN_COLORS
from .distribution import DASHES, named, together
from .lanes import Bar, lanes_of
from .pareto import front_of, titled_objective, values_of
from .plotly_parts import (
    ACROSS,
    HEIGHT,
    Spec,
    axis_names,
    color_axis,
    hover_text,
    layout_of,
    metric_axis,
    metrics_of,
    number_axis,
    parameter_axis,
    plain_numbers,
    plotly_axis,
    point_traces,
    safe,
    short,
)
from .slices import apart
from .theme import BEST, DOT, INK, PAPER, header, lead, spread
from .timeline import COLORS, LABELS, busy_share

__all__ = ["Spec", "contours", "distributions", "pareto_front", "slices", "timeline"]

LEVELS = {"start": 0.0, "end": 1.0, "size": 0.1}
PLOTLY_DASHES = dict(zip(DASHES, ("solid", "dash", "dashdot", "dot"), strict=True))


def slices(view: View, names: Sequence[str] | None = None) -> Spec:
    columns = chosen(view.ended_columns, names, "slice()")
    across = min(ACROSS, len(columns))
    rows = -(-len(columns) // across)
    layout = layout_of("Slices", header(view), HEIGHT * rows + 90)
    layout["grid"] = {"rows": rows, "columns": across, "pattern": "independent", "ygap": 0.35, "xgap": 0.1}
    data = []
    for number, column in enumerate(columns):
        x, y = axis_names(number)
        layout[x] = parameter_axis(column)
        layout[y] = metric_axis(view, has_title=number % across == 0) | ({"matches": "y"} if number else {})
        points = {"x": apart(column, number), "y": metrics_of(view)}
        data += point_traces(
            view, column.present, points, {"xaxis": f"x{number + 1}", "yaxis": f"y{number + 1}"}, not number
        )
    return {"data": data, "layout": layout}


def contours(view: View, names: Sequence[str] | None = None) -> Spec:
    columns = plane(view, names)
    count = len(columns) - 1
    layout = layout_of("Contours", header(view), (460 if count == 1 else HEIGHT) * count + 90)
    layout["grid"] = {"rows": count, "columns": count, "pattern": "independent", "xgap": 0.08, "ygap": 0.08}
    layout["coloraxis"] = color_axis(view)
    data: list[Any] = []
    for row, place in itertools.product(range(count), range(count)):
        number = row * count + place
        x_axis, y_axis = axis_names(number)
        if place > row:
            layout[x_axis] = layout[y_axis] = {"visible": False}
            continue
        x, y = columns[place], columns[row + 1]
        layout[x_axis] = parameter_axis(x, has_title=row == count - 1)
        layout[y_axis] = parameter_axis(y, has_title=place == 0)
        at = {"xaxis": f"x{number + 1}", "yaxis": f"y{number + 1}"}
        smooth = pair_of(view, x, y)
        if smooth is not None:
            is_cells = "category" in (x.kind, y.kind)
            drawn: Spec = (
                {"type": "heatmap"}
                if is_cells
                else {
                    "type": "contour",
                    "autocontour": False,
                    "contours": LEVELS,
                    "line": {"color": PAPER, "width": 0.5},
                }
            )
            data.append({**drawn, "x": plain_numbers(smooth.x), "y": plain_numbers(smooth.y), "hoverinfo": "skip", **at,
                         "z": [plain_numbers(line) for line in smooth.values], "coloraxis": "coloraxis"})  # fmt: skip
        points = {"x": apart(x, 1), "y": spread(y.values, 2) if y.kind == "category" else y.values}
        data += point_traces(view, x.present & y.present, points, at, not data or number == 0, color=INK)
    return {"data": data, "layout": layout}


def distributions(views: Sequence[View]) -> Spec:
    together(views)
    scale = scale_of(np.concatenate([view.metrics for view in views]), views[0].direction)
    about = header(views[0]) if len(views) == 1 else f"{len(views)} runs"
    layout = layout_of("Distribution of the metric", about, 460)
    layout["xaxis"] = number_axis(views[0].metric, scale)
    layout["yaxis"] = plotly_axis("trials with at most this metric") | {"tickformat": ".0%", "range": [-0.02, 1.05]}
    data = []
    for number, view in enumerate(views):
        order = np.argsort(view.metrics, kind="stable")
        values = view.metrics[order]
        data.append({
            "type": "scatter", "mode": "lines", "name": safe(named(view)), "x": plain_numbers(values),
            "y": plain_numbers(np.arange(1, len(values) + 1) / len(values)),
            "text": [hover_text(view, int(view.places[place])) for place in order],
            "hovertemplate": "%{text}<br>%{y:.0%}<extra></extra>",
            "line": {"shape": "hv", "color": RUN_COLORS[number % len(RUN_COLORS)],
                     "dash": PLOTLY_DASHES[DASHES[number % len(DASHES)]]},
        })  # fmt: skip
    return {"data": data, "layout": layout}


def pareto_front(run: Run, objectives: Sequence[Objective]) -> Spec:
    trials, marked = front_of(run)
    pairs = list(itertools.combinations(objectives, 2))
    across = min(ACROSS, len(pairs))
    rows = -(-len(pairs) // across)
    about = f"{int(marked.sum())} of {counted(len(trials), 'trial')} on the front"
    layout = layout_of("Pareto front", " · ".join([*lead(run.name, run.version, run.verb), about]), 460 * rows)
    layout["grid"] = {"rows": rows, "columns": across, "pattern": "independent", "ygap": 0.3, "xgap": 0.15}
    names = [objective.name for objective in objectives]
    texts = [[f"{name}: {formatting.metric((trial.metrics or {})[name])}" for name in names] for trial in trials]
    hover = ["<br>".join(map(safe, [f"trial {t.id}", *more])) for t, more in zip(trials, texts, strict=True)]
    data = []
    for number, pair in enumerate(pairs):
        x, y = (values_of(trials, objective) for objective in pair)
        for axis, objective, values in zip(axis_names(number), pair, (x, y), strict=True):
            scale = scale_of(values)
            layout[axis] = number_axis(titled_objective(objective, scale.log), scale)
        for here, name, color in ((~marked, "other trials", DOT), (marked, "Pareto front", BEST)):
            data.append({
                "type": "scatter", "mode": "markers", "name": name, "legendgroup": name, "showlegend": not number,
                "x": plain_numbers(x[here]), "y": plain_numbers(y[here]),
                "xaxis": f"x{number + 1}", "yaxis": f"y{number + 1}",
                "text": [text for text, is_here in zip(hover, here, strict=True) if is_here],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": color, "size": 9, "line": {"width": 1, "color": PAPER}},
            })  # fmt: skip
    return {"data": data, "layout": layout}


def timeline(run: Run, read: Attempts) -> Spec:
    lanes, bars = lanes_of(read.attempts)
    began = min(read.began or read.attempts[0].begin, read.attempts[0].begin)
    last = max(bar.attempt.end for bar in bars) - began
    unit, suffix = next((size, name) for size, name in UNITS if last >= 2 * size or size == 1)
    about = [*lead(run.name, run.version, run.verb), counted(len(lanes), "slot")]
    about.append(f"{100 * busy_share(lanes, bars):.0f} % busy from the first start to the last end")
    layout = layout_of("Timeline", " · ".join(about), min(900, max(60, 30 * len(lanes))) + 180)
    layout["xaxis"] = plotly_axis("time since the run began") | {"ticksuffix": f" {suffix}", "rangemode": "tozero"}
    names = [safe(f"{lane.name} ({lane.host})" if lane.host else lane.name) for lane in lanes]
    rows = {"tickvals": list(range(len(lanes))), "ticktext": names, "showgrid": False}
    layout["yaxis"] = plotly_axis("") | {"autorange": "reversed"} | rows
    layout["shapes"] = [{"type": "line", "x0": (moment - began) / unit, "x1": (moment - began) / unit, "y0": 0, "y1": 1,
                         "yref": "paper", "line": {"color": INK, "dash": "dash", "width": 1}}
                        for moment in read.resumed]  # fmt: skip
    layout["barmode"] = "overlay"
    data = [
        _bars(outcome, [bar for bar in bars if bar.attempt.outcome == outcome], began, unit, suffix)
        for outcome in COLORS
        if any(bar.attempt.outcome == outcome for bar in bars)
    ]
    return {"data": data, "layout": layout}


def _bars(outcome: Outcome, bars: Sequence[Bar], began: float, unit: int, suffix: str) -> Spec:
    texts = []
    for bar in bars:
        attempt = bar.attempt
        when = f"{(attempt.begin - began) / unit:.3g} {suffix}, for {formatting.duration(attempt.seconds)}"
        lines = [f"trial {attempt.trial}" + f", attempt {attempt.number + 1}" * (attempt.number > 0), when]
        lines += [f"on {attempt.host}"] * bool(attempt.host) + [formatting.one_line(attempt.problem, 100)]
        texts.append("<br>".join(safe(line) for line in lines if line))
    return {
        "type": "bar", "orientation": "h", "name": LABELS.get(outcome, outcome), "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
        "base": [short((bar.attempt.begin - began) / unit) for bar in bars],
        "x": [short(bar.attempt.seconds / unit) for bar in bars],
        "y": [bar.row + (bar.rows - 1) / 2 for bar in bars], "width": [bar.rows - 0.2 for bar in bars],
        "marker": {"color": COLORS[outcome], "line": {"color": PAPER, "width": 0.5}},
    }  # fmt: skip
