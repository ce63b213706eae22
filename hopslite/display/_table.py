"""Texts that the terminal and the notebook have in common."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TextIO

from .. import _format
from .._trial import State
from ..result import Run, Trial
from . import Status

__all__ = ["footer", "is_terminal", "progress", "summary", "title", "width"]

ROWS = 20
MIN_WIDTH = 80  # a narrower terminal wraps lines rather than losing what they say
FILE_WIDTH = 160  # of lines that go to a file, where nothing wraps
MIN_COLUMN = 16
SEPARATOR = "  "
HEAD = ("", "trial", "params", "metric", "state", "duration", "error")


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at the stream and its last line can be drawn again."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # a stand-in without it, or a closed file
        return False


def width(stream: TextIO) -> int:
    """How many characters a line may have."""
    if not is_terminal(stream):
        return FILE_WIDTH
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # it says that it is a terminal, and has no file of its own
        columns = 0
    return max(MIN_WIDTH, columns or shutil.get_terminal_size().columns)


def title(status: Status) -> str:
    return f"{status.name} version {status.version}"


def progress(status: Status, short: bool = False) -> list[str]:
    """How the run is going, in pieces; `short` ones leave room for a bar on the same line."""
    slots = f" on {status.slots_used} slots" if status.slots_used and not short else ""
    pieces = [f"{status.running} running{slots}"]
    for count, what in ((status.stopped, "stopped early"), (status.failed, "failed")):
        if count:
            pieces.append(f"{count} {what}")
    if status.best_metric is not None:
        trial = status.best_trial if short else f"trial {status.best_trial}"
        pieces.append(f"best {_format.metric(status.best_metric)} ({trial})")
    pieces.append(_format.duration(status.elapsed) + ("" if short else " elapsed"))
    if status.remaining is not None and status.done != status.total:
        pieces.append(f"{_format.duration(status.remaining)} left")
    return pieces


def footer(status: Status, run: Run) -> list[tuple[str, str]]:
    """What to know and where to look next, as pairs of a label and a text."""
    lines: list[tuple[str, str]] = []
    if run.best_trial is not None and run.best_params:
        lines.append(("best parameters", _format.exact_params(run.best_params)))
    if run.error:
        lines.append(("error", _format.one_line(run.error)))
    if run.state is State.KILLED and status.resume_hint:
        lines.append(("go on with", status.resume_hint))
    lines.append(("run directory", run.logdir))
    if status.plots and run.best_trial is not None:
        lines.append(("plots", f"{status.plots} in some seconds"))
    if status.tensorboard_url:  # not the run's own: that may wait for the program to come up
        lines.append(("TensorBoard", f"{status.tensorboard_url} until this program ends"))
    if status.tensorboard_hint:
        lines.append(("and later", status.tensorboard_hint))
    if status.mlflow_hint:
        lines.append(("MLflow", status.mlflow_hint))
    return lines


def summary(run: Run, columns: int) -> list[str]:
    """The run's trials as a table of text, at most `ROWS` rows and `columns` characters wide."""
    if not run.trials:
        return ["no trial ran"]
    trials, omitted = _format.select(run.trials, run.direction, run.best_trial, ROWS)
    best = run.best_trial.id if run.best_trial is not None else None
    rows = [HEAD, *(_row(trial, trial.id == best) for trial in trials)]
    lines = _align(rows, columns)
    return [*lines, f"and {omitted} more"] if omitted else lines


def _row(trial: Trial, is_best: bool) -> tuple[str, ...]:
    error = trial.error or trial.cause if trial.state in (State.FAILED, State.KILLED) else None
    return (
        "*" if is_best else "",
        trial.id,
        _format.params(trial.params),
        _format.metric(trial.metric),
        str(trial.state),
        _format.duration(trial.duration),
        _format.one_line(error),
    )


def _align(rows: Sequence[tuple[str, ...]], columns: int) -> list[str]:
    """Columns without the empty ones; parameters and errors share the space that the others leave."""
    rows = list(zip(*(column for column in zip(*rows, strict=True) if any(column[1:])), strict=True))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    elastic = [i for i, name in enumerate(rows[0]) if name in ("params", "error")]
    fixed = sum(w for i, w in enumerate(widths) if i not in elastic) + len(SEPARATOR) * (len(widths) - 1)
    free = max(columns - fixed, MIN_COLUMN * len(elastic))
    for left, i in zip(range(len(elastic), 0, -1), sorted(elastic, key=widths.__getitem__), strict=True):
        widths[i] = min(widths[i], free // left)
        free -= widths[i]
    return [
        SEPARATOR.join(_format.cut(text, w).ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
