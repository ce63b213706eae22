"""Distributions of define-by-run objectives: from what a trial asks one value, with Optuna's arguments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from ..core.plain_values import is_bool, is_integer, is_number, listed, plain
from ..core.types import json_safe
from ..errors import InvalidArguments
from .choices import Choice
from .dimensions import Dimension, Integer, LogUniform, Uniform

__all__ = ["Distribution", "categorical", "floating", "whole"]

TYPES = ("float", "int", "categorical")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Interval of numbers or list of choices, in the form in which a trial sends it to the driver.

    `choices` are in JSON form. A value of a categorical distribution is sent as its position, so that choices of any
    type reach the training function as its own objects.
    """

    type: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def to_json(self) -> dict[str, Any]:
        if self.type == "categorical":
            return {"type": self.type, "choices": list(self.choices)}
        return {"type": self.type, "low": self.low, "high": self.high, "step": self.step, "log": self.log}

    @classmethod
    def from_json(cls, data: Any) -> Distribution:
        """Read the form of `to_json`.

        Raises:
            InvalidArguments: it is none.
        """
        kind = data.get("type") if isinstance(data, dict) else None
        if kind == "categorical":
            return categorical(data.get("choices"))
        if kind not in TYPES:
            raise InvalidArguments("distribution", [f"{data!r:.80} is no distribution"])
        make = floating if kind == "float" else whole
        return make(data.get("low"), data.get("high"), data.get("step"), data.get("log"))

    @property
    def single(self) -> float | None:
        """The only value, as it is sent; None if there are several."""
        if self.type == "categorical":
            return 0 if len(self.choices) == 1 else None
        assert self.low is not None and self.high is not None
        return self.low if self.low == self.high or (self.step and self.low + self.step > self.high) else None

    def draw(self, unit: float) -> float:
        """The value, as it is sent, at a fraction of the distribution."""
        if self.single is not None:
            return self.single
        dimension = self._dimension()
        return dimension.index(unit) if isinstance(dimension, Choice) else dimension.from_unit(unit)

    def _dimension(self) -> Dimension:
        if self.type == "categorical":
            return Choice(self.choices)
        low: Any = self.low
        high: Any = self.high
        if self.type == "int":
            return Integer(low, high, int(self.step or 1), self.log)
        return LogUniform(low, high) if self.log else Uniform(low, high, self.step)

    def contains(self, value: Any) -> bool:
        """True for a value that this distribution sends."""
        if self.type == "categorical":
            return is_integer(value, 0) and value < len(self.choices)
        assert self.low is not None and self.high is not None
        return is_number(value) and self.low <= value <= self.high

    def record(self, value: Any) -> Any:
        """A sent value as it is recorded: for categorical distributions the choice itself, in JSON form."""
        return self.choices[value] if self.type == "categorical" else value

    def sent(self, recorded: Any) -> float | None:
        """The value that was sent, from its record; None if it is not in the distribution."""
        if self.type != "categorical":
            return recorded if self.contains(recorded) else None
        same = (index for index, choice in enumerate(self.choices) if _is_same(choice, recorded))
        return next(same, None)

    def accept(self, value: Any) -> float | None:
        """A caller's value as it is sent; None if it is not in the distribution."""
        if self.type == "categorical":
            return self.sent(_label(value))
        number = plain(value)
        if not self.contains(number) or (self.type == "int" and number != int(number)):
            return None
        assert self.low is not None
        steps = 0.0 if self.step is None else (number - self.low) / self.step
        return (int(number) if self.type == "int" else float(number)) if abs(steps - round(steps)) < 1e-8 else None

    def __str__(self) -> str:
        if self.type == "categorical":
            return f"categorical({list(self.choices)!r:.80})"
        step = f", step={self.step!r}" if self.step not in (None, 1) or (self.type == "float" and self.step) else ""
        return f"{self.type}({self.low!r}, {self.high!r}{step}{', log=True' if self.log else ''})"


def _is_same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)  # NaN equals NaN, and True is not 1


def floating(low: Any, high: Any, step: Any = None, log: Any = False) -> Distribution:
    """The distribution of `suggest_float`.

    Raises:
        InvalidArguments: no value can be suggested.
    """
    low, high, step = plain(low), plain(high), plain(step)
    problems = _interval_problems(low, high, step, log)
    if not problems and step is not None and not 0 < step < math.inf:
        problems = [f"step must be a number above 0, given {step!r}"]
    if not problems and log and low <= 0:
        problems = [f"with log=True low must be above 0, given {low!r}"]
    _raise_if(problems)
    return _checked(Distribution("float", float(low), float(high), None if step is None else float(step), bool(log)))


def whole(low: Any, high: Any, step: Any = 1, log: Any = False) -> Distribution:
    """The distribution of `suggest_int`.

    Raises:
        InvalidArguments: no value can be suggested.
    """
    low, high, step = plain(low), plain(high), plain(step)
    problems = _interval_problems(low, high, None if step == 1 else step, log)
    if not problems:
        fractions = [f"{name}={value!r}" for name, value in (("low", low), ("high", high)) if int(value) != value]
        problems = [f"bounds must be integers, given {' and '.join(fractions)}"] if fractions else []
    if not problems and not is_integer(step, 1):
        problems = [f"step must be an integer of at least 1, given {step!r}"]
    if not problems and log and low < 1:
        problems = [f"with log=True low must be at least 1, given {low!r}"]
    _raise_if(problems)
    return _checked(Distribution("int", int(low), int(high), int(step), bool(log)))


def categorical(choices: Any) -> Distribution:
    """The distribution of `suggest_categorical`.

    Raises:
        InvalidArguments: no value can be suggested.
    """
    values: Sequence[Any] | str = listed(choices)
    if isinstance(values, str) or not values:
        raise InvalidArguments(
            "distribution", [f"choices: {values}" if values else "choices is empty; give at least one"]
        )
    return Distribution("categorical", choices=tuple(map(_label, values)))


def _label(choice: Any) -> Any:
    """A choice for records and samplers: numbers, texts, bools and None as they are, other objects as text."""
    value = plain(choice)
    return value if isinstance(value, (str, bool, int, float, type(None))) else str(json_safe(value))


def _interval_problems(low: Any, high: Any, step: Any, log: Any) -> list[str]:
    shown = f"given low={low!r} and high={high!r}"
    if not (is_number(low) and is_number(high) and math.isfinite(low) and math.isfinite(high)):
        return [f"low and high must be finite numbers, {shown}"]
    if low > high:
        return [f"low must not be greater than high, {shown}"]
    if not is_bool(log):
        return [f"log must be True or False, given {log!r}"]
    if step is not None and not is_number(step):
        return [f"step must be a number, given {step!r}"]
    if step is not None and log:
        return [f"step={step!r} and log=True exclude each other; leave out one of them"]
    return []


def _checked(distribution: Distribution) -> Distribution:
    """The same distribution, after a draw: a step may be too fine for floats, a range too large for a logarithm."""
    distribution.draw(0.5)
    return distribution


def _raise_if(problems: list[str]) -> None:
    if problems:
        raise InvalidArguments("distribution", problems)
