"""Searches without a space: an objective asks for each value while its trial runs (define-by-run).

`random` is here; samplers of Optuna are in `_define_by_run_optuna`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..core.objectives import Directions
from ..core.plain_values import plain
from ..core.suggestions import did_you_mean
from ..core.types import Direction, Result
from ..errors import InvalidArguments
from ..space.distributions import Distribution
from . import Search, Suggestion
from ._base import drawn, unknown_options, whole_number
from ._factory import DEFAULT_TRIALS, known
from ._given_values import GivenValues
from ._optuna_samplers import NAMES, is_sampler, objective_problems

__all__ = ["DefineByRunSearch", "RandomByRun", "make", "option_problems"]

WHERE = "search"
ALGORITHMS = ("random", *sorted(NAMES))


class DefineByRunSearch(Search, Protocol):
    """Search whose trials begin without parameters. Values are in the form in which distributions send them."""

    def prepare(self, initial: Sequence[Mapping[str, Any]], known: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Give the first trials the `initial` values, and learn from the `known` parameters and their metrics.

        Names and values that a trial does not suggest are left out.
        """

    def suggest(self, trial_id: str, name: str, distribution: Distribution) -> float:
        """The value of a parameter that the trial asks for; called once for each parameter of a trial.

        Raises:
            InvalidArguments: the algorithm cannot take this distribution, as earlier trials had another.
        """

    def adopt_value(self, trial_id: str, name: str, distribution: Distribution, value: float, ended: bool) -> None:
        """Replay a value that an earlier driver has suggested.

        Args:
            ended: the trial has ended, so that no further values are asked for.
        """


class RandomByRun:
    """Independent random values. Each depends only on the seed, the trial and the name, in any order of the trials."""

    def __init__(self, *, direction: Directions, seed: int, num_trials: int) -> None:
        self.total = num_trials
        self._seed, self._asked = seed, 0
        self._given = GivenValues()

    @property
    def done(self) -> bool:
        return self._asked >= self.total

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done:
            return None
        return self.adopt(trial_id, {})

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        self._asked += 1
        self._given.begin(trial_id)
        return Suggestion({})

    def prepare(self, initial: Sequence[Mapping[str, Any]], known: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Give the first trials the `initial` values; random values do not depend on results."""
        self._given.extend(initial)

    def suggest(self, trial_id: str, name: str, distribution: Distribution) -> float:
        preset = self._given.take(trial_id, name, distribution)
        return drawn(self._seed, trial_id, name, distribution) if preset is None else preset

    def adopt_value(self, trial_id: str, name: str, distribution: Distribution, value: float, ended: bool) -> None:
        """Replay a value; others do not depend on it."""
        self._given.take(trial_id, name, distribution)

    def tell(self, result: Result) -> None:
        """End a trial: suggestions do not depend on results."""
        self._given.end(result.trial_id)

    def notes(self) -> list[str]:
        return self._given.notes()


def make(
    algorithm: Any, *, direction: Directions, seed: int, num_trials: int | None, options: dict[str, Any]
) -> DefineByRunSearch:
    """Create a search from the name of an algorithm or an Optuna sampler.

    Raises:
        InvalidArguments: the algorithm needs a space, or does not exist; or an option cannot work.
        MissingExtra: a package that it needs is not installed.
    """
    if problems := option_problems(algorithm, num_trials, options, direction):
        raise InvalidArguments(WHERE, problems)
    total, seed = plain(num_trials) or DEFAULT_TRIALS, plain(seed)
    name = _name(algorithm)
    if name == "random":
        return RandomByRun(direction=direction, seed=seed, num_trials=total)
    from ._define_by_run_optuna import OptunaByRun  # needs NumPy, which random values do not

    values = {key: plain(value) for key, value in options.items()}
    sampler = algorithm if name is None else name
    return OptunaByRun(sampler, direction=direction, seed=seed, num_trials=total, options=values)


def option_problems(algorithm: Any, num_trials: Any, options: Any, direction: Directions = Direction.MAX) -> list[str]:
    """Problems with an algorithm, its options, the number of trials and the number of metrics."""
    problems = [] if num_trials is None else whole_number("num_trials", plain(num_trials), 1)
    if not isinstance(options, dict):
        return [*problems, f"algorithm_options={options!r:.80}; give a dict of the algorithm's keywords"]
    name = _name(algorithm)
    if name == "random":
        return problems + unknown_options(options, [])
    if name in NAMES or is_sampler(algorithm):
        from .optuna import option_problems as sampler_option_problems

        sampler = algorithm if name is None else name
        problems += sampler_option_problems(sampler, options)
        if not problems and isinstance(direction, tuple):
            problems = objective_problems(sampler, options, len(direction))
        return problems
    return [*problems, _unusable(algorithm, name)]


def _name(algorithm: Any) -> str | None:
    return algorithm.strip().lower() if isinstance(algorithm, str) else None


def _unusable(algorithm: Any, name: str | None) -> str:
    usable = f"{', '.join(ALGORITHMS)} or a sampler object of Optuna's"
    if name in known():
        return (
            f"algorithm={name!r} cannot search without a space, since it plans trials before they run; give a space, "
            f"or use {usable} with an objective that suggests its parameters"
        )
    if name is None:
        return f"algorithm={algorithm!r:.80} cannot search without a space; give a space, or use {usable}"
    hint = did_you_mean(name, ALGORITHMS, start=" Did you mean")
    return f"no algorithm named {algorithm!r}; an objective that suggests its parameters works with {usable}.{hint}"
