"""Normal and log-normal dimensions, with or without bounds."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from typing import TYPE_CHECKING, Any

from ..core.plain_values import is_number
from ..errors import InvalidArguments

if TYPE_CHECKING:
    from statistics import NormalDist

__all__ = ["Normal", "lognormal", "normal"]

LEAST_SHARE = 1e-9  # of the distribution between the bounds, so that floats tell its values apart
EDGE = 2.0**-54  # from 0 and 1, where the values of an unbounded distribution are infinite


@dataclasses.dataclass(frozen=True)
class Normal:
    """Floats with a normal distribution, truncated to the bounds if there are any.

    With `log` the logarithm has this distribution; the bounds are those of the value itself.
    """

    mean: float
    sd: float
    low: float | None = None
    high: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        where = "lognormal" if self.log else "normal"
        problems = self._number_problems()
        if not problems:
            for name in ("mean", "sd", "low", "high"):
                value = getattr(self, name)
                object.__setattr__(self, name, None if value is None else float(value))
            problems = self._bound_problems()
        if problems:
            raise InvalidArguments(where, problems)

    def _number_problems(self) -> list[str]:
        problems = [
            f"{name} must be a finite number, given {value!r}"
            for name, value in (("mean", self.mean), ("sd", self.sd))
            if not (is_number(value) and math.isfinite(value))
        ]
        problems += [
            f"{name} must be a finite number or None for no bound, given {value!r}"
            for name, value in (("low", self.low), ("high", self.high))
            if value is not None and not (is_number(value) and math.isfinite(value))
        ]
        return problems if problems or self.sd > 0 else [f"sd must be above 0, given {self.sd!r}"]

    def _bound_problems(self) -> list[str]:
        low, high = self.low, self.high
        if self.log and any(bound is not None and bound <= 0 for bound in (low, high)):
            return [f"the bounds of a log-normal distribution must be above 0, given {low!r} and {high!r}"]
        if low is not None and high is not None and low >= high:
            return [f"low must be below high, given {low!r} and {high!r}"]
        below, above = self._limits
        if above - below < LEAST_SHARE:
            return [f"the bounds {low!r} and {high!r} have almost nothing of the distribution; move or widen them"]
        return []

    @property
    def size(self) -> None:
        """Continuous: no number of values."""
        return None

    @functools.cached_property
    def _distribution(self) -> NormalDist:
        from statistics import NormalDist  # not above: most programs do not need it

        return NormalDist(self.mean, self.sd)

    @functools.cached_property
    def _limits(self) -> tuple[float, float]:
        """Shares of the distribution below the lower and below the upper bound."""
        return self._share(self.low, 0.0), self._share(self.high, 1.0)

    def _share(self, value: float | None, otherwise: float) -> float:
        if value is None:
            return otherwise
        return self._distribution.cdf(math.log(value) if self.log else value)

    def from_unit(self, u: float) -> float:
        """The value below which the share `u`, from 0 to 1, of the distribution lies."""
        below, above = self._limits
        share = min(max(below * (1.0 - u) + above * u, EDGE), 1.0 - 2 * EDGE)
        value = self._distribution.inv_cdf(share)
        if self.log:
            value = math.exp(min(value, math.log(sys.float_info.max)))
        low, high = self.low, self.high
        value = value if low is None else max(value, low)
        return value if high is None else min(value, high)

    def to_unit(self, value: float) -> float:
        """The share of the distribution below `value`."""
        least = self.low if self.low is not None else 0.0 if self.log else -math.inf
        most = math.inf if self.high is None else self.high
        if not (is_number(value) and math.isfinite(value) and least <= value <= most) or (self.log and value <= 0):
            raise InvalidArguments("space", [f"{value!r} is not a number from {least!r} to {most!r}"])
        below, above = self._limits
        return min(max((self._share(float(value), 0.0) - below) / (above - below), 0.0), 1.0)

    def to_json(self) -> dict[str, Any]:
        bounds = {name: bound for name, bound in (("low", self.low), ("high", self.high)) if bound is not None}
        return {"type": "lognormal" if self.log else "normal", "mean": self.mean, "sd": self.sd, **bounds}

    def __repr__(self) -> str:
        shown = [f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self)]
        defaults = ("low=None", "high=None", "log=False")
        return f"Normal({', '.join(text for text in shown if text not in defaults)})"


def normal(mean: float, sd: float, low: float | None = None, high: float | None = None) -> Normal:
    """A float with a normal distribution; with bounds, values outside are left out, not moved to the bounds.

    >>> normal(10, 2).from_unit(0.5)
    10.0
    """
    return Normal(mean, sd, low, high)


def lognormal(mean: float, sd: float, low: float | None = None, high: float | None = None) -> Normal:
    """A float above 0 whose natural logarithm has a normal distribution with this mean and standard deviation.

    The bounds are those of the value, not of its logarithm.

    >>> lognormal(0, 1).from_unit(0.5)
    1.0
    """
    return Normal(mean, sd, low, high, log=True)
