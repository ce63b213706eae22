"""The dimensions of a search space; `space` has the public names."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ._trial import json_safe
from .errors import InvalidArguments

_BITS = 53  # of a float in [0, 1): integer arithmetic on them is exact for spaces of any size


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Any float from `low` to `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _set_bounds(self, "uniform", _continuous_problems(self.low, self.high), float)

    @property
    def size(self) -> None:
        """Continuous: no number of values."""
        return None

    def from_unit(self, u: float) -> float:
        """The value at the fraction `u`, from 0 to 1, of the interval."""
        return min(max(self.low * (1.0 - u) + self.high * u, self.low), self.high)

    def to_unit(self, value: float) -> float:
        """The fraction of the interval at which `value` lies."""
        _refuse_outside(self, value)
        scale = 1.0 if math.isfinite(self.high - self.low) else 0.5
        return (value * scale - self.low * scale) / (self.high * scale - self.low * scale)

    def to_json(self) -> dict[str, Any]:
        return {"type": "uniform", "low": self.low, "high": self.high}


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Any float from `low` to `high`, both above 0, every order of magnitude being equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        problems = _continuous_problems(self.low, self.high)
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
    """Any integer from `low` to `high`, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        problems = _bound_problems(self.low, self.high)
        if not problems and not all(isinstance(b, numbers.Integral) for b in (self.low, self.high)):
            problems = [f"the bounds must be integers, given {self.low!r} and {self.high!r}; round them or use uniform"]
        _set_bounds(self, "integer", problems, int)

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def at(self, index: int) -> int:
        return self.low + index

    def index(self, u: float) -> int:
        return _index(u, self.size)

    def from_unit(self, u: float) -> int:
        """The value of the cell of the unit interval, one of `size` equal ones, that holds `u`."""
        return self.at(self.index(u))

    def to_unit(self, value: int) -> float:
        """The middle of the cell that stands for `value`."""
        _refuse_outside(self, value)
        return _middle(int(value) - self.low, self.size)

    def to_json(self) -> dict[str, Any]:
        return {"type": "integer", "low": self.low, "high": self.high}


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """One of `values`: any objects, told apart by their place, so that they need no hash and no `==`."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        values = listed(self.values)
        if isinstance(values, str) or not values:
            raise InvalidArguments("choice", [str(values) if values else "given no values; at least one is needed"])
        object.__setattr__(self, "values", tuple(values))

    @property
    def size(self) -> int:
        return len(self.values)

    def at(self, index: int) -> Any:
        return self.values[index]

    def index(self, u: float) -> int:
        return _index(u, self.size)

    def from_unit(self, u: float) -> Any:
        """The value, the same object that was given, of the cell of the unit interval that holds `u`."""
        return self.at(self.index(u))

    def to_unit(self, value: Any) -> float:
        """The middle of the cell that stands for `value`: that very object, else the first that equals it."""
        found = [index for index, candidate in enumerate(self.values) if candidate is value]
        found = found or [index for index, candidate in enumerate(self.values) if _equal(candidate, value)]
        if not found:
            raise InvalidArguments("choice", [f"{value!r} is not one of the values {list(self.values)!r}"])
        return _middle(found[0], self.size)

    def to_json(self) -> dict[str, Any]:
        return {"type": "choice", "values": [json_safe(value) for value in self.values]}


Dimension = Uniform | LogUniform | Integer | Choice


def uniform(low: float, high: float) -> Uniform:
    """Any float between the bounds, which may be in either order."""
    return Uniform(low, high)


def loguniform(low: float, high: float) -> LogUniform:
    """Any float between the bounds, in either order, uniform in the logarithm: for learning rates and the like."""
    return LogUniform(low, high)


def integer(low: int, high: int) -> Integer:
    """Any integer between the bounds, both included, in either order."""
    return Integer(low, high)


def choice(values: Sequence[Any]) -> Choice:
    """One of the values of a list, tuple, range or one-dimensional array."""
    return Choice(values)  # type: ignore[arg-type]


def _index(u: float, size: int) -> int:
    return min(max((int(u * 2**_BITS) * size) >> _BITS, 0), size - 1)


def _middle(index: int, size: int) -> float:
    return (2 * index + 1) / (2 * size)


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # arrays have no single truth value
        return False


def is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _bound_problems(low: Any, high: Any) -> list[str]:
    given = f"given {low!r} and {high!r}"
    if any(isinstance(bound, bool | np.bool_) for bound in (low, high)):
        return [f"the bounds must be numbers, not bools, {given}; for a flag use choice([True, False])"]
    if not (is_number(low) and is_number(high)):
        return [f"the bounds must be numbers, {given}"]
    if low == high:
        return [f"the bounds are equal, {given}; they must differ: give a fixed value to the function instead"]
    return []


def _continuous_problems(low: Any, high: Any) -> list[str]:
    problems = _bound_problems(low, high)
    if problems:
        return problems
    if not (math.isfinite(_as_float(low)) and math.isfinite(_as_float(high))):
        return [f"the bounds must be finite, given {low!r} and {high!r}"]
    if float(low) == float(high):
        return [f"the bounds are equal as floats, given {low!r} and {high!r}; use integer or bounds further apart"]
    return []


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
    if isinstance(dimension, Integer) and int(value) != value:
        raise InvalidArguments("space", [f"{value!r} is not an integer"])


def listed(given: Any) -> list[Any] | str:
    """The values of a list, tuple, range or one-dimensional array, or what is wrong with it."""
    if isinstance(given, np.ndarray) and given.ndim == 1:
        return list(given) if given.dtype.kind in "mM" else list(given.tolist())  # tolist breaks nanosecond times
    if isinstance(given, list | tuple | range):
        return list(given)
    if isinstance(given, set | frozenset):
        return f"given the set {given!r}, which has no order; use a list, for instance sorted(…)"
    if isinstance(given, Iterator):
        return f"given {short(given)}, which can be read only once; use list(…)"
    kind = f"an array of {given.ndim} dimensions" if isinstance(given, np.ndarray) else type(given).__name__
    return f"given {short(given)} ({kind}); write a list, even of one value: [{short(given)}]"


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
