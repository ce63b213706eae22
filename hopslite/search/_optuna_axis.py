"""Dimensions of a search space in Optuna's terms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArguments
from ..space import Choice, Dimension, Integer, LogUniform, Normal, Uniform
from ._base import recorded

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

__all__ = ["Axis"]

EXACT = 2**53  # up to this value, floats (which Optuna calculates with) represent all integers


class Axis:
    """Dimension in Optuna's terms: its distribution and the conversion of values.

    Choices are represented by their positions, and multiples of a step by their indices, so that values of any type are
    returned exactly as they were given. Values that a float cannot represent are fractions of the interval. So are
    those of normal distributions and of choices with weights: a fraction is the share of the distribution below the
    value, so that what the sampler draws uniformly has the distribution.
    """

    def __init__(self, name: str, dimension: Dimension, distributions: Any) -> None:
        self._name, self._dimension = name, dimension
        self._indexed = self._fraction = False
        self.distribution: BaseDistribution
        self._exact: dict[float, float] = {}  # values that were read, by their fraction
        if isinstance(dimension, Choice) and dimension.weights is None:
            self._indexed = True
            self.distribution = distributions.CategoricalDistribution(tuple(range(dimension.size)))
        elif isinstance(dimension, Integer) and max(abs(dimension.low), abs(dimension.high)) <= EXACT:
            low, high = dimension.low, dimension.high
            self.distribution = distributions.IntDistribution(low, high, log=dimension.log, step=dimension.step)
        elif isinstance(dimension, Normal | Choice):
            self._fraction = True
            self.distribution = distributions.FloatDistribution(0.0, 1.0)
        elif isinstance(dimension, Uniform | Integer) and (dimension.size or math.inf) <= EXACT:
            self._indexed = True
            self.distribution = distributions.IntDistribution(0, (dimension.size or 1) - 1)
        elif isinstance(dimension, Uniform | LogUniform) and math.isfinite(dimension.high - dimension.low):
            log = isinstance(dimension, LogUniform)
            self.distribution = distributions.FloatDistribution(dimension.low, dimension.high, log=log)
        else:
            self._fraction = True
            self.distribution = distributions.FloatDistribution(0.0, 1.0)

    def suggest(self, trial: Trial) -> Any:
        shape: Any = self.distribution
        if isinstance(self._dimension, Choice) and self._indexed:
            return trial.suggest_categorical(self._name, shape.choices)
        suggest: Any = trial.suggest_int if isinstance(shape.low, int) else trial.suggest_float
        return suggest(self._name, shape.low, shape.high, step=shape.step, log=shape.log)

    def value(self, raw: Any) -> Any:
        """Value that is passed to the training function."""
        dimension = self._dimension
        if self._fraction:
            return self._exact.get(raw, dimension.from_unit(raw))
        if self._indexed:
            return dimension.at(int(raw))  # type: ignore[union-attr]  # only finite ones are
        assert not isinstance(dimension, Choice | Normal)
        return min(max(raw, dimension.low), dimension.high)

    def place(self, raw: Any) -> Any:
        """Key that is equal for two values exactly if the training function cannot distinguish them."""
        if self._fraction and isinstance(self._dimension, Choice):
            return self._dimension.index(raw)
        return raw if self._indexed else self.value(raw)

    def index(self, raw: Any) -> int:
        """The index of a value of a finite dimension."""
        if self._indexed:
            return int(raw)
        if self._fraction:
            return self._dimension.index(raw)  # type: ignore[union-attr]
        place: int = self._dimension.places(self.value(raw))[0]  # type: ignore[union-attr]
        return place

    def raw(self, unit: float) -> Any:
        """The value at a fraction of the interval."""
        if self._fraction:
            return unit
        return self._dimension.index(unit) if self._indexed else self._dimension.from_unit(unit)  # type: ignore[union-attr]

    def read(self, value: Any, name: str) -> list[Any]:
        """Values whose record in a journal is `value`; empty if none is in the dimension."""
        dimension = self._dimension
        if isinstance(dimension, Choice):
            record = recorded(value)
            places = [place for place, known in enumerate(dimension.values) if recorded(known, name) == record]
            return places if self._indexed else [dimension.middle(place) for place in places]
        try:
            unit = dimension.to_unit(value)
        except InvalidArguments:
            return []
        if self._indexed:
            return [dimension.index(unit)]  # type: ignore[union-attr]
        if self._fraction and isinstance(dimension, Normal):
            self._exact[unit] = value
        return [unit if self._fraction else value]
