"""Base classes and checks of the search algorithms."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.plain_values import is_integer
from ..core.redaction import redact_value
from ..core.suggestions import nearest
from ..core.types import BUDGET, Result, finite, json_safe
from ..errors import ReplayError
from ..space.distributions import Distribution
from . import Suggestion

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "BUDGET",
    "DeterministicSearch",
    "MULTI_OBJECTIVE",
    "SequentialSearch",
    "drawn",
    "random_below",
    "recorded",
    "replay_error",
    "unknown_options",
    "values_of",
    "whole_number",
]

MULTI_OBJECTIVE = ("grid", "random", "qmc", "tpe", "nsga2", "gp")  # can optimise several metrics
OF_THE_CALL = ("num_trials", "direction", "seed")  # not options of an algorithm


class DeterministicSearch:
    """Base of algorithms whose suggestions depend only on the seed and the results: `adopt` compares with `ask`."""

    def ask(self, trial_id: str) -> Suggestion | None:
        raise NotImplementedError

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Ask for the suggestion that an earlier driver received.

        Raises:
            ReplayError: the suggestion is a different one.
        """
        suggestion = self.ask(trial_id)
        if suggestion is None or recorded(suggestion.params) != recorded(params):
            raise replay_error(trial_id, params, suggestion)
        return suggestion


class SequentialSearch(DeterministicSearch):
    """Base of algorithms whose suggestions do not depend on results; subclasses implement `_next`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._asked = 0

    @property
    def total(self) -> int:
        return self._total

    @property
    def done(self) -> bool:
        return self._asked >= self._total

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done:
            return None
        params = self._next()
        if params is None:
            self._total = self._asked
            return None
        self._asked += 1
        return Suggestion(params)

    def tell(self, result: Result) -> None:
        """No operation: suggestions do not depend on results."""

    def notes(self) -> list[str]:
        return []

    def _next(self) -> dict[str, Any] | None:
        """The combination after the first `_asked` ones, or None when there is no other."""
        raise NotImplementedError


def whole_number(name: str, value: Any, least: int) -> list[str]:
    """Problems of an option that must be an integer of at least `least`."""
    return [] if is_integer(value, least) else [f"{name} must be an integer of at least {least}, given {value!r}"]


def random_below(rng: np.random.Generator, bound: int) -> int:
    """A random integer below a bound of any size; 64 spare bits make the rounding of `%` invisible."""
    return int.from_bytes(rng.bytes(bound.bit_length() // 8 + 9), "little") % bound


def recorded(params: Any, name: str = "") -> str:
    """Text that is equal for two values exactly if a journal records them equally, without secrets.

    The address in the default representation of an object is left out, because it differs in another process.
    """
    return re.sub(r" at 0x[0-9a-f]+", "", json.dumps(redact_value(json_safe(params), name), sort_keys=True))


def drawn(seed: int, trial_id: str, name: str, distribution: Distribution) -> float:
    """A random value for a parameter of a trial."""
    return distribution.draw(random.Random(f"{seed}/{trial_id}/{name}").random())


def values_of(result: Result) -> list[float] | None:
    """The metrics of a trial, in the order of the directions; None if it has none that can be compared."""
    values = [result.metric] if result.metrics is None else list(result.metrics.values())
    return [float(value) for value in values if value is not None] if all(map(finite, values)) else None


def replay_error(trial_id: str, params: dict[str, Any], suggestion: Suggestion | None) -> ReplayError:
    suggested = suggestion and redact_value(json_safe(suggestion.params))
    return ReplayError(
        f"trial {trial_id} had the parameters {params}, the algorithm now suggests {suggested or 'nothing'}: "
        "the space, the seed, an option of the algorithm or the version of a library has changed",
        trial_id=trial_id,
        expected=params,
        suggested=suggested,
    )


def unknown_options(options: Mapping[str, Any], allowed: Sequence[str]) -> list[str]:
    """Problems of options that an algorithm does not have."""
    problems = []
    for option in options:
        if option not in allowed:
            near = nearest(option, [*allowed, *OF_THE_CALL])
            hint = f" Did you mean {near!r}?" if near else ""
            if near in OF_THE_CALL and near not in allowed:
                hint = f" Did you mean {near}=, an argument of the call itself?"
            has = f"its options: {', '.join(allowed)}" if allowed else "it has none"
            problems.append(f"no option {option!r}; {has}.{hint}")
    return problems
