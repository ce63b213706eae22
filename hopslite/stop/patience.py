"""Patience: stop trials that have not improved for a number of reports."""

from __future__ import annotations

import math

from ..core.plain_values import plain
from ..core.types import Direction, Result
from ..errors import InvalidArguments
from ._base import WORST, Described, not_a_count, not_a_number, score

__all__ = ["Patience"]


class Patience(Described):
    """Stop a trial whose last `reports` reports were no better than its best one before.

    Other trials do not matter: even the best trial ends when it no longer improves.

    Args:
        reports: number of reports in a row without an improvement, after which the trial ends.
        min_delta: the smallest difference that counts as an improvement. Smaller differences add up, because each value
            is compared with the last one that counted.
    """

    OPTIONS = ("reports", "min_delta")

    def __init__(self, *, reports: int = 5, min_delta: float = 0.0) -> None:
        reports, min_delta = plain(reports), plain(min_delta)
        problems = not_a_count("reports", reports, 1) + not_a_number("min_delta", min_delta, 0)
        if problems:
            raise InvalidArguments("stopper patience", problems)
        self._reports, self._min_delta = reports, min_delta
        self.begin(Direction.MAX)

    def begin(self, direction: Direction) -> None:
        self._direction = direction
        self._seen: dict[str, tuple[float, float, int]] = {}  # the best score, its step, reports since then

    def started(self, trial_id: str) -> None:
        self._seen.pop(trial_id, None)

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        scored = score(value, self._direction)
        best, at, since = self._seen.get(trial_id, (WORST, step, 0))
        if scored > best + self._min_delta or (trial_id not in self._seen and not math.isnan(value)):
            self._seen[trial_id] = (scored, step, 0)
            return None
        self._seen[trial_id] = (best, at, since + 1)
        if since + 1 < self._reports:
            return None
        return f"{since + 1} reports up to step {step:g} were no better than that of step {at:g}"

    def ended(self, result: Result) -> None:
        self._seen.pop(result.trial_id, None)
