"""Progress in a notebook: one output below the cell, updated in place."""

from __future__ import annotations

import collections
import html
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..core import formatting
from ..core.objectives import described
from ..result import Run
from . import Status, _sparklines, _text_table
from ._curve_buffer import LINE_CHARS, clean_line

__all__ = ["Notebook"]

REFRESH_SECONDS, SLOWEST_SECONDS = 0.25, 1.0
SHARE = 100  # the time from one drawing to the next is so many times what drawing takes
LINES = 10
PARAMS_CHARS = 2000
RECENT = 5

STATES = (  # distinguishable for colour-blind people, on light and dark backgrounds
    ("finished", "#0072b2", "●"),
    ("stopped", "#56b4e9", "◌"),
    ("failed", "#c2410c", "✕"),
    ("killed", "#8c959f", "✕"),
    ("running", "#e69f00", "▸"),
)
BODY = "font-size:13px;line-height:1.5;max-width:54em;overflow-wrap:break-word"
BAR = "width:100%;height:.6em;background:rgba(128,128,128,.25);border-radius:.3em;overflow:hidden;margin:4px 0"
SOFT = "opacity:.75"
PRE = ("margin:4px 0 0;padding:4px 8px;border-left:3px solid rgba(128,128,128,.4);white-space:pre-wrap;font-size:12px;"
       "line-height:1.35;background:none")  # fmt: skip


class Notebook:
    """Live view as HTML, with plain text for front ends without HTML; needs no widgets.

    What it shows has a bounded size, however many trials there are and however much they print.
    """

    shows_output = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES)
        self._handle: Any = None
        self._status: Status | None = None
        self._run: Run | None = None
        self._drawn, self._pause = 0.0, REFRESH_SECONDS

    def start(self, status: Status) -> None:
        from IPython.display import display

        with self._lock:
            self._status = status
            self._drawn = self._clock()
            self._handle = display(self._bundle(status, None), raw=True, display_id=True)

    def update(self, status: Status) -> None:
        with self._lock:
            self._status = status
            self._refresh()

    def line(self, text: str) -> None:
        with self._lock:
            self._lines.extend(clean_line(part) for part in text.rstrip("\r\n").rsplit("\n", LINES)[-LINES:])
            self._refresh()

    def close(self, status: Status, run: Run | None) -> None:
        with self._lock:
            self._status, self._run = status, run
            self._show(self._bundle(status, run))

    def _refresh(self) -> None:
        if self._status is not None and self._clock() - self._drawn >= self._pause:
            self._drawn = self._clock()
            began = time.perf_counter()
            self._show(self._bundle(self._status, self._run))
            took = time.perf_counter() - began
            self._pause = min(max(REFRESH_SECONDS, SHARE * took), SLOWEST_SECONDS)

    def _show(self, bundle: dict[str, str]) -> None:
        if self._handle is not None:
            self._handle.update(bundle, raw=True)

    def _bundle(self, status: Status, run: Run | None) -> dict[str, str]:
        shown = list(self._lines)
        return {"text/plain": self._text(status, run, shown), "text/html": self._html(status, run, shown)}

    def _text(self, status: Status, run: Run | None, said: list[str]) -> str:
        lines = [_headline(status)]
        if status.best_curve:
            lines.append(
                f"best so far {_sparklines.bars(status.best_curve, status.done)} "
                f"{formatting.metric(status.best_metric)}"
            )
        if run is not None:
            pairs = [f"{name}: {formatting.cut(text, PARAMS_CHARS)}" for name, text in _text_table.footer(status, run)]
            return "\n".join([*lines, *said, *_text_table.summary(run, _text_table.FILE_WIDTH), *pairs])
        if status.best_params:
            lines.append(f"best: {_best_params(status)}")
        lines += [f"{name}: {text}" for name, text in _places(status)]
        return "\n".join([*lines, *said, *status.printed])

    def _html(self, status: Status, run: Run | None, said: list[str]) -> str:
        parts = [_head(status), _bar(status), _states(status)]
        if run is None:
            parts.append(_best(status))
        parts += [_curves(status), _links(status, run is not None)]
        if run is not None:
            parts.append(_wide(run._repr_html_()))
        elif status.recent:
            parts.append(_wide(formatting.html_table(status.recent[-RECENT:], status.marked)))
        if status.printed and run is None:
            parts.append(f'<pre style="{PRE}">{html.escape(chr(10).join(status.printed))}</pre>')
        if said:
            parts.append(f'<pre style="{PRE}">{html.escape(chr(10).join(said))}</pre>')
        return f'<div style="{BODY}">{"".join(parts)}</div>'


