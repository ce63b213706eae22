"""Tabs whose content is made when they are opened first; the address says which one is open."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui

from .widgets import text

__all__ = ["Tabs"]

Builder = Callable[[], Awaitable[None]]


class Tabs:
    """Tabs of a page.

    Args:
        builders: makes the content of each tab, by its name.
        address: of the page; the open tab is its query.
    """

    def __init__(self, builders: Mapping[str, Builder], address: str) -> None:
        self._builders = builders
        self._address = address
        self._buttons: dict[str, ui.element] = {}
        self._built: set[str] = set()
        with ui.element("div").classes("hl-tabs").props("role=tablist"):
            for name in builders:
                button = text("button", name).classes("hl-tab").props("type=button role=tab")
                button.on("click", functools.partial(self._on_click, name))
                self._buttons[name] = button
        self._panels = {name: ui.element("div").classes("hl-tab-panel").props("role=tabpanel") for name in builders}
        for panel in self._panels.values():
            panel.set_visibility(False)

    async def _on_click(self, name: str) -> None:
        ui.navigate.history.replace(f"{self._address}?tab={name.lower()}")
        await self.open(name)

    async def open(self, name: str) -> None:
        """Show a tab."""
        for other, panel in self._panels.items():
            panel.set_visibility(other == name)
            self._buttons[other].props["aria-selected"] = "true" if other == name else "false"
        if name not in self._built:
            self._built.add(name)
            with self._panels[name]:
                await self._builders[name]()

    async def choose(self, wanted: str) -> None:
        """Show the tab that the address asks for, or the first."""
        first = next(iter(self._builders))
        await self.open(next((name for name in self._builders if name.lower() == wanted.lower()), first))
