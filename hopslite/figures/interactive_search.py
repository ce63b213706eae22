"""Interactive figures of a search's course and of its parameters, as JSON that plotly.js draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_hex

from ..core import formatting
from ..core.types import State
from ..result import Run
from .axes import UNITS, numbers, ticks
from .columns import Column, Floats, Scale, counted, label, scale_of
from .data import View
from .differential_evolution import PANELS, generations_of
from .importance_bars import SHARE, TITLE, Estimate
from .parallel_coordinates import FAN, MISSING, placed
from .plotly_parts import (
    ACROSS,
    HEIGHT,
    Spec,
    axis_names,
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
)
from .progress import ORDER, TIME, positions, thinned
from .theme import BEST, DOT, INK, MUTED, PAPER, best_label, header, lead, spread, tint

__all__ = ["best_so_far", "generations", "importance", "parallel_coordinates", "reports"]

POINTS = 10_000  # of all curves of reports together, so that a page with many trials stays small
NAME = 40  # characters of a parameter's name
GROUPS = {"best 10 %": 0.0, "best 25 %": 0.1, "best half": 0.25, "other trials": 0.5}  # from which share of the ranks


def best_so_far(view: View, by_time: bool) -> Spec:
    at = positions(view, by_time)
    x = np.array([at[trial.id] for trial in view.ended])
    unit, suffix = (
        next((size, name) for size, name in UNITS if x.max() >= 2 * size or size == 1) if by_time else (1, "")
    )
    layout = layout_of("Best so far", header(view), 420)
    layout["xaxis"] = plotly_axis(TIME if by_time else ORDER) | ({"ticksuffix": f" {suffix}"} if suffix else {})
    layout["yaxis"] = metric_axis(view, has_title=True)
    best = view.scale.on(view.so_far())
    line = {
        "type": "scatter", "mode": "lines", "name": "best so far", "hoverinfo": "skip",
        "x": plain_numbers([*(x[view.places] / unit), x.max() / unit]), "y": plain_numbers([*best, best[-1]]),
        "line": {"shape": "hv", "color": BEST, "width": 2},
    }  # fmt: skip
    points = {"x": x / unit, "y": metrics_of(view)}
    everywhere = np.ones(len(view.ended), dtype=np.bool_)
    return {"data": [line, *point_traces(view, everywhere, points, {}, True, color=DOT)], "layout": layout}


def reports(
    run: Run, curves: Mapping[str, tuple[Floats, Floats]], chosen: Sequence[str] | None, metric: str | None
) -> Spec:
    best = run._best if run._best and run._best.id in curves else None
    direction = run.direction if metric == run.optimization_key else None
    scale = scale_of(np.concatenate([values for _, values in curves.values()]), direction)
    about = [*lead(run.name, run.version, run.verb), f"{counted(len(curves), 'trial')} with reports"]
    about += [f"of {len(run.trials)}"] * (chosen is not None)
    layout = layout_of("Reported values", " · ".join(about), 460)
    layout["xaxis"] = plotly_axis("step")
    layout["yaxis"] = number_axis(label(metric or "reported value") + " (log)" * scale.log, scale)
    others = [trial for trial in curves if best is None or trial != best.id]
    stopped = {trial.id for trial in run.trials if trial.state is State.STOPPED}
    groups = {"finished or running": [trial for trial in others if trial not in stopped],
              "stopped early": [trial for trial in others if trial in stopped]}  # fmt: skip
    most = max(2, POINTS // max(1, len(curves)))
    data = [_curves(name, trials, curves, scale, most) for name, trials in groups.items() if trials]
    if best is not None:
        drawn = _curves(best_label(best), [best.id], curves, scale, POINTS)
        data.append(drawn | {"line": {"color": BEST, "width": 3}, "opacity": 1.0})
    return {"data": data, "layout": layout}


def _curves(
    name: str, trials: Sequence[str], curves: Mapping[str, tuple[Floats, Floats]], scale: Scale, most: int
) -> Spec:
    """Curves of several trials as one trace, with a gap between two."""
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for trial in trials:
        line = thinned(curves[trial][0], scale.on(curves[trial][1]), most)
        x += [*plain_numbers(line[:, 0]), None]
        y += [*plain_numbers(line[:, 1]), None]
        texts += [safe(f"trial {trial}")] * (len(line) + 1)
    alone = all(len(curves[trial][0]) == 1 for trial in trials)
    return {
        "type": "scatter", "mode": "markers" if alone else "lines", "name": safe(name), "x": x, "y": y, "text": texts,
        "hovertemplate": "%{text}<br>step %{x}: %{y}<extra></extra>", "opacity": 0.6,
        "line": {"color": DOT, "width": 1.3, **({"dash": "dot"} if name == "stopped early" else {})},
    }  # fmt: skip


def parallel_coordinates(view: View) -> Spec:
    """Lines in groups that the legend shows and hides; plotly's own kind of figure needs WebGL and evaluates code."""
    columns, places, _ = placed(view)
    x = list(range(len(columns) + 1))
    y = np.column_stack([*places, view.scale.unit(view.metrics)])
    layout = layout_of("Parallel coordinates", f"{header(view)} · {best_label(view.trials[view.best])}", 520)
    names = [label(column.name, NAME) + " (log)" * (column.kind == "log") for column in columns]
    layout["xaxis"] = {"tickvals": x, "ticktext": [safe(name) for name in [*names, view.metric_label]], "side": "top",
                       "range": [-0.5, len(columns) + 0.5], "showgrid": True, "gridcolor": MUTED, "zeroline": False,
                       "automargin": True}  # fmt: skip
    lowest = MISSING - FAN if any(column.missing for column in columns) else -0.03
    layout["yaxis"] = {"visible": False, "range": [lowest, 1.03]}
    layout["legend"] |= {"y": -0.02, "yanchor": "top"}
    data = [*_grouped_lines(view, y), _marks(view, len(columns)), _tick_labels(view, columns)]
    return {"data": data, "layout": layout}


