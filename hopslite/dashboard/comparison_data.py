"""Data of the page Compare: runs and trials side by side."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import formatting
from ..core.plain_values import is_number
from ..errors import RunNotFound
from ..result import Trial
from ..runs.comparison import comparable, packages_in, source_difference
from ..runs.lookup import read, trial_of
from ..runs.recorded_source import read_source
from ..runs.trial_journal import TrialJournal
from ..storage.records import record_of
from ..storage.run_directory import RunDir
from .context import Dashboard

__all__ = ["Comparison", "Item", "compare", "curves_of", "differing", "read_item", "references_in"]

MOST_ITEMS = 12
MOST_TEXT = 4 << 20  # bytes of a list of packages


@dataclasses.dataclass(frozen=True)
class Item:
    """A run, or one of its trials, that is compared.

    Attributes:
        trial_id: whose curves are drawn: of a run its best trial; None if it has none.
        facts, params, metrics: by name.
        sources: of its program, by file.
        packages: versions by name.
    """

    reference: str
    title: str
    address: str
    run: RunDir
    state: str
    trial_id: str | None
    facts: Mapping[str, Any]
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    sources: Mapping[str, str]
    packages: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Rows of a table: a name, the text for each item, and whether these differ."""

    rows: tuple[tuple[str, tuple[str, ...], bool], ...]

    @property
    def differences(self) -> int:
        return sum(differs for _, _, differs in self.rows)


def read_item(dashboard: Dashboard, reference: str) -> Item:
    """Read a run (`RUN_ID`) or a trial (`RUN_ID/TRIAL`).

    Raises:
        RunNotFound: there is no such run or trial.
        StoreError: its record cannot be read.
    """
    run_id, _, trial_id = reference.partition("/")
    directory = dashboard.run(run_id)
    run = read(dashboard.project, directory)
    trial: Trial | None = trial_of(run, trial_id) if trial_id else run._best
    [record, environment] = directory.read_each(["run.json", "environment.txt"], MOST_TEXT)
    facts = {name: value for name, value in comparable(run, directory, _shown_time).items() if name != "run_id"}
    params = trial.params if trial else {}
    metrics: dict[str, Any] = {}
    if trial is not None:
        key = run.optimization_key or "metric"
        metrics = {**({key: trial.metric} if trial.metric is not None else {}), **(trial.metrics or {})}
        outputs = trial.outputs or {}
        metrics |= {name: value for name, value in outputs.items() if name not in metrics and is_number(value)}
    if trial_id and trial is not None:
        facts = _facts_of(trial)
    best = [name for name in facts if name.startswith("best ")]
    title = f"{run.name} {run.version}" + (f" / {trial.id}" if trial_id and trial else "")
    return Item(
        reference,
        formatting.plain(title),
        f"/runs/{run_id}" + (f"/trials/{trial.id}" if trial_id and trial else ""),
        directory,
        str(trial.state if trial_id and trial else run.state),
        trial.id if trial else None,
        {name: value for name, value in facts.items() if name not in best and name not in ("name", "version", "state")},
        params,
        metrics,
        read_source(directory, record_of(record if isinstance(record, bytes) else None) or {}),
        packages_in(environment.decode("utf-8", "replace") if isinstance(environment, bytes) else ""),
    )


def _facts_of(trial: Trial) -> dict[str, Any]:
    return {
        "duration": formatting.duration(trial.duration),
        "started": _shown_time(trial.started_at) if trial.started_at else None,
        "host": trial.host,
        "generation": trial.generation,
        "continues": trial.continues,
        "error": trial.error,
        **{name.replace("_", " "): value for name, value in (trial.usage or {}).items()},
    }


def _shown_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def compare(values: Sequence[Mapping[str, Any]]) -> Comparison:
    """Compare values by name; names that none has a value for are left out."""
    rows = []
    for name in dict.fromkeys(name for mapping in values for name in mapping):
        items = [mapping.get(name) for mapping in values]
        texts = tuple(_text(name, item) for item in items)
        if any(texts):
            rows.append((formatting.plain(str(name)), texts, len({repr(item) for item in items}) > 1))
    return Comparison(tuple(rows))


def differing(items: Sequence[Item]) -> tuple[Comparison, list[list[str]]]:
    """Packages whose versions differ, and for each item but the first the difference of its sources to the first."""
    packages = compare([item.packages for item in items])
    rows = tuple(row for row in packages.rows if row[2])
    first = items[0]
    return Comparison(rows), [
        source_difference(first.sources, item.sources, (first.title, item.title)) for item in items[1:]
    ]


def curves_of(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Panels with the curves of all items over each other, one for each metric."""
    panels: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if item.trial_id is None:
            continue
        journal = TrialJournal(item.run, item.trial_id)
        journal.refresh()
        shown = item.title if "/" in item.reference else f"{item.title} / {item.trial_id}"
        for name, curve in journal.curves.items():
            panels.setdefault(name, []).append({"name": shown, "points": curve.shown()})
    return [{"title": name, "series": series} for name, series in panels.items()]


def references_in(text: str) -> list[str]:
    """References of the query of the page's address, each once."""
    references = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(references) > MOST_ITEMS:
        raise RunNotFound(f"at most {MOST_ITEMS} are compared at once, given {len(references)}")
    return references


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    return (
        formatting.one_line(value)
        if isinstance(value, str)
        else formatting.exact_params({name: value}).partition("=")[2]
    )
