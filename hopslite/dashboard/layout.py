"""Frame of all pages: title, navigation, theme."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from nicegui import ui

from .context import Dashboard
from .projects import ProjectMenu

__all__ = ["frame"]

PAGES = (
    ("Runs", "/"),
    ("Compare", "/compare"),
    ("Data sets", "/data"),
    ("Models", "/models"),
    ("New run", "/new"),
)
THEMES = {"light": False, "dark": True, "auto": None}
ACCENT = "#0b6e6e"
THEME_COOKIE = "hopslite-theme"
STATIC = Path(__file__).parent / "static"


@contextlib.contextmanager
def frame(dashboard: Dashboard, title: str, active: str = "") -> Iterator[None]:
    """Draw the frame of a page, with the page's elements inside.

    Args:
        title: of the browser's tab.
        active: the path in the navigation that this page belongs to.
    """
    ui.page_title(f"{title} · hopslite")
    ui.add_head_html(f"<style>{_style()}</style><script>document.documentElement.lang = 'en'</script>")
    ui.colors(primary=ACCENT)
    theme = _theme()
    dark = ui.dark_mode(THEMES[theme])
    with ui.element("header").classes("hl-top"):
        ui.link("hopslite", "/").classes("hl-brand")
        with ui.element("nav").props('aria-label="Pages"').classes("hl-nav"):
            for name, path in PAGES:
                if path == "/new" and dashboard.read_only:
                    continue
                link = ui.link(name, path)
                if path == active:
                    link.props('aria-current="page"')
        with ui.element("div").classes("hl-aside"):
            if dashboard.projects is not None:
                ProjectMenu(dashboard.projects, dashboard.project.shown)
            _theme_button(dark, theme)
    with ui.element("main").classes("hl-main"):
        yield


def _theme() -> str:
    request = ui.context.client.request
    chosen = request.cookies.get(THEME_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


def _theme_button(dark: ui.dark_mode, current: str) -> None:
    def choose(name: str) -> None:
        dark.value = THEMES[name]
        ui.run_javascript(f"document.cookie = '{THEME_COOKIE}={name}; path=/; max-age=31536000; samesite=strict'")

    with ui.button(icon="contrast", color=None).props('flat round dense aria-label="Theme"').classes("hl-icon"):
        ui.tooltip("theme")
        with ui.menu():
            for name in THEMES:
                title = "as the system" if name == "auto" else name
                ui.menu_item(title, on_click=functools.partial(choose, name))


@functools.cache
def _style() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.css")))
