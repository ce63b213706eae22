"""Asynchronous successive halving: at each rung only the best fraction of the trials so far continues."""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from ..core.plain_values import plain
from ..core.types import Direction, Result
from ..errors import InvalidArguments
from ._base import Described, not_a_count, not_a_number, score

__all__ = ["Asha"]


class Asha(Described):
    """Asynchronous successive halving that ends trials (Li et al., A System for Massively Parallel Hyperparameter
    Tuning, MLSys 2020, section 3), the variant in which a promoted trial simply continues to train.

    The rungs are at the steps `min_steps`, `min_steps * reduction_factor`, `min_steps * reduction_factor**2`, … A
    trial's first report at or beyond a rung is compared with all values of the rung so far: the trial ends unless it
    is among the best `1 / reduction_factor` of them. The best value always continues, and so do ties. A report that
    passes several rungs at once counts only at the last one: at the others it would be compared with values from much
    earlier steps.

    Args:
        min_steps: the first rung, for example the first epoch after which trials can be compared fairly.
        reduction_factor: at each rung, one trial of this many continues.
        max_steps: the number of steps of a complete trial. There are no rungs at or beyond it, because ending a trial
            there would save nothing.
    """

    OPTIONS = ("min_steps", "reduction_factor", "max_steps")

    def __init__(self, *, min_steps: float = 1, reduction_factor: int = 3, max_steps: float | None = None) -> None:
        min_steps, reduction_factor, max_steps = map(plain, (min_steps, reduction_factor, max_steps))
        problems = not_a_number("min_steps", min_steps, 0, open_end=True)
        problems += not_a_count("reduction_factor", reduction_factor, 2)
        if max_steps is not None:
            wrong = not_a_number("max_steps", max_steps, 0, open_end=True)
            if not problems and not wrong and max_steps <= min_steps:
                wrong = [f"max_steps must be above min_steps, given {max_steps!r} and {min_steps!r}"]
            problems += wrong
        if problems:
            raise InvalidArguments("stopper asha", problems)
        self._min_steps, self._reduction_factor, self._max_steps = min_steps, reduction_factor, max_steps
        self.begin(Direction.MAX)

    def begin(self, direction: Direction) -> None:
        self._direction = direction
        self._rungs: dict[int, list[float]] = {}  # the sorted scores at each rung
        self._joined: dict[str, list[tuple[int, float]]] = {}  # the rungs of each trial, with its scores there

    def started(self, trial_id: str) -> None:
        for rung, scored in self._joined.pop(trial_id, ()):
            scores = self._rungs[rung]
            del scores[bisect_left(scores, scored)]

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        joined = self._joined.setdefault(trial_id, [])
        rung = self._highest(step, joined[-1][0] if joined else -1)
        if rung is None:
            return None
        scored = score(value, self._direction)
        scores = self._rungs.setdefault(rung, [])
        insort(scores, scored)
        joined.append((rung, scored))
        kept = max(1, len(scores) // self._reduction_factor)
        if scored >= scores[-kept]:
            return None
        return f"its value at step {step:g}, {value:g}, is not among the best {kept} of {len(scores)} at this rung"

    def ended(self, result: Result) -> None:
        """No operation: the values of an ended trial stay in its rungs."""

    def _highest(self, step: float, joined: int) -> int | None:
        """The highest rung at or below a step; None when it is not above the one that was joined last."""
        highest, place = -1, self._min_steps
        while place <= step < math.inf and (self._max_steps is None or place < self._max_steps):
            highest += 1
            place *= self._reduction_factor
        return highest if highest > joined else None