def _grouped_lines(view: View, y: Floats) -> list[Spec]:
    """Lines of trials by how good they are, the best ones on top; between two lines there is a gap."""
    ranks = np.argsort(np.argsort(-view.goodness, kind="stable"), kind="stable") / max(1, len(view.trials))
    traces = []
    low = 1.0
    for name, share in reversed(GROUPS.items()):
        inside = np.flatnonzero((ranks < low if low < 1 else ranks <= low) & (ranks >= share))
        inside, low = inside[inside != view.best], share
        if len(inside):
            color = to_hex(tint()(float(view.goodness[inside].mean())))
            traces.append(_lines(name, y[inside], {"color": color, "width": 1.2}))
    return [*traces, _lines("best", y[[view.best]], {"color": BEST, "width": 3.5})]


def _lines(name: str, rows: Floats, line: Spec) -> Spec:
    at = [*range(rows.shape[1]), None]
    return {"type": "scatter", "mode": "lines", "name": name, "hoverinfo": "skip", "opacity": 0.8, "line": line,
            "x": at * len(rows), "y": [item for row in rows for item in (*plain_numbers(row), None)]}  # fmt: skip


def _marks(view: View, at: int) -> Spec:
    """Points on the axis of the metric that tell what a trial was."""
    texts = [f"{hover_text(view, int(place))}<br>{safe(formatting.params(trial.params))}"
             for place, trial in zip(view.places, view.trials, strict=True)]  # fmt: skip
    colors = [to_hex(color) for color in tint()(view.goodness)]
    return {"type": "scatter", "mode": "markers", "showlegend": False, "x": [at] * len(texts), "text": texts,
            "y": plain_numbers(view.scale.unit(view.metrics)), "hovertemplate": "%{text}<extra></extra>",
            "marker": {"size": 8, "color": colors, "line": {"width": 1, "color": PAPER}}}  # fmt: skip


def _tick_labels(view: View, columns: Sequence[Column]) -> Spec:
    """Values beside the axes, as a trace of texts."""
    labels: list[tuple[int, float, str]] = []
    for number, column in enumerate(columns):
        if column.kind == "category":
            labels += [(number, (at + 0.5) / len(column.labels), text) for at, text in enumerate(column.labels)]
        else:
            labels += _numbers(number, column.scale, column.listed)
        if column.missing:
            labels.append((number, MISSING, f"not set ({column.missing})"))
    labels += _numbers(len(columns), view.scale)
    x, y, texts = zip(*labels, strict=True)
    return {"type": "scatter", "mode": "text", "showlegend": False, "hoverinfo": "skip", "x": list(x),
            "y": plain_numbers(y), "text": [safe(text) for text in texts], "textposition": "middle left",
            "textfont": {"color": MUTED, "size": 11}, "cliponaxis": False}  # fmt: skip


