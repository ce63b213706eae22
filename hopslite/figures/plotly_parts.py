"""Parts of figures for plotly.js: layouts, axes and traces of trials."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from ..core import formatting
from ..core.types import Direction, State
from .axes import numbers, ticks
from .columns import Column, Floats, Scale
from .data import View
from .theme import BEST, FAILED, GRID, INK, MUTED, PAPER, order_colors, tint

__all__ = [
    "ACROSS",
    "HEIGHT",
    "Spec",
    "axis_names",
    "color_axis",
    "hover_text",
    "layout_of",
    "metric_axis",
    "metrics_of",
    "number_axis",
    "parameter_axis",
    "plain_numbers",
    "plotly_axis",
    "point_traces",
    "safe",
    "short",
]

Spec = dict[str, Any]  # {"data": […], "layout": {…}}

ACROSS, HEIGHT = 3, 300  # panels side by side; pixels of a panel
SYMBOLS = {"finished": "circle", "stopped early": "circle-open", "lost": "x-thin"}


def point_traces(
    view: View, present: Any, points: Mapping[str, Floats], axes: Spec, has_legend: bool, color: str = ""
) -> list[Spec]:
    """Traces of trials: finished, stopped and lost ones, and the best, which are where `present` says so."""
    places = {"finished": view.places[~view.stopped], "stopped early": view.places[view.stopped], "lost": view.lost}
    traces = []
    for name, those in places.items():
        here = those[present[those]]
        if not len(here):
            continue
        marker: Spec = {"symbol": SYMBOLS[name], "size": 7, "line": {"width": 1, "color": PAPER}}
        if name == "lost":
            marker |= {"color": FAILED, "line": {"width": 2, "color": FAILED}}
        elif color:
            is_hollow = name == "stopped early"
            marker |= {
                "symbol": "circle",
                "color": PAPER if is_hollow else color,
                "line": {"width": 1, "color": color if is_hollow else PAPER},
            }
        else:
            marker |= {"color": [to_hex(order_colors()(place / max(1, len(view.ended) - 1))) for place in here]}
        label = view.lost_as if name == "lost" else name
        traces.append(trace(view, here, points, marker, label) | axes | {"showlegend": has_legend})
    best = view.places[view.best]
    if present[best]:
        marker = {"symbol": "star", "size": 14, "color": BEST, "line": {"width": 1, "color": PAPER}}
        traces.append(trace(view, [best], points, marker, "best") | axes | {"showlegend": has_legend})
    return traces


def trace(view: View, here: Any, points: Mapping[str, Floats], marker: Spec, label: str) -> Spec:
    where = {name: plain_numbers(values[here]) for name, values in points.items()}
    texts = [hover_text(view, int(place)) for place in here]
    return {"type": "scatter", "mode": "markers", "marker": marker, "name": label, "legendgroup": label, **where,
            "text": texts, "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip


def metrics_of(view: View) -> Floats:
    """Metrics of all ended trials; those without one are at the edge where bad metrics are."""
    bad = view.scale.low if view.direction is Direction.MAX else view.scale.high
    values = np.full(len(view.ended), bad)
    values[view.places] = view.scale.on(view.metrics)
    return values


def hover_text(view: View, place: int) -> str:
    trial = view.ended[place]
    has_metric = trial.state in (State.FINISHED, State.STOPPED)
    return safe(f"trial {trial.id}: {formatting.metric(trial.metric) if has_metric else trial.state.lower()}")


def layout_of(title: str, about: str, height: int) -> Spec:
    text = f"<b>{safe(title)}</b><br><span style='font-size:12px;color:{MUTED}'>{safe(about)}</span>"
    return {
        "title": {
            "text": text,
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 30},
            "font": {"size": 17},
        },
        "height": height,
        "hovermode": "closest",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 70, "r": 20, "t": 110, "b": 60},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    }


def plotly_axis(title: str) -> Spec:
    return {"title": {"text": safe(title), "standoff": 8}, "gridcolor": GRID, "linecolor": "#afb8c1",
            "zeroline": False, "automargin": True}  # fmt: skip


def number_axis(title: str, scale: Scale) -> Spec:
    is_wide = scale.log and scale.high / scale.low > 100
    powers = {"dtick": 1, "tickformat": "~g"} if is_wide else {}
    return plotly_axis(title) | {"type": "log" if scale.log else "linear"} | powers


def metric_axis(view: View, has_title: bool) -> Spec:
    return number_axis(view.metric_label if has_title else "", view.scale)


def parameter_axis(column: Column, has_title: bool = True) -> Spec:
    title = column.name + " (log)" * (column.kind == "log") if has_title else ""
    if column.kind == "category":
        labels = [safe(label) for label in column.labels]
        return plotly_axis(title) | {"tickvals": list(range(len(labels))), "ticktext": labels,
                               "range": [-0.6, len(labels) - 0.4], "showgrid": False}  # fmt: skip
    if column.listed:
        shown = {"tickvals": list(column.listed), "ticktext": numbers(column.listed)}
        return plotly_axis(title) | {"type": "log" if column.kind == "log" else "linear", **shown}
    return number_axis(title, column.scale)


def axis_names(number: int) -> tuple[str, str]:
    suffix = str(number + 1) if number else ""
    return f"xaxis{suffix}", f"yaxis{suffix}"


def color_axis(view: View) -> Spec:
    colors = tint() if view.direction is Direction.MAX else tint().reversed()
    at = ticks(view.scale.low, view.scale.high, view.scale.log, 6)
    return {
        "cmin": 0.0,
        "cmax": 1.0,
        "colorscale": [[share, to_hex(colors(share))] for share in np.linspace(0.0, 1.0, 11).tolist()],
        "colorbar": {"title": {"text": safe(view.metric_label)}, "outlinewidth": 0, "ticktext": numbers(at),
                     "tickvals": plain_numbers(view.scale.unit(np.array(at)))},
    }  # fmt: skip


def safe(text: str) -> str:
    """Text that plotly.js, which reads some HTML, shows as it is."""
    return html.escape(formatting.one_line(text, 160), quote=False)


def plain_numbers(values: Any) -> list[float | None]:
    """Numbers for JSON, six digits of each; None for those that are not finite."""
    return [short(float(value)) if np.isfinite(value) else None for value in values]


def short(value: float) -> float:
    return float(f"{value:.6g}")
