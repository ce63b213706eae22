"""Best metric of a run after each of its trials, as a curve of the run itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..core.fidelity import outranks
from ..core.types import Direction, Result, State

__all__ = ["BestSoFar"]


@dataclasses.dataclass(frozen=True, slots=True)
class _Candidate:
    state: State
    params: dict[str, Any]
    metric: float | None


class BestSoFar:
    """Curve of the best metric by the number of trials that have ended, in the order of the journal.

    Without a direction (a single training, or several metrics) it has no points.
    """

    def __init__(self) -> None:
        self._direction: Direction | None = None
        self._ranked_by: str | None = None
        self._ended: set[str] = set()
        self._best: _Candidate | None = None

    def begin(self, data: Mapping[str, Any]) -> None:
        """Take the direction from the record of a run."""
        name = str(data.get("direction"))
        self._direction = Direction(name) if name in Direction.__members__ else None
        self._ranked_by = data.get("ranked_by")

    @property
    def count(self) -> int:
        """Number of trials that have ended, each counted once."""
        return len(self._ended)

    @property
    def metric(self) -> float | None:
        """The best metric so far."""
        return self._best.metric if self._best else None

    def ended(self, trial_id: str, params: dict[str, Any], result: Result) -> bool:
        """Take note of a trial's end; True if it is the best so far."""
        self._ended.add(trial_id)
        candidate = _Candidate(result.state, params, result.metric)
        if self._direction is None or not outranks(candidate, self._best, self._direction, self._ranked_by):
            return False
        self._best = candidate
        return True
