"""Parts that several pages share: facts, sections, and elements that are drawn in the browser."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements import echart
from nicegui.elements.mixins.text_element import TextElement

from ..core.formatting import plain
from ..core.types import json_safe

__all__ = [
    "ChartGrid",
    "LogView",
    "TextTable",
    "UploadArea",
    "chip",
    "empty",
    "facts",
    "section",
    "table",
    "text",
    "text_block",
]

LIBRARIES = (echart,)  # importing it lets pages load ECharts


class ChartGrid(Element, component="static/chart_grid_element.js"):
    """Line charts side by side.

    Args:
        panels: of each chart its `title` and `series` (`name`, `points`); perhaps `unit`, `x`, `isTime`, `fromZero`.
        empty: what is shown without charts.
    """

    def __init__(self, panels: Sequence[Mapping[str, Any]], empty: str) -> None:
        super().__init__()
        self._props["data"] = _json(panels)
        self._props["empty"] = empty

    def show(self, panels: Sequence[Mapping[str, Any]]) -> None:
        """Draw other charts."""
        self._props["data"] = _json(panels)


class TextTable(Element, component="static/text_table_element.js"):
    """Table of texts with many rows, the first of which is its head; it can be filtered and sorted."""

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self._props["data"] = _json(rows)


class UploadArea(Element, component="static/upload_element.js"):
    """Area in which files are dropped for a new version of a data set.

    Events: `uploaded` with the version.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._props["name"] = name


class LogView(Element, component="static/log_view_element.js"):
    """A log that is followed and searched.

    Args:
        url: below which the files are read.
        files: names of logs, of which one is shown.
        live: whether more is expected.
    """

    def __init__(self, url: str, files: Sequence[str], live: bool) -> None:
        super().__init__()
        self._props["url"] = url
        self._props["files"] = list(files)
        self._props["live"] = live

    @property
    def has_files(self) -> bool:
        return bool(self._props["files"])

    def set_files(self, files: Sequence[str]) -> None:
        if list(files) != self._props["files"]:
            self._props["files"] = list(files)

    def set_live(self, live: bool) -> None:
        if live != self._props["live"]:
            self._props["live"] = live


def text(tag: str, content: str) -> TextElement:
    """An element with a text, which is never markup."""
    return TextElement(tag=tag, text=content)


def chip(state: str) -> ui.label:
    """Label with the state of a run or trial."""
    return ui.label(state).classes(f"hl-state hl-{state}")


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Names with values in two columns; those without a value are left out."""
    with ui.element("dl").classes("hl-pairs"):
        for name, value in rows:
            if value:
                text("dt", name)
                text("dd", value)


@contextlib.contextmanager
def section(title: str, classes: str = "") -> Iterator[None]:
    """A card with a heading."""
    with ui.element("section").classes(f"hl-card hl-section {classes}"):
        text("h2", title)
        yield


def empty(note: str) -> None:
    """A note in place of content that is not there."""
    ui.label(note).classes("hl-empty")


def text_block(content: str, label: str) -> TextElement:
    """Preformatted text in a box that scrolls."""
    block = text("pre", content).classes("hl-pre").props("tabindex=0")
    block.props["aria-label"] = label
    return block


def table(head: Sequence[str], rows: Iterable[Sequence[str]], classes: str = "") -> None:
    """A table of texts."""
    with ui.element("div").classes("hl-scroll"), ui.element("table").classes(f"hl-plain {classes}"):
        with ui.element("thead"), ui.element("tr"):
            for name in head:
                text("th", plain(name))
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for cell in row:
                        text("td", cell)


def _json(value: Any) -> str:
    return json.dumps(json_safe(value, strict=True))
