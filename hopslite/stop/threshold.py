"""Stop trials whose metric crosses a fixed bound."""

from __future__ import annotations

import math

from ..core.plain_values import plain
from ..core.types import Direction, Result
from ..errors import InvalidArguments
from ._base import Described, not_a_number

__all__ = ["Threshold"]


class Threshold(Described):
    """Stop a trial that reports a value below `lower`, above `upper`, or NaN.

    The bounds apply to the value itself, independent of the direction: a loss that diverges is above `upper`, an
    accuracy that does not increase is below `lower`. Infinite values are beyond every bound. Without bounds, only NaN
    ends a trial.

    Args:
        lower: the smallest value allowed.
        upper: the largest value allowed.
        nan: whether NaN ends a trial.
        warmup_steps: no trial is ended before this step.
    """

    OPTIONS = ("lower", "upper", "nan", "warmup_steps")

    def __init__(
        self, *, lower: float | None = None, upper: float | None = None, nan: bool = True, warmup_steps: float = 0
    ) -> None:
        lower, upper, nan, warmup_steps = map(plain, (lower, upper, nan, warmup_steps))
        problems = not_a_number("lower", lower) if lower is not None else []
        problems += not_a_number("upper", upper) if upper is not None else []
        if not problems and lower is not None and upper is not None and lower > upper:
            problems.append(f"lower must not be above upper, given {lower!r} and {upper!r}")
        if nan not in (True, False):
            problems.append(f"nan must be True or False, given {nan!r}")
        elif lower is None and upper is None and not nan:
            problems.append("there is nothing to check: give lower, upper, or nan=True")
        problems += not_a_number("warmup_steps", warmup_steps, 0)
        if problems:
            raise InvalidArguments("stopper threshold", problems)
        self._lower, self._upper, self._nan, self._warmup_steps = lower, upper, nan, warmup_steps

    def begin(self, direction: Direction) -> None:
        """No operation: each value is compared by itself."""

    def started(self, trial_id: str) -> None:
        """No operation: there is no state."""

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        if step < self._warmup_steps:
            return None
        if math.isnan(value):
            return f"its value at step {step:g} is not a number" if self._nan else None
        if self._lower is not None and value < self._lower:
            return f"its value at step {step:g}, {value:g}, is below {self._lower:g}"
        if self._upper is not None and value > self._upper:
            return f"its value at step {step:g}, {value:g}, is above {self._upper:g}"
        return None

    def ended(self, result: Result) -> None:
        """No operation: there is no state."""
