"""Running mean of a trial's reports, in bounded memory."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right

from ._base import WORST

__all__ = ["Curve", "POINTS"]

POINTS = 1000  # number of means that are kept of a trial: at least this, at most twice as many


class Curve:
    """The mean of a trial's scores up to each step, and the best of them.

    If a trial has very many reports, only every second mean is kept, then every fourth, and so on. The mean up to a
    step is then the mean up to a slightly earlier step.
    """

    __slots__ = ("_count", "_means", "_steps", "_stride", "_total", "best", "last")

    def __init__(self) -> None:
        self._steps, self._means = array("d"), array("d")
        self._count, self._stride, self._total = 0, 1, 0.0
        self.best, self.last = WORST, -1.0

    def add(self, step: float, score: float) -> None:
        self._total += score
        self.best, self.last = max(self.best, score), step
        if self._count % self._stride == 0:
            self._steps.append(step)
            # rounding must not make the mean larger than the best score
            self._means.append(min(self._total / (self._count + 1), self.best))
            if len(self._steps) == 2 * POINTS:
                self._steps, self._means = self._steps[::2], self._means[::2]
                self._stride *= 2
        self._count += 1

    def mean(self, step: float) -> float | None:
        """Mean of the scores up to a step; None if there are no reports by then."""
        at = bisect_right(self._steps, step) - 1
        if at < 0:
            return None
        mean = self._means[at]
        return WORST if math.isnan(mean) else mean  # of infinities of both signs
