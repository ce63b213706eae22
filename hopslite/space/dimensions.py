"""The dimensions of a search space; `space` has the public names."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

from ..core.plain_values import is_integer, is_number
from ..errors import InvalidArguments
from .cells import cell_index, cell_middle
from .choices import Choice
from .normal_distribution import Normal
from .validation import bound_problems, continuous_problems, decimal, log_problems, step_problems, whole_step_problems


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Any float from `low` to `high`; with a `step` only `low`, `low` + `step` and so on.

    With a step `high` is the last of these values, which may be less than the bound that was given.
    """

    low: float
    high: float
    step: float | None = None
    size: int | None = dataclasses.field(init=False, repr=False, compare=False, default=None)
    """The number of values; None without a step."""

    def __post_init__(self) -> None:
        problems = continuous_problems(self.low, self.high)
        if self.step is not None:
            problems += step_problems(self.low, self.high, self.step, problems)
        _set_bounds(self, "uniform", problems, float)
        if self.step is not None:
            object.__setattr__(self, "step", float(self.step))
            low, step, denominator = self._terms
            size = int(decimal(self.high) * denominator - low) // step + 1
            object.__setattr__(self, "size", size)
            object.__setattr__(self, "high", self.at(size - 1))

    @functools.cached_property
    def _terms(self) -> tuple[int, int, int]:
        """`low` and `step` as they are written in decimals, as integers over a common denominator."""
        low, step = decimal(self.low), decimal(self.step or 0.0)
        denominator = math.lcm(low.denominator, step.denominator, decimal(self.high).denominator)
        return int(low * denominator), int(step * denominator), denominator

    def at(self, index: int) -> float:
        """The value `low` + `index` × `step`, rounded once: 0.1 + 2 × 0.1 is 0.3."""
        low, step, denominator = self._terms
        return (low + index * step) / denominator

    def index(self, u: float) -> int:
        return cell_index(u, self.size or 1)

    def middle(self, index: int) -> float:
        """The middle of the cell that stands for the value of this index."""
        return cell_middle(index, self.size or 1)

    def places(self, value: Any) -> list[int]:
        """The indices of the values that equal `value`, to a small part of the step; none without a step."""
        if self.step is None or not (is_number(value) and self.low - self.step < value < self.high + self.step):
            return []
        index = round(value / self.step - self.low / self.step)
        near = abs(self.at(index) - value) <= max(1e-9 * self.step, 2 * math.ulp(value))
        return [index] if near and 0 <= index < (self.size or 0) else []

    def from_unit(self, u: float) -> float:
        """The value at the fraction `u`, from 0 to 1, of the interval; with a step, of the cell that holds `u`."""
        if self.step is not None:
            return self.at(self.index(u))
        return min(max(self.low * (1.0 - u) + self.high * u, self.low), self.high)

    def to_unit(self, value: float) -> float:
        """The fraction of the interval at which `value` lies; with a step, the middle of its cell."""
        if self.step is not None:
            return self.middle(_place(self, value))
        _refuse_outside(self, value)
        scale = 1.0 if math.isfinite(self.high - self.low) else 0.5
        return (value * scale - self.low * scale) / (self.high * scale - self.low * scale)

    def to_json(self) -> dict[str, Any]:
        step = {} if self.step is None else {"step": self.step}
        return {"type": "uniform", "low": self.low, "high": self.high, **step}

    def __repr__(self) -> str:
        return _shown(self)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Any float from `low` to `high`, both above 0, every order of magnitude being equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        problems = continuous_problems(self.low, self.high)
        if not problems and min(self.low, self.high) <= 0:
            problems = [
                f"the bounds of a logarithmic interval must be above 0, given {self.low!r} and {self.high!r}; "
                "raise the lower bound or use uniform"
            ]
        _set_bounds(self, "loguniform", problems, float)

    @property
    def size(self) -> None:
        """Continuous: no number of values."""
        return None

    def from_unit(self, u: float) -> float:
        """The value at the fraction `u`, from 0 to 1, of the interval of logarithms."""
        value = math.exp(math.log(self.low) * (1.0 - u) + math.log(self.high) * u)
        return min(max(value, self.low), self.high)

    def to_unit(self, value: float) -> float:
        """The fraction of the interval of logarithms at which `value` lies."""
        _refuse_outside(self, value)
        width = math.log(self.high) - math.log(self.low)
        return (math.log(value) - math.log(self.low)) / width if width else 0.0

    def to_json(self) -> dict[str, Any]:
        return {"type": "loguniform", "low": self.low, "high": self.high}


