"""Sparklines without a plotting library: SVG, and characters in a line of text."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from ..core import formatting
from ..core.log_scale import needs_log_scale
from ..core.types import Direction
from . import Status
from ._curve_buffer import Curve, Point

__all__ = ["bars", "best_so_far", "reports"]

WIDTH, HEIGHT = 320, 112
LEFT, RIGHT, TOP, BOTTOM = 52.0, 314.0, 20.0, 96.0  # of the area in which curves are
LINE, BEST = "#0072b2", "#d55e00"  # distinguishable for colour-blind people, on light and dark backgrounds
FAR = 4.0  # how many times the middle 80 % values may reach beyond them
BLOCKS = "▁▂▃▄▅▆▇█"
LARGEST = 1e300


class _Scale:
    """Linear map of values to coordinates from `first` to `last`; outliers are drawn at the edge."""

    def __init__(self, values: Iterable[float], first: float, last: float, keep: Iterable[float] = ()) -> None:
        known = sorted(min(max(value, -LARGEST), LARGEST) for value in values)
        reach = _reach(known, [min(max(value, -LARGEST), LARGEST) for value in keep])
        self._lay_out(*reach, first, last, log=needs_log_scale(*reach))

    @classmethod
    def linear(cls, low: float, high: float, first: float, last: float) -> _Scale:
        made = cls.__new__(cls)
        made._lay_out(low, high, first, last, log=False)
        return made

    def _lay_out(self, low: float, high: float, first: float, last: float, log: bool) -> None:
        self.low, self.high, self.log = low, high, log
        self._first, self._last = first, last
        self._low, self._high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        self._room = self._high - self._low

    def __call__(self, value: float) -> float:
        if not self._room:
            return (self._first + self._last) / 2
        value = min(max(value, self.low), self.high)
        share = ((math.log(value) if self.log else value) - self._low) / self._room
        return self._first + share * (self._last - self._first)


def _reach(known: Sequence[float], keep: Sequence[float]) -> tuple[float, float]:
    low, high = known[0], known[-1]
    if needs_log_scale(low, high):
        return max(low, 1 / LARGEST), high
    tenth, ninetieth = known[len(known) // 10], known[-1 - len(known) // 10]
    room = FAR * (ninetieth - tenth)
    if room > 0:
        low, high = max(low, tenth - room), min(high, ninetieth + room)
    return min([low, *keep]), max([high, *keep])


def best_so_far(status: Status) -> str:
    """SVG of the trials' metrics as dots with the best so far as a line; empty without metrics."""
    if not status.best_curve:
        return ""
    last = max(status.done, status.metrics[-1][0])
    x = _Scale.linear(1.0, max(2.0, last), LEFT, RIGHT)
    y = _Scale([value for _, value in status.metrics], BOTTOM, TOP, [value for _, value in status.best_curve[-1:]])
    dots = "".join(f"M{x(at):.1f} {y(value):.1f}h0" for at, value in status.metrics)
    line = "".join(f"{'H' if number else 'M'}{x(at):.1f}{'V' if number else ' '}{y(value):.1f}"
                   for number, (at, value) in enumerate(status.best_curve))  # fmt: skip
    drawn = (
        f'<path d="{dots}" stroke="{LINE}" stroke-width="4" stroke-linecap="round" opacity=".55"/>'
        f'<path d="{line}H{x(max(status.done, status.best_curve[-1][0])):.1f}" stroke="{BEST}" stroke-width="2"/>'
    )
    towards = "max" if status.direction is Direction.MAX else "min"
    title = f"best {status.metric or 'metric'} so far ({towards})"
    return _svg(title, drawn, y, f"{last:.0f} trials")


def reports(status: Status) -> str:
    """SVG for each metric that running and some ended trials report, the best highlighted; empty without reports."""
    by_metric: dict[str, list[Curve]] = {status.metric or "": []}  # the optimised one first
    for curve in status.curves:
        by_metric.setdefault(curve.metric, []).append(curve)
    return "".join(_reports(name, curves, status.best_trial) for name, curves in by_metric.items() if curves)


def _reports(metric: str, curves: Sequence[Curve], best_trial: str | None) -> str:
    points = [point for curve in curves for point in curve.points]
    steps = [step for step, _ in points]
    x = _Scale.linear(min(steps), max(steps), LEFT, RIGHT)
    y = _Scale([value for _, value in points], BOTTOM, TOP)
    faint: list[str] = []
    clear: list[str] = []
    best: list[str] = []
    for curve in curves:
        place = best if curve.trial == best_trial else faint if curve.ended else clear
        place.append(_path(curve.points, x, y))
    drawn = "".join(
        f'<path d="{"".join(paths)}" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round" '
        f'stroke-linecap="round" opacity="{opacity}"/>'
        for paths, colour, width, opacity in (
            (faint, "currentColor", 1, 0.25), (clear, LINE, 1.3, 0.8), (best, BEST, 2, 1)
        )
        if paths
    )  # fmt: skip
    return _svg(f"reported {metric}", drawn, y, f"step {max(steps):g}")


def _path(points: Sequence[Point], x: _Scale, y: _Scale) -> str:
    places = [f"{x(step):.1f} {y(value):.1f}" for step, value in points]
    return f"M{'L'.join(places)}{'h0' * (len(places) == 1)}"


def _svg(title: str, drawn: str, y: _Scale, end: str) -> str:
    shown = html.escape(formatting.one_line(title, 44))
    frame = f"M{LEFT} {TOP - 4}V{BOTTOM + 4}H{RIGHT}"
    log = " log" if y.log else ""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{shown}" '
        'style="max-width:100%;margin:2px 12px 2px 0;overflow:visible" fill="none">'
        f'<path d="{frame}" stroke="currentColor" opacity=".35"/>{drawn}'
        '<g fill="currentColor" font-size="10" font-family="sans-serif" opacity=".75">'
        f'<text x="{LEFT}" y="10" font-size="11">{shown}</text>'
        f'<text x="{LEFT - 4}" y="{TOP + 3}" text-anchor="end">{_short(y.high)}</text>'
        f'<text x="{LEFT - 4}" y="{BOTTOM + 3}" text-anchor="end">{_short(y.low)}</text>'
        f'<text x="{LEFT - 4}" y="{(TOP + BOTTOM) / 2 + 3}" text-anchor="end" opacity=".7">{log}</text>'
        f'<text x="{RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{html.escape(end)}</text></g></svg>'
    )


def _short(value: float) -> str:
    return f"{value:.4g}"


def bars(points: Sequence[Point], end: float, columns: int = 24) -> str:
    """Text sparkline of a value from step to step, up to `end`."""
    if not points:
        return ""
    y = _Scale([value for _, value in points], 0, len(BLOCKS) - 1)
    width = max(1, min(columns, int(end)))
    texts, at = [], 0
    for column in range(width):
        until = end * (column + 1) / width
        while at + 1 < len(points) and points[at + 1][0] <= until:
            at += 1
        texts.append(BLOCKS[round(y(points[at][1]))] if points[at][0] <= until else " ")
    return "".join(texts)
