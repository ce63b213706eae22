"""Runs that used a version of a data set, from the inputs in their records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ..core.types import State
from ..errors import StoreError
from ..storage.datasets.references import parse
from ..storage.project import Project
from ..storage.run_records import records_in
from .lookup import state_of

__all__ = ["DataUse", "uses_of"]

DATA_SET = "dataset"  # kind of an input
AT_ONCE = 64  # records read in one go


@dataclasses.dataclass(frozen=True)
class DataUse:
    """Use of a data set by a run.

    Attributes:
        run_id, run_name, run_version: the run.
        state: `"RUNNING"`, `"FINISHED"`, `"FAILED"` or `"KILLED"`.
        started_at: in seconds since the epoch; None if unknown.
        input: the name of the run's input.
        version: of the data set.
        fingerprint: of the data set's files when the run began.
    """

    run_id: str
    run_name: str
    run_version: int
    state: str
    started_at: float | None
    input: str
    version: int
    fingerprint: str


def uses_of(project: Project, name: str, version: int | None = None) -> Iterator[DataUse]:
    """Uses of a data set, the newest runs first.

    Args:
        version: only of this one.
    """
    for run_id, record in records_in(project, reversed(project.runs()), at_once=AT_ONCE):
        if isinstance(record, StoreError):
            continue
        for input_name, item in (record.get("inputs") or {}).items():
            try:
                reference = parse(str(item.get("url"))) if item.get("kind") == DATA_SET else None
            except StoreError:
                continue
            if reference is None or reference.name != name or version not in (None, reference.version):
                continue
            state = record["state"]
            if state == State.RUNNING:
                state = state_of(project.sub("Experiments", run_id), record)
            yield DataUse(
                run_id,
                str(record["name"]),
                int(record["version"]),
                str(state),
                record.get("started"),
                str(input_name),
                reference.version or 0,
                str(item.get("fingerprint")),
            )
