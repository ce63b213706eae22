"""Status lines and the table of trials as text, shared by terminal and notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TextIO

from ..core import formatting
from ..core.objectives import described
from ..core.text_table import SEPARATOR, fit_widths, terminal_width
from ..core.types import State
from ..result import Run, Trial
from . import Status

__all__ = ["footer", "progress", "summary", "title", "width"]

ROWS = 20
MIN_WIDTH = 80  # a narrower terminal wraps lines rather than losing what they say
FILE_WIDTH = 160  # of lines that go to a file, where nothing wraps
MIN_COLUMN = 16
IMPORTANCE = ("left", "failed", "best", "front", "running", "elapsed", "stopped")  # beside a bar
HEAD = ("", "trial", "params", "metric", "state", "duration", "error")


def width(stream: TextIO) -> int:
    """Number of characters in a line."""
    columns = terminal_width(stream)
    return FILE_WIDTH if columns is None else max(MIN_WIDTH, columns)


def title(status: Status) -> str:
    return f"{status.name} version {status.version}"


def progress(status: Status, room: int | None = None) -> list[str]:
    """Parts of the status line.

    Args:
        room: characters beside a bar on the same line, for which the parts are shorter, and the least important ones
            are left out; None if there is a line for them alone.
    """
    is_short = room is not None
    slots = f" on {status.slots_used} slots" if status.slots_used and not is_short else ""
    pieces = {"running": f"{status.running} running{slots}"}
    if status.stopped:
        pieces["stopped"] = f"{status.stopped} stopped early"
    if status.failed:
        pieces["failed"] = f"{status.failed} failed"
    if status.best_metric is not None:
        trial = status.best_trial if is_short else f"trial {status.best_trial}"
        pieces["best"] = f"best {formatting.metric(status.best_metric)} ({trial})"
    if status.front:
        pieces["front"] = f"{len(status.front)} on the Pareto front"
    pieces["elapsed"] = formatting.duration(status.elapsed) + ("" if is_short else " elapsed")
    if status.remaining is not None and status.done != status.total:
        pieces["left"] = f"{formatting.duration(status.remaining)} left"
    return list(pieces.values()) if room is None else _fitting(pieces, room)


def _fitting(pieces: Mapping[str, str], room: int) -> list[str]:
    """The pieces for which there is room, the most important ones first; in their order."""
    chosen = set()
    for name in filter(pieces.__contains__, IMPORTANCE):
        needed = len(pieces[name]) + len(", ")
        if needed <= room:
            chosen.add(name)
            room -= needed
    return [text for name, text in pieces.items() if name in chosen]


def footer(status: Status, run: Run) -> list[tuple[str, str]]:
    """Footer of the table: pairs of a label and a text."""
    lines: list[tuple[str, str]] = []
    if run._best is not None and run._best.params:
        lines.append(("best parameters", formatting.exact_params(run._best.params)))
    if run.objectives:
        lines.append(("marked", f"best in {described(run.objectives)}: run.pareto_trials, to choose from"))
    if run.error:
        lines.append(("error", formatting.one_line(run.error)))
    if run.state in (State.KILLED, State.STOPPED) and status.resume_hint:
        lines.append(("go on with", status.resume_hint))
    lines.append(("run directory", run.logdir))
    if status.plots and run._chosen:
        lines.append(("plots", f"{status.plots} in some seconds"))
    if status.tensorboard_url:  # not the run's own: that may wait for the program to come up
        lines.append(("TensorBoard", f"{status.tensorboard_url} until this program ends"))
    if status.tensorboard_hint:
        lines.append(("and later", status.tensorboard_hint))
    if status.mlflow_hint:
        lines.append(("MLflow", status.mlflow_hint))
    return lines


def summary(run: Run, columns: int) -> list[str]:
    """Table of the run's trials as text, at most `ROWS` rows and `columns` characters wide."""
    if not run.trials:
        return ["no trial ran"]
    trials, omitted = formatting.select(run.trials, run.direction, run._chosen, ROWS)
    marked = {trial.id for trial in run._chosen}
    rows = [HEAD, *(_row(trial, trial.id in marked) for trial in trials)]
    lines = _align(rows, columns)
    return [*lines, f"and {omitted} more"] if omitted else lines


def _row(trial: Trial, is_best: bool) -> tuple[str, ...]:
    error = trial.error or trial.cause if trial.state in (State.FAILED, State.KILLED) else None
    return (
        "*" if is_best else "",
        trial.id,
        formatting.params(trial.params),
        formatting.score(trial),
        str(trial.state),
        formatting.duration(trial.duration),
        formatting.one_line(error),
    )


def _align(rows: Sequence[tuple[str, ...]], columns: int) -> list[str]:
    """Align columns, without the empty ones; parameters and errors share the remaining width."""
    rows = list(zip(*(column for column in zip(*rows, strict=True) if any(column[1:])), strict=True))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    elastic = [i for i, name in enumerate(rows[0]) if name in ("params", "error")]
    fixed = sum(w for i, w in enumerate(widths) if i not in elastic) + len(SEPARATOR) * (len(widths) - 1)
    free = columns - fixed
    for i, fitted in zip(elastic, fit_widths([widths[i] for i in elastic], free, MIN_COLUMN), strict=True):
        widths[i] = fitted
    return [
        SEPARATOR.join(formatting.cut(text, w).ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
