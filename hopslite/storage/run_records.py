"""Records of runs, read from their `run.json`: of one run, or of many in batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import StoreError
from .project import Project
from .records import MOST_BYTES, REQUIRED, read_record, record_of
from .run_directory import RunDir

__all__ = ["record_in", "record_or_error", "records_in"]

NAME = "run.json"
AT_ONCE = 32  # records read in one go, where often the first few are enough


def record_in(run: RunDir, required: Sequence[str] = REQUIRED) -> dict[str, Any] | None:
    """Record of a run; None if it is missing or not valid."""
    return record_of(run.read_many([NAME])[0], required)


def record_or_error(run: RunDir) -> dict[str, Any] | StoreError:
    """Record of a run, or the error that says why it cannot be read."""
    return _parsed(run.read_each([NAME], MOST_BYTES)[0], REQUIRED)


def records_in(
    project: Project, run_ids: Iterable[str], required: Sequence[str] = REQUIRED, at_once: int = AT_ONCE
) -> Iterator[tuple[str, dict[str, Any] | StoreError]]:
    """Id and record of each run, in the given order; an error in place of a record that cannot be read."""
    remaining = iter(run_ids)
    while batch := list(itertools.islice(remaining, at_once)):
        contents = project.read_each([f"Experiments/{run_id}/{NAME}" for run_id in batch], MOST_BYTES)
        for run_id, content in zip(batch, contents, strict=True):
            yield run_id, _parsed(content, required)


def _parsed(content: bytes | OSError | None, required: Sequence[str]) -> dict[str, Any] | StoreError:
    if isinstance(content, OSError):
        return StoreError(f"{NAME}: {content.strerror or content}")
    try:
        return read_record(content, required)
    except StoreError as error:
        return error
