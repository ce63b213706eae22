"""Elements that are drawn in the browser by the modules in `static/`, and get their data as JSON texts."""

from __future__ import annotations

from pathlib import Path

from nicegui.dependencies import register_esm
from nicegui.element import Element
from nicegui.elements import aggrid, echart

__all__ = ["LIBRARIES", "RunView", "RunsTable"]

LIBRARIES = (aggrid, echart)  # importing them lets pages load AG Grid and ECharts
STATIC = Path(__file__).parent / "static"

# With the time of the newest file, so that browsers do not keep the modules of another version.
register_esm("hopslite-dashboard", STATIC, max_time=max(path.stat().st_mtime for path in STATIC.iterdir()))


class RunView(Element, component="static/run_view_element.js"):
    """Head, charts and table of a run.

    Events: `synced` with the revision that the browser has, `stop`, `resume`. Methods: `apply` with changes, `reload`.
    """

    def __init__(self, run_id: str, allowed: bool) -> None:
        super().__init__()
        self._props["run-id"] = run_id
        self._props["allowed"] = allowed


class RunsTable(Element, component="static/runs_table_element.js"):
    """Table of runs.

    Events: `ready`, and `chosen` with the ids of the runs that are ticked. Methods: `update` with changes, `group`,
    `filter`.
    """
