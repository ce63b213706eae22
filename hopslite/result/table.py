"""The trials of a run as a table: a pandas data frame, or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.types import json_safe

if TYPE_CHECKING:
    import pandas

    from . import Trial

__all__ = ["csv_of", "table_of"]

ORIGINS = ("generation", "continues")  # columns that not every search has


def table_of(trials: Sequence[Trial], front: Collection[str] | None) -> pandas.DataFrame:
    """One row per trial, with the columns that `Run.to_pandas` documents."""
    import pandas as pd

    columns = _columns(trials, front)
    started = pd.Series([trial.started_at for trial in trials], dtype="float64")
    columns["started"] = pd.to_datetime(started, unit="s", utc=True)
    for name in ("duration",) if front is not None else ("duration", "metric"):
        columns[name] = pd.Series(columns[name], dtype="float64")
    if "generation" in columns:
        columns["generation"] = pd.array(columns["generation"], dtype="Int64")
    frame: pandas.DataFrame = pd.DataFrame(columns)
    return frame


def csv_of(trials: Sequence[Trial], front: Collection[str] | None = None) -> str:
    """Comma-separated values (RFC 4180, but with line feeds) with a header, with the columns of the data frame."""
    columns = _columns(trials, front)
    rows = ([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return "".join(map(_line, [list(columns), *rows]))


def _line(cells: Sequence[str]) -> str:
    """A line of the file; csv quotes both kinds of line ends only with this terminator (before Python 3.13)."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerow(cells)
    return file.getvalue()[:-2] + "\n"


def _columns(trials: Sequence[Trial], front: Collection[str] | None) -> dict[str, Any]:
    """Values by the names of columns, a list each.

    Args:
        front: ids of the trials on the Pareto front; None for a run with one metric.
    """
    columns: dict[str, Any] = {
        "id": [trial.id for trial in trials],
        "state": [str(trial.state) for trial in trials],
        **(
            {"metric": [trial.metric for trial in trials]}
            if front is None
            else {"pareto": [trial.id in front for trial in trials]}
        ),
    }
    last: dict[str, Any] = {
        "error": [trial.error for trial in trials],
        "started": [trial.started for trial in trials],
        "duration": [trial.duration for trial in trials],
        "logdir": [trial.logdir for trial in trials],
    }
    origins = {name: [getattr(trial, name) for trial in trials] for name in ORIGINS}
    last = {name: values for name, values in origins.items() if any(v is not None for v in values)} | last
    outputs = {f"outputs.{key}": key for key in _keys(trial.outputs for trial in trials)}
    taken = {*columns, *outputs, *ORIGINS, *last}
    for key in _keys(trial.params for trial in trials):
        column = key
        while column in taken:
            column = f"params.{column}"
        taken.add(column)
        columns[column] = [trial.params.get(key) for trial in trials]
    for column, key in outputs.items():
        columns[column] = [(trial.outputs or {}).get(key) for trial in trials]
    return {**columns, **last}


def _cell(value: Any) -> str:
    """Cell of a value: numbers exactly, times in ISO 8601, lists and dicts as JSON; missing ones are empty."""
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    plain = json_safe(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, (list, dict)) else str(plain)


def _keys(dicts: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """All keys, each once, in the order in which they first appear."""
    return list(dict.fromkeys(key for items in dicts for key in items or ()))
