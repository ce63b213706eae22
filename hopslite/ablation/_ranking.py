"""Ranking of components by the cost of leaving them out, from the trials of a run."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from ..core import extras, formatting
from ..core.types import Direction, State, finite
from ..result import Run, SearchRun, Trial
from ._parts import NOTHING

if TYPE_CHECKING:
    import pandas

__all__ = ["AblationRun", "KEYS", "Ranked", "Ranking", "rank"]

KEYS = {"ablated_feature": "feature", "ablated_layer": "layer", "ablated": "component"}
HEAD = ("component", "kind", "cost", "metric", "trial", "state", "")


@dataclasses.dataclass(frozen=True, slots=True)
class Ranked:
    """One trial of a study: the component that it left out, its metric, and the difference from the base trial.

    `cost` is positive if the component helps, negative if the model is better without it, and None if the trial or the
    base trial has no metric. `kind` is `component`, `layer` (also groups and custom models), `feature` or `base`.
    """

    component: str
    kind: str
    metric: float | None
    cost: float | None
    trial_id: str
    state: State
    error: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking(Sequence[Ranked]):
    """The components of a study, sorted by cost, the most important first; those without a metric are last.

    `base` is the trial that left out nothing; None if it did not run.
    """

    rows: tuple[Ranked, ...]
    base: Ranked | None
    direction: Direction
    metric: str = "metric"

    @overload
    def __getitem__(self, index: int) -> Ranked: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Ranked, ...]: ...
    def __getitem__(self, index: int | slice) -> Ranked | tuple[Ranked, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.rows)

    @property
    def costs(self) -> dict[str, float | None]:
        """The cost of each component by name, in the order of the ranking."""
        return {row.component: row.cost for row in self.rows}

    def to_pandas(self) -> pandas.DataFrame:
        """One row per component, in the order of the ranking, the base first, with the fields of `Ranked`."""
        extras.require("pandas", "the ranking's to_pandas()")
        import pandas as pd

        rows = [dataclasses.asdict(row) for row in self._all()]
        frame = pd.DataFrame(rows, columns=[field.name for field in dataclasses.fields(Ranked)])
        frame["state"] = frame["state"].map(str)
        numbers: pandas.DataFrame = frame.astype({"metric": "float64", "cost": "float64"})
        return numbers

    def _all(self) -> tuple[Ranked, ...]:
        return (self.base, *self.rows) if self.base is not None else self.rows

    def _title(self) -> str:
        toward = "largest" if self.direction is Direction.MAX else "smallest"
        return f"what leaving each component out cost in {self.metric} (the {toward} is best)"

    def __repr__(self) -> str:
        table = [HEAD, *(_texts(row) for row in self._all())]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([self._title(), *(f"  {line.rstrip()}" for line in lines)])

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{formatting.CELL}">{name}</th>' for name in HEAD)
        return (
            f"<div>{html.escape(self._title())}"
            f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(map(_html_row, self._all()))}</tbody></table></div>"
        )


def _texts(row: Ranked) -> tuple[str, ...]:
    cost = "" if row.cost is None else f"{row.cost:+.4g}"
    name = "(nothing)" if row.kind == "base" else formatting.one_line(row.component, 60)
    kind = "" if row.kind == "base" else row.kind
    return (
        name,
        kind,
        cost,
        formatting.metric(row.metric),
        row.trial_id,
        str(row.state),
        formatting.one_line(row.error),
    )


def _html_row(row: Ranked) -> str:
    style = formatting.FAILED_ROW if row.state is State.FAILED else "font-weight:bold" if row.kind == "base" else ""
    cells = "".join(f'<td style="{formatting.CELL}">{html.escape(text)}</td>' for text in _texts(row))
    return f'<tr style="{style}">{cells}</tr>'


def rank(run: Run) -> Ranking:
    """The ranking of a run of `experiment.ablation`, computed only from its trials."""
    direction = run.direction or Direction.MAX
    rows = [_row(trial) for trial in run.trials]
    base = next((row for row in rows if row.kind == "base"), None)
    others = [_with_cost(row, base, direction) for row in rows if row is not base]
    return Ranking(tuple(sorted(others, key=_order(direction))), base, direction, run.optimization_key or "metric")


class AblationRun(SearchRun):
    """A run of `experiment.ablation`: a `Run` with a ranking of the components."""

    @property
    def ablation(self) -> Ranking:
        """The components, the most important first."""
        return rank(self)


def _row(trial: Trial) -> Ranked:
    key = next((key for key in KEYS if trial.params.get(key, NOTHING) != NOTHING), None)
    return Ranked(
        component=str(trial.params[key]) if key else NOTHING,
        kind=KEYS[key] if key else "base",
        metric=trial.metric,
        cost=None,
        trial_id=trial.id,
        state=trial.state,
        error=trial.error,
    )


def _with_cost(row: Ranked, base: Ranked | None, direction: Direction) -> Ranked:
    if base is None or base.metric is None or row.metric is None:
        return row
    worse = base.metric - row.metric if direction is Direction.MAX else row.metric - base.metric
    return dataclasses.replace(row, cost=worse)


def _order(direction: Direction) -> Any:
    """Sort key: the worst metric first, because that component is the most important; needs no base trial."""
    sign = 1.0 if direction is Direction.MAX else -1.0

    def key(row: Ranked) -> tuple[int, float]:
        return (0, sign * row.metric) if row.metric is not None and finite(row.metric) else (1, 0.0)

    return key
