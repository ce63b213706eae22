"""Summary of a run, as text and as HTML for notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from ..core import formatting
from ..core.objectives import described
from ..core.types import State

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from . import Run  # which imports this module

__all__ = ["html_of", "text_of"]

HTML_ROWS = 50


def text_of(run: Run[Unpack[tuple[Any, ...]]]) -> str:
    """Summary with one fact per line."""
    lines = [f"{run.name} version {run.version}: {run.verb}, {run.state}", *_lines(run)]
    return "\n  ".join(map(formatting.plain, lines))


def html_of(run: Run[Unpack[tuple[Any, ...]]]) -> str:
    """Summary with a table of trials."""
    rows, omitted = formatting.select(run.trials, run.direction, run._chosen, HTML_ROWS)
    facts = "".join(f"<div>{html.escape(formatting.plain(line))}</div>" for line in _lines(run))
    title = html.escape(formatting.plain(f"{run.name} version {run.version}"))
    table = formatting.html_table(rows, {trial.id for trial in run._chosen}, omitted)
    return f"<div><b>{title}</b>: {html.escape(formatting.plain(run.verb))}, {run.state}{facts}{table}</div>"


def _lines(run: Run[Unpack[tuple[Any, ...]]]) -> list[str]:
    """Summary lines of a run."""
    counts = run.counts
    by_state = ", ".join(f"{counts[state]} {state.value.lower()}" for state in State if state in counts)
    lines = [f"trials: {by_state or 'none'}"]
    best = run._best
    if run.objectives:
        ids = ", ".join(trial.id for trial in run.pareto_trials)
        lines.append(f"best in {described(run.objectives)}: {formatting.one_line(ids) or 'none'} (run.pareto_trials)")
    if best is not None:
        name = run.optimization_key or "metric"
        lines.append(f"best: {name} = {formatting.metric(best.metric)} (trial {best.id})")
        if best.params:
            lines.append(f"best params: {formatting.exact_params(best.params)}")
        schedule = run.best_schedule
        if schedule is not None and len(schedule) > 1:
            lines.append(f"best schedule: {formatting.one_line(str(schedule))} (run.best_schedule)")
    elif len(run.trials) == 1 and run.trials[0].outputs:
        lines.append(f"outputs: {formatting.params(run.trials[0].outputs)}")
    if run.error:
        lines.append(f"error: {formatting.one_line(run.error)}")
    if run.duration is not None:
        lines.append(f"duration: {formatting.duration(run.duration)}")
    lines.append(f"logdir: {run.logdir}")
    return lines