@dataclasses.dataclass(frozen=True)
class Integer:
    """Any integer from `low` to `high`, both included; with a `step` only `low`, `low` + `step` and so on.

    With a step `high` is the last of these values, which may be less than the bound that was given. With `log` every
    order of magnitude is equally likely: 1 to 9 together as often as 10 to 99.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False
    size: int = dataclasses.field(init=False, repr=False, compare=False)
    """The number of values."""

    def __post_init__(self) -> None:
        problems = bound_problems(self.low, self.high)
        if not problems and not all(map(is_integer, (self.low, self.high))):
            problems = [f"the bounds must be integers, given {self.low!r} and {self.high!r}; round them or use uniform"]
        problems += log_problems(self.low, self.high, self.step, self.log, problems)
        problems += whole_step_problems(self.low, self.high, self.step, problems)
        _set_bounds(self, "integer", problems, int)
        object.__setattr__(self, "step", int(self.step))
        object.__setattr__(self, "log", bool(self.log))
        object.__setattr__(self, "size", (self.high - self.low) // self.step + 1)
        object.__setattr__(self, "high", self.at(self.size - 1))

    def at(self, index: int) -> int:
        return self.low + index * self.step

    def index(self, u: float) -> int:
        if not self.log:
            return cell_index(u, self.size)
        value = int(math.exp(math.log(self.low) * (1.0 - u) + math.log(self.high + 1) * u))
        return min(max(value, self.low), self.high) - self.low

    def middle(self, index: int) -> float:
        """The middle of the cell that stands for the value of this index."""
        if not self.log:
            return cell_middle(index, self.size)
        start, value = math.log(self.low), self.low + index
        middle = (math.log(value) + math.log(value + 1)) / 2
        return (middle - start) / (math.log(self.high + 1) - start)

    def places(self, value: Any) -> list[int]:
        """The indices of the values that equal `value`: one or none."""
        if not (is_number(value) and self.low <= value <= self.high) or int(value) != value:
            return []
        index, remainder = divmod(int(value) - self.low, self.step)
        return [] if remainder else [index]

    def from_unit(self, u: float) -> int:
        """The value of the cell of the unit interval that holds `u`; cells are equal unless `log` is set."""
        return self.at(self.index(u))

    def to_unit(self, value: int) -> float:
        """The middle of the cell that stands for `value`."""
        return self.middle(_place(self, value))

    def to_json(self) -> dict[str, Any]:
        step = {} if self.step == 1 else {"step": self.step}
        log = {"log": True} if self.log else {}
        return {"type": "integer", "low": self.low, "high": self.high, **step, **log}

    def __repr__(self) -> str:
        return _shown(self)


Dimension = Uniform | LogUniform | Normal | Integer | Choice
Finite = Uniform | Integer | Choice  # what has a number of values; a uniform only with a step


def uniform(low: float, high: float, step: float | None = None) -> Uniform:
    """Any float between the bounds, which may be in either order.

    With a step the values are those from the lower bound in steps, as far as the upper one: finitely many, without
    rounding errors that add up, so that `grid_search` takes them, too.

    >>> dropout = uniform(0.1, 0.5, step=0.1)
    >>> [dropout.at(index) for index in range(dropout.size)]
    [0.1, 0.2, 0.3, 0.4, 0.5]
    """
    return Uniform(low, high, step)


def loguniform(low: float, high: float) -> LogUniform:
    """Any float between the bounds, in either order, uniform in the logarithm: for learning rates and the like."""
    return LogUniform(low, high)


def integer(low: int, high: int, step: int = 1, log: bool = False) -> Integer:
    """Any integer between the bounds, both included, in either order.

    With a step the values are those from the lower bound in steps, as far as the upper one. With `log=True` every
    order of magnitude is equally likely; the bounds are then at least 1, and there is no step.

    >>> batch = integer(32, 128, step=32)
    >>> [batch.at(index) for index in range(batch.size)]
    [32, 64, 96, 128]
    >>> integer(1, 999, log=True).from_unit(0.5)  # the middle of three orders of magnitude
    31
    """
    return Integer(low, high, step, log)


def _shown(dimension: Uniform | Integer) -> str:
    """Without a step and `log` where they have their defaults."""
    fields = [field for field in dataclasses.fields(dimension) if field.repr]
    shown = [f"{f.name}={getattr(dimension, f.name)!r}" for f in fields if getattr(dimension, f.name) != f.default]
    return f"{type(dimension).__name__}({', '.join(shown)})"


def _set_bounds(
    dimension: Uniform | LogUniform | Integer, where: str, problems: list[str], kind: type[float] | type[int]
) -> None:
    if problems:
        raise InvalidArguments(where, problems)
    low, high = sorted((kind(dimension.low), kind(dimension.high)))
    object.__setattr__(dimension, "low", low)
    object.__setattr__(dimension, "high", high)


def _refuse_outside(dimension: Uniform | LogUniform | Integer, value: Any) -> None:
    if not (is_number(value) and dimension.low <= value <= dimension.high):
        raise InvalidArguments("space", [f"{value!r} is not a number from {dimension.low!r} to {dimension.high!r}"])


def _place(dimension: Uniform | Integer, value: Any) -> int:
    """The index of a value of a finite interval."""
    places = dimension.places(value)
    if places:
        return places[0]
    _refuse_outside(dimension, value)
    if dimension.step == 1:
        raise InvalidArguments("space", [f"{value!r} is not an integer"])
    raise InvalidArguments("space", [f"{value!r} is not {dimension.low!r} plus a multiple of {dimension.step!r}"])
