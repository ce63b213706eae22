"""Maggy's search space."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..core.plain_values import is_number, listed, plain
from ..errors import InvalidArguments
from ..space import Dimension, Space, choice, integer, uniform

__all__ = ["Searchspace", "space_of"]

BOUNDED = ("DOUBLE", "INTEGER")
LISTED = ("DISCRETE", "CATEGORICAL")
TYPES = (*BOUNDED, *LISTED)


class Searchspace:
    """Hyperparameters in Maggy's form: `name=(type, values)`.

    >>> sp = Searchspace(kernel=("INTEGER", [2, 8]), pool=("INTEGER", [2, 8]))
    >>> sp.add("dropout", ("DOUBLE", [0.01, 0.99]))
    >>> sp.to_space()
    Space({'kernel': Integer(low=2, high=8), 'pool': Integer(low=2, high=8), 'dropout': Uniform(low=0.01, high=0.99)})

    Types, in any case: DOUBLE and INTEGER with two bounds, DISCRETE and CATEGORICAL with a list of values. The values
    of each are also an attribute. New programs use a dict of `hopslite.space`, which has scales, steps and conditions.
    """

    DOUBLE = "DOUBLE"
    INTEGER = "INTEGER"
    DISCRETE = "DISCRETE"
    CATEGORICAL = "CATEGORICAL"

    def __init__(self, **hyperparameters: Any) -> None:
        self._types: dict[str, str] = {}
        self._dimensions: dict[str, Dimension] = {}
        for name, value in hyperparameters.items():
            self.add(name, value)

    def add(self, name: str, value: Any) -> None:
        """Add a hyperparameter: its name, its type and its values.

        Raises:
            InvalidArguments: the name is taken, or the values do not fit the type.
        """
        if not isinstance(name, str) or hasattr(self, name):
            raise InvalidArguments("Searchspace", [f"Hyperparameter name is reserved: {name}"])
        if not isinstance(value, (tuple, list)) or len(value) != 2 or not isinstance(value[0], str):
            raise InvalidArguments("Searchspace", [f"{name}: given {value!r}; give a tuple (type, list of values)"])
        kind = value[0].upper()
        try:
            self._dimensions[name] = _dimension(kind, value[1])
        except InvalidArguments as error:
            raise InvalidArguments("Searchspace", [f"{name}: {problem}" for problem in error.problems]) from error
        self._types[name] = kind
        setattr(self, name, value[1])

    def to_space(self) -> Space:
        """The search space in hopslite's form."""
        return Space(self._dimensions)

    def to_dict(self) -> dict[str, tuple[str, Any]]:
        """The type and the values of each hyperparameter; `Searchspace(**space.to_dict())` is equal to `space`."""
        return {name: (kind, getattr(self, name)) for name, kind in self._types.items()}

    def names(self) -> dict[str, str]:
        """The type of each hyperparameter."""
        return dict(self._types)

    def get(self, name: str, default: Any = None) -> Any:
        """The values of a hyperparameter, or `default`."""
        return getattr(self, name) if name in self._types else default

    def keys(self) -> list[str]:
        """The names, in the order in which they were added."""
        return list(self._types)

    def values(self) -> list[tuple[str, Any]]:
        """The types and values, in the order in which they were added."""
        return list(self.to_dict().values())

    def items(self) -> Iterator[dict[str, Any]]:
        """As in iteration: dicts with `name`, `type` and `values`."""
        return iter(self)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for name, (kind, values) in self.to_dict().items():
            yield {"name": name, "type": kind, "values": values}

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __len__(self) -> int:
        return len(self._types)

    def get_random_parameter_values(self, num: int, seed: int | None = None) -> list[dict[str, Any]]:
        """Random combinations, which may repeat; with `seed` they are the same each time."""
        num, seed = plain(num), plain(seed)
        if not isinstance(num, int) or isinstance(num, bool) or num < 0:
            raise InvalidArguments("Searchspace.get_random_parameter_values()", [f"num={num!r}; give a whole number"])
        rng, space = np.random.default_rng(seed), self.to_space()
        return [space.decode(rng.random(len(space)).tolist()) for _ in range(num)]

    def json(self) -> str:
        """The search space as JSON text."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def __str__(self) -> str:
        return self.json()

    def __repr__(self) -> str:
        return f"Searchspace({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"


def _dimension(kind: str, values: Any) -> Dimension:
    if kind not in TYPES:
        raise InvalidArguments("", [f"type {kind!r}; allowed are {', '.join(TYPES)}"])
    listing = listed(values)
    if isinstance(listing, str):
        raise InvalidArguments("", [listing])
    if not listing:
        raise InvalidArguments("", [f"given {values!r}; give a list of values"])
    values = listing
    if kind in LISTED:
        return choice(values)
    if len(values) != 2 or not all(map(is_number, values)) or not values[0] < values[1]:
        raise InvalidArguments("", [f"given {values!r}; give a lower and an upper bound"])
    return integer(*values) if kind == "INTEGER" else uniform(*values)


def space_of(searchspace: Any) -> Space | None:
    """A space of hopslite's, for one of Maggy's, a dict of either form, or None.

    Raises:
        InvalidArguments: the object is none of these.
    """
    if searchspace is None or isinstance(searchspace, Space):
        return searchspace
    if isinstance(searchspace, Searchspace):
        return searchspace.to_space()
    if callable(getattr(searchspace, "to_dict", None)):  # the real Maggy's
        return Searchspace(**searchspace.to_dict()).to_space()
    if isinstance(searchspace, Mapping) and searchspace and all(_is_maggys(value) for value in searchspace.values()):
        return Searchspace(**searchspace).to_space()
    return Space.parse(searchspace)


def _is_maggys(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and value[0].upper() in TYPES