def _wide(table: str) -> str:
    return f'<div style="overflow-x:auto;margin:4px 0">{table}</div>'


def _headline(status: Status) -> str:
    return f"{_text_table.title(status)}: {_done(status)}, {', '.join(_text_table.progress(status))}"


def _done(status: Status) -> str:
    total = "" if status.total is None else f" of {status.total}"
    return f"{status.done}{total} trials done"


def _head(status: Status) -> str:
    times = [f"{formatting.duration(status.elapsed) or '0 s'} elapsed"]
    if status.remaining is not None and status.done != status.total:
        times.append(f"about {formatting.duration(status.remaining)} left")
    name = html.escape(formatting.cut(_text_table.title(status), LINE_CHARS))
    rest = f"{html.escape(status.verb)} · {_done(status)} · {', '.join(times)}"
    return f'<div><b>{name}</b> <span style="{SOFT}">{rest}</span></div>'


def _bar(status: Status) -> str:
    if not status.total:
        return ""
    counts = {state.value.lower(): count for state, count in status.counts.items()}
    whole = max(status.total, sum(counts.get(name, 0) for name, _, _ in STATES))
    inner = "".join(
        f'<div style="width:{100 * counts[name] / whole:.2f}%;height:100%;float:left;background:{colour}" '
        f'title="{counts[name]} {name}"></div>'
        for name, colour, _ in STATES
        if counts.get(name)
    )
    return f'<div style="{BAR}">{inner}</div>'


def _states(status: Status) -> str:
    counts = {state.value.lower(): count for state, count in status.counts.items()}
    shown = [
        f'<span style="white-space:nowrap"><span style="color:{colour}">{mark}</span> {counts[name]} {name}</span>'
        for name, colour, mark in STATES
        if counts.get(name)
    ]
    if status.slots_used:
        shown.append(f'<span style="{SOFT}">{status.slots_used} slot{"s" * (status.slots_used != 1)}</span>')
    return f"<div>{' &nbsp; '.join(shown)}</div>"


def _best(status: Status) -> str:
    if status.front:
        shown = formatting.one_line(", ".join(status.front), 60)
        return f"<div>best in {html.escape(described(status.objectives))}: {html.escape(shown)}</div>"
    if status.best_metric is None:
        return ""
    name = html.escape(formatting.one_line(status.metric or "metric", 60))
    value = f"<b>{formatting.metric(status.best_metric)}</b> (trial {html.escape(str(status.best_trial))})"
    return f"<div>best {name} {value}: {html.escape(_best_params(status))}</div>"


def _best_params(status: Status) -> str:
    return formatting.one_line(formatting.exact_params(status.best_params), PARAMS_CHARS)


def _curves(status: Status) -> str:
    drawn = _sparklines.best_so_far(status) + _sparklines.reports(status)
    return f"<div>{drawn}</div>" if drawn else ""


def _places(status: Status) -> list[tuple[str, str]]:
    places = (
        ("dashboard", status.dashboard_url),
        ("TensorBoard", status.tensorboard_url),
        ("MLflow", status.mlflow_hint),
        ("Spark", status.spark_url),
    )
    return [(name, text) for name, text in places if text]


def _links(status: Status, ended: bool) -> str:
    places = _places(status)
    if not ended:
        places.insert(0, ("run directory", status.logdir))
    return f'<div style="{SOFT}">{" &nbsp; ".join(f"{name}: {_link(text)}" for name, text in places)}</div>'


def _link(text: str) -> str:
    shown = html.escape(text)
    if urlsplit(text).scheme in ("http", "https"):
        return f'<a href="{shown}" target="_blank" rel="noopener">{shown}</a>'
    return f"<code>{shown}</code>"
