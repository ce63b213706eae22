"""Overview of a trial: its result, parameters, metrics, curves, and what went wrong."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ..core import formatting
from ..core.plain_values import is_number
from ..core.types import State
from ..runs.following import FollowedTrial
from ..runs.recorded_source import Frame, frames_of, read_source
from ..runs.trial_journal import TrialJournal
from ..storage.run_directory import RunDir
from .feeds import in_thread
from .widgets import ChartGrid, empty, facts, section, table, text, text_block

__all__ = ["Overview"]

MOST_VALUES = 500


class Overview:
    """The tab Overview."""

    def __init__(self, run: RunDir, trial_id: str) -> None:
        self._run, self._trial_id = run, trial_id
        self._parts: ui.element | None = None
        self._charts: ChartGrid | None = None
        self._shown: tuple[Any, ...] | None = None
        self._last: tuple[FollowedTrial, State, dict[str, Any], TrialJournal] | None = None

    async def build(self) -> None:
        self._parts = ui.element("div").classes("hl-overview")
        self._charts = ChartGrid([], "It has reported no metric.")
        if self._last is not None:
            await self.show(*self._last)

    async def show(self, trial: FollowedTrial, state: State, record: dict[str, Any], journal: TrialJournal) -> None:
        """Show a trial as it is now."""
        self._last = (trial, state, record, journal)
        if self._parts is None or self._charts is None:
            return
        self._charts.show(
            [{"title": name, "series": [_line(name, series.shown())]} for name, series in _curves(journal)]
        )
        key = (state, trial.params, trial.stop_reason, trial.result, trial.attempt)
        if key == self._shown:
            return
        self._shown = key
        problem = trial.result.traceback if trial.result else None
        frames = await in_thread(self._frames, problem, record) if problem else []
        self._parts.clear()
        with self._parts:
            _problem(trial, state, frames)
            with ui.element("div").classes("hl-columns"):
                _values("Parameters", trial.params)
                _metrics(trial, record)
                _outputs(trial)
                _facts(trial, self._run, self._trial_id)

    def _frames(self, traceback: str, record: dict[str, Any]) -> list[Frame]:
        return frames_of(traceback, read_source(self._run, record))


def _curves(journal: TrialJournal) -> list[tuple[str, Any]]:
    return list(journal.curves.items())


def _line(name: str, points: list[tuple[float, float]]) -> dict[str, Any]:
    return {"name": name, "points": points}


def _problem(trial: FollowedTrial, state: State, frames: list[Frame]) -> None:
    result = trial.result
    if result is None or not (result.error or result.traceback or result.warnings):
        if trial.stop_reason:
            with section("Stop"):
                ui.label(formatting.one_line(trial.stop_reason))
        return
    is_stopped = state is State.STOPPED
    with section("Why it was stopped" if is_stopped else "What went wrong" if result.error else "Warnings"):
        if result.error:
            ui.label(formatting.printable(result.error)).classes("" if is_stopped else "hl-problem hl-mono")
        if result.cause:
            ui.label(f"cause: {formatting.plain(result.cause)}").classes("hl-soft")
        for warning in result.warnings:
            ui.label(formatting.printable(warning)).classes("hl-soft")
        for frame in frames:
            if frame.lines:
                _source(frame)
        if result.traceback:
            with ui.expansion("Traceback", value=not any(frame.lines for frame in frames)).classes("hl-fold-out"):
                text_block(formatting.printable(result.traceback), "Traceback")


def _source(frame: Frame) -> None:
    where = f"{formatting.plain(frame.file)}, line {frame.line}" + (
        f", in {formatting.plain(frame.function)}" if frame.function else ""
    )
    ui.label(where).classes("hl-soft hl-mono")
    with ui.element("div").classes("hl-source"):
        for number, line in frame.lines:
            row = ui.element("div").classes("hl-source-line" + (" hl-here" if number == frame.line else ""))
            with row:
                text("span", str(number)).classes("hl-source-number")
                text("span", line or " ")


def _values(title: str, values: dict[str, Any]) -> None:
    with section(title):
        if not values:
            empty("none")
            return
        table(["name", "value"], [(formatting.plain(name), _exact(name, item)) for name, item in _first(values)])


def _metrics(trial: FollowedTrial, record: dict[str, Any]) -> None:
    """Final metric, and the last and best of what was reported."""
    rows = []
    result, key = trial.result, str(record.get("optimization_key") or "metric")
    if result is not None and result.metric is not None:
        rows.append((formatting.plain(key), formatting.metric(result.metric), "the trial's metric"))
    for name, value in (result.metrics or {}).items() if result is not None else ():
        rows.append((formatting.plain(name), formatting.metric(value), "the trial's metric"))
    for name, curve in trial.curves.items():
        points = curve.shown()
        if points:
            step, value = points[-1]
            rows.append(
                (formatting.plain(name), formatting.metric(value), f"reported at step {formatting.metric(step)}")
            )
    with section("Metrics"):
        if rows:
            table(["name", "value", ""], rows)
        else:
            empty("none yet")


def _outputs(trial: FollowedTrial) -> None:
    outputs = trial.result.outputs if trial.result else None
    if outputs:
        _values("Returned", outputs)


def _facts(trial: FollowedTrial, run: RunDir, trial_id: str) -> None:
    result = trial.result
    usage = (result.usage or {}) if result else {}
    with section("Facts"):
        facts(
            [
                ("generation", "" if trial.generation is None else str(trial.generation)),
                ("continues", formatting.plain(trial.continues or "")),
                ("host", formatting.plain(trial.host or "")),
                ("duration", formatting.duration(result.duration) if result else ""),
                *(
                    (formatting.plain(name.replace("_", " ")), formatting.metric(value))
                    for name, value in usage.items()
                    if is_number(value)
                ),
                ("directory", run.sub("trials", trial_id).shown),
            ]
        )


def _first(values: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(values.items())[:MOST_VALUES]


def _exact(name: str, item: Any) -> str:
    """A value in full, without secrets."""
    return formatting.exact_params({name: item}).partition("=")[2]