def _numbers(at: int, scale: Scale, listed: Sequence[float] = ()) -> list[tuple[int, float, str]]:
    values = list(listed) or ticks(scale.low, scale.high, scale.log)
    return [
        (at, float(place), f"{text} ")
        for place, text in zip(scale.unit(np.array(values)), numbers(values), strict=True)
    ]


def importance(view: View, estimated: Estimate) -> Spec:
    if estimated.measured is None:
        layout = layout_of(TITLE, header(view), 240)
        layout["xaxis"] = layout["yaxis"] = {"visible": False}
        text = "<br>".join(safe(line) for line in estimated.problem.splitlines())
        middle = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
        layout["annotations"] = [{"text": text, "showarrow": False, "font": {"color": MUTED, "size": 14}, **middle}]
        return {"data": [], "layout": layout}
    order = estimated.order
    mean, deviation = estimated.measured.mean[order], estimated.measured.deviation[order]
    explained = f"together the parameters explain {100 * estimated.measured.explained:.0f} %"
    layout = layout_of(TITLE, f"{header(view)} · {explained}", 200 + 28 * len(order))
    layout["xaxis"] = plotly_axis(SHARE) | {"range": [0.0, max(float((mean + deviation).max()) * 1.12, 1.0)]}
    names = [safe(label(view.columns[place].name, NAME)) for place in order]
    rows = {"tickvals": list(range(len(order))), "ticktext": names, "showgrid": False}
    layout["yaxis"] = plotly_axis("") | {"autorange": "reversed"} | rows
    bars = {
        "type": "bar", "orientation": "h", "x": plain_numbers(mean), "y": list(range(len(order))), "hovertext": names,
        "hovertemplate": "%{hovertext}: %{x:.2f}<extra></extra>", "marker": {"color": DOT},
        "error_x": {"type": "data", "symmetric": False, "array": plain_numbers(deviation), "color": INK,
                    "arrayminus": plain_numbers(np.minimum(mean, deviation)), "thickness": 1.2},
    }  # fmt: skip
    return {"data": [bars], "layout": layout}


def generations(view: View, where: str) -> Spec:
    view = generations_of(view, where)
    at = np.array([trial.generation for trial in view.trials], dtype=np.float64)
    columns = view.columns[:PANELS]
    across = min(ACROSS, len(columns) + 1)
    rows = -(-(len(columns) + 1) // across)
    layout = layout_of("Generation by generation", header(view), HEIGHT * rows + 90)
    layout["grid"] = {"rows": rows, "columns": across, "pattern": "independent", "ygap": 0.35, "xgap": 0.12}
    texts = [hover_text(view, int(place)) for place in view.places]
    panels = [(view.scale.on(view.metrics), np.ones(len(at), dtype=np.bool_), metric_axis(view, has_title=True))]
    for number, column in enumerate(columns):
        values = spread(column.values, number) if column.kind == "category" else column.values
        panels.append((values, column.present, parameter_axis(column)))
    data = []
    for number, (values, present, axis) in enumerate(panels):
        x_axis, y_axis = axis_names(number)
        layout[x_axis], layout[y_axis] = plotly_axis("generation") | {"dtick": max(1, round(np.ptp(at) / 8))}, axis
        axes = {"xaxis": f"x{number + 1}", "yaxis": f"y{number + 1}", "showlegend": not number}
        data.append({
            "type": "scatter", "mode": "markers", "name": "trial", "legendgroup": "trial",
            "x": plain_numbers(spread(at, number, 0.16)[present]), "y": plain_numbers(values[present]),
            "text": [text for text, is_there in zip(texts, present, strict=True) if is_there],
            "hovertemplate": "%{text}<extra></extra>", "marker": {"color": DOT, "size": 6, "opacity": 0.6}, **axes,
        })  # fmt: skip
        if number == 0 or columns[number - 1].kind != "category":
            steps = np.unique(at[present])
            middle = [np.median(values[present & (at == step)]) for step in steps]
            data.append({"type": "scatter", "mode": "lines+markers", "name": "median", "legendgroup": "median",
                         "x": plain_numbers(steps), "y": plain_numbers(middle), "line": {"color": INK, "width": 1.5},
                         "hoverinfo": "skip", **axes})  # fmt: skip
    return {"data": data, "layout": layout}
