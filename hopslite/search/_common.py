"""What the search algorithms share."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import numpy as np

from .._trial import Result, json_safe
from ..errors import InvalidArguments, ReplayError
from . import Suggestion

__all__ = ["InOrder", "Repeatable", "check_options", "random_below", "recorded", "replay_error", "whole_number"]


class Repeatable:
    """An algorithm that suggests the same again when it is told the same: `adopt` asks it, and compares."""

    def ask(self, trial_id: str) -> Suggestion | None:
        raise NotImplementedError

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Ask for the suggestion that an earlier session was given.

        Raises:
            ReplayError: it is another one.
        """
        suggestion = self.ask(trial_id)
        if suggestion is None or recorded(suggestion.params) != recorded(params):
            raise replay_error(trial_id, params, suggestion)
        return suggestion


class InOrder(Repeatable):
    """Combinations one after the other, whatever it is told; subclasses say which comes next."""

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
        """Nothing is learned from results."""

    def notes(self) -> list[str]:
        return []

    def _next(self) -> dict[str, Any] | None:
        """The combination after the first `_asked` ones, or None when there is no other."""
        raise NotImplementedError


def whole_number(name: str, value: Any, least: int) -> list[str]:
    """What is wrong with an option that must be an integer of at least `least`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return []
    return [f"{name} must be an integer of at least {least}, given {value!r}"]


def random_below(rng: np.random.Generator, bound: int) -> int:
    """A random integer below a bound of any size; 64 spare bits make the rounding of `%` invisible."""
    return int.from_bytes(rng.bytes(bound.bit_length() // 8 + 9), "little") % bound


def recorded(params: Any) -> str:
    """Equal for two values exactly when a journal has the same record of them.

    An object without a representation of its own is recorded with its address, which no other session knows.
    """
    return re.sub(r" at 0x[0-9a-f]+", "", json.dumps(json_safe(params), sort_keys=True))


def replay_error(trial_id: str, params: dict[str, Any], suggestion: Suggestion | None) -> ReplayError:
    suggested = suggestion and json_safe(suggestion.params)
    return ReplayError(
        f"trial {trial_id} had the parameters {params}, the algorithm now suggests {suggested or 'nothing'}: "
        "the space, the seed, an option of the algorithm or the version of a library has changed",
        trial_id=trial_id,
        expected=params,
        suggested=suggested,
    )


def check_options(name: str, options: dict[str, Any], allowed: list[str]) -> None:
    """Refuse options that an algorithm does not have."""
    problems = []
    for option in options:
        if option not in allowed:
            near = difflib.get_close_matches(option, allowed, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            has = f"its options: {', '.join(allowed)}" if allowed else "it has none"
            problems.append(f"no option {option!r}; {has}.{hint}")
    if problems:
        raise InvalidArguments(name, problems)
