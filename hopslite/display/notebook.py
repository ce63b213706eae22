"""Progress in a notebook: one output below the cell, replaced in place."""

from __future__ import annotations

import collections
import html
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .. import _format
from ..result import Run
from . import Status, _table

__all__ = ["Notebook"]

REFRESH_SECONDS = 0.25
LINES = 10
LINE_CHARS = 300
BAR = "width:100%;max-width:40em;height:.6em;background:rgba(128,128,128,.25);border-radius:.3em;overflow:hidden"


class Notebook:
    """A live table as HTML, with a plain text beside it for front ends that show no HTML. It needs no widgets."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES)
        self._handle: Any = None
        self._status: Status | None = None
        self._run: Run | None = None
        self._drawn = 0.0

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
            self._lines.extend(_format.cut(_format.plain(part), LINE_CHARS) for part in text.splitlines())
            self._refresh()

    def close(self, status: Status, run: Run | None) -> None:
        with self._lock:
            self._status, self._run = status, run
            self._show(self._bundle(status, run))

    def _refresh(self) -> None:
        if self._status is not None and self._clock() - self._drawn >= REFRESH_SECONDS:
            self._drawn = self._clock()
            self._show(self._bundle(self._status, self._run))

    def _show(self, bundle: dict[str, str]) -> None:
        if self._handle is not None:
            self._handle.update(bundle, raw=True)

    def _bundle(self, status: Status, run: Run | None) -> dict[str, str]:
        return {"text/plain": self._text(status, run), "text/html": self._html(status, run)}

    def _text(self, status: Status, run: Run | None) -> str:
        if run is None:
            return "\n".join([_headline(status), *self._lines])
        pairs = [f"{name}: {text}" for name, text in _table.footer(status, run)]
        return "\n".join([_headline(status), *self._lines, *_table.summary(run, _table.FILE_WIDTH), *pairs])

    def _html(self, status: Status, run: Run | None) -> str:
        parts = [f"<div>{html.escape(_headline(status))}</div>", _bar(status)]
        mlflow = ("MLflow", status.mlflow_hint)
        if run is not None:
            parts.append(run._repr_html_())
            parts.append(_links(("TensorBoard", status.tensorboard_url), mlflow))
        else:
            if status.best_params:
                parts.append(f"<div>best: {html.escape(_format.exact_params(status.best_params))}</div>")
            parts.append(_links(("run directory", status.logdir), ("TensorBoard", status.tensorboard_url), mlflow))
            if status.recent:
                parts.append(_format.html_table(status.recent, status.best_trial))
        if self._lines:
            parts.append(f"<pre>{html.escape(chr(10).join(self._lines))}</pre>")
        return f"<div>{''.join(parts)}</div>"


def _headline(status: Status) -> str:
    total = "" if status.total is None else f" of {status.total}"
    return f"{_table.title(status)}: {status.done}{total} trials done, {', '.join(_table.progress(status))}"


def _bar(status: Status) -> str:
    if not status.total:
        return ""
    done = min(100.0, 100 * status.done / status.total)
    failed = min(done, 100 * status.failed / status.total)
    pieces = ((done - failed, "#2ea043"), (failed, "#f85149"))
    inner = "".join(f'<div style="width:{w:.1f}%;height:100%;float:left;background:{c}"></div>' for w, c in pieces)
    return f'<div style="{BAR}">{inner}</div>'


def _links(*items: tuple[str, str | None]) -> str:
    return "".join(f"<div>{label}: {_link(text)}</div>" for label, text in items if text)


def _link(text: str) -> str:
    shown = html.escape(text)
    if urlsplit(text).scheme in ("http", "https"):
        return f'<a href="{shown}" target="_blank" rel="noopener">{shown}</a>'
    return f"<code>{shown}</code>"
