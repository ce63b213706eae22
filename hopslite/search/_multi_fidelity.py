"""Bases of algorithms with budgets; `asha` and `hyperband` try configurations with small budgets first, on rungs."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..core.plain_values import is_integer, is_number, plain
from ..core.types import Direction, Result, finite
from ..errors import InvalidArguments
from ..space import Space
from . import Search, Suggestion, make
from ._base import BUDGET, recorded, replay_error, whole_number
from ._factory import option_problems, passes_budget

__all__ = ["Budgeted", "Entry", "Move", "MultiFidelity", "Rung", "budgets", "pairs", "sampler_problems"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A trial of a configuration; the first trial of the configuration is `origin`."""

    trial_id: str
    origin: str
    params: dict[str, Any]
    number: int


@dataclasses.dataclass(eq=False)
class Rung:
    """The trials with one budget. `ranked` are those that ended with a metric, the best first."""

    budget: float
    opened: int = 0
    ended: int = 0
    ranked: list[tuple[float, int, Entry]] = dataclasses.field(default_factory=list)
    promoted: set[str] = dataclasses.field(default_factory=set)

    @property
    def failed(self) -> int:
        return self.ended - len(self.ranked)

    def end(self, entry: Entry, cost: float | None) -> None:
        self.ended += 1
        if cost is not None:
            bisect.insort(self.ranked, (cost, entry.number, entry), key=lambda known: known[:2])

    def has(self, entry: Entry) -> bool:
        """True if a trial on this rung ended with a metric."""
        return any(known is entry for _, _, known in self.ranked)

    def promotable(self, places: int) -> Entry | None:
        """Best entry among the first `places` that was not promoted yet."""
        for _, _, entry in self.ranked[: max(0, places)]:
            if entry.trial_id not in self.promoted:
                return entry
        return None


@dataclasses.dataclass(frozen=True)
class Move:
    """Next trial: `parent` with the budget of `rung`, or a new configuration if `parent` is None."""

    rung: Rung
    parent: Entry | None = None
    below: Rung | None = None


class Budgeted:
    """Search that passes each trial a budget in addition to its hyperparameters, as the argument named by `budget`.

    New configurations come from another algorithm, the `sampler`. Subclasses decide what to run next.
    """

    budget: ClassVar[str] = BUDGET

    def __init__(
        self, name: str, space: Space, sampler: Any, *, direction: Direction, seed: int, configurations: int
    ) -> None:
        if self.budget in space:
            raise InvalidArguments(
                name,
                [
                    f"the space has a hyperparameter {self.budget!r}, which is the name of the argument that says how "
                    "long to train; give the hyperparameter another name"
                ],
            )
        self._configurations = configurations if space.size is None else min(configurations, space.size)
        self._source: Search = make(sampler, space, direction=direction, seed=seed, num_trials=self._configurations)
        if getattr(self._source, "budget", None) is not None:
            raise InvalidArguments(name, [f"sampler={sampler!r} gives budgets itself; choose another one"])
        self._sign = -1.0 if direction is Direction.MAX else 1.0
        self._asked = 0
        self._notes: list[str] = []
        if self._configurations < configurations:
            few = self._configurations
            self._notes = [f"the space has only {few} combinations: {few} configurations instead of {configurations}"]

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Pass initial combinations and earlier trials to the sampler, as configurations."""
        if not hasattr(self._source, "prepare"):
            problem = f"sampler={type(self._source).__name__} takes no initial combinations and no earlier trials"
            raise InvalidArguments("search", [problem])
        self._source.prepare(initial, known)

    @property
    def total(self) -> int:
        raise NotImplementedError

    @property
    def done(self) -> bool:
        return self._asked >= self.total

    def ask(self, trial_id: str) -> Suggestion | None:
        return self._open(trial_id, None)

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Ask for the suggestion that an earlier driver received; for a new configuration, ask the sampler.

        Raises:
            ReplayError: the suggestion is a different one.
        """
        suggestion = self._open(trial_id, {name: value for name, value in params.items() if name != self.budget})
        if suggestion is None or recorded(suggestion.params) != recorded(params):
            raise replay_error(trial_id, params, suggestion)
        return suggestion

    def notes(self) -> list[str]:
        notes, self._notes = self._notes + self._source.notes(), []
        return notes

    def _open(self, trial_id: str, recorded_params: dict[str, Any] | None) -> Suggestion | None:
        """The next suggestion; if it is a new configuration, that with the recorded parameters, if there are any."""
        raise NotImplementedError

    def _new(self, trial_id: str, recorded_params: dict[str, Any] | None) -> Suggestion | None:
        """A new configuration of the sampler."""
        if recorded_params is None:
            return self._source.ask(trial_id)
        return self._source.adopt(trial_id, recorded_params)

    def _inform(self, origin: str, result: Result) -> None:
        self._source.tell(dataclasses.replace(result, trial_id=origin))

    def _cost(self, result: Result) -> float | None:
        """The metric as a number to minimise; None without one."""
        return self._sign * result.metric if result.metric is not None and finite(result.metric) else None


class MultiFidelity(Budgeted):
    """Search that promotes the best trials of a rung to the next one."""

    ranks_by_budget: ClassVar[bool] = True

    def __init__(
        self, name: str, space: Space, sampler: Any, *, direction: Direction, seed: int, configurations: int
    ) -> None:
        super().__init__(name, space, sampler, direction=direction, seed=seed, configurations=configurations)
        self._running: dict[str, tuple[Rung, Entry]] = {}

    @staticmethod
    def option_problems(
        *, min_budget: Any = 1, max_budget: Any = 9, reduction_factor: Any = 3, sampler: Any = "random"
    ) -> list[str]:
        """Problems with the options, whatever the space."""
        return _budget_problems(min_budget, max_budget, reduction_factor) + sampler_problems(sampler)

    def tell(self, result: Result) -> None:
        rung, entry = self._running.pop(result.trial_id)
        rung.end(entry, self._cost(result))
        self._ended(rung, entry, result)

    def _move(self) -> Move | None:
        """Next trial; None until there are more results."""
        raise NotImplementedError

    def _ended(self, rung: Rung, entry: Entry, result: Result) -> None:
        """Pass the configuration's final result to the sampler, once."""
        raise NotImplementedError

    def _starved(self) -> bool:
        """True if the search can continue although no trial runs and the sampler waits for results."""
        return False

    def _open(self, trial_id: str, recorded_params: dict[str, Any] | None) -> Suggestion | None:
        while (move := self._move()) is not None:
            if move.parent is not None:
                return self._suggest(trial_id, move, move.parent.origin, move.parent.params)
            new = self._new(trial_id, recorded_params)
            if new is not None:
                return self._suggest(trial_id, move, trial_id, new.params)
            if not self._source.done and (self._running or not self._starved()):
                return None
        return None

    def _suggest(self, trial_id: str, move: Move, origin: str, params: dict[str, Any]) -> Suggestion:
        if move.parent is not None and move.below is not None:
            move.below.promoted.add(move.parent.trial_id)
        move.rung.opened += 1
        self._running[trial_id] = (move.rung, Entry(trial_id, origin, params, self._asked))
        self._asked += 1
        continues = move.parent.trial_id if move.parent else None
        return Suggestion({**params, self.budget: move.rung.budget}, continues=continues)


def budgets(name: str, least: Any, most: Any, factor: Any, num_trials: Any) -> list[float]:
    """Geometric budgets from about `least` to `most`, with the ratio `factor`; integers if both ends are.

    Raises:
        InvalidArguments: an option is invalid; the message lists all problems.
    """
    problems = _budget_problems(least, most, factor)
    problems += [] if num_trials is None else whole_number("num_trials", num_trials, 1)
    if problems:
        raise InvalidArguments(name, problems)
    steps = math.floor(math.log(most / least) / math.log(factor) + 1e-9)
    whole = is_integer(least) and is_integer(most)
    exact = [float(most) / factor**step for step in range(steps, -1, -1)]
    return [int(value + 0.5) for value in exact] if whole else exact


def _budget_problems(least: Any, most: Any, factor: Any) -> list[str]:
    problems = whole_number("reduction_factor", plain(factor), 2)
    ends = {"min_budget": least, "max_budget": most}
    wrong = [f"{end} must be a number above 0, given {value!r}" for end, value in ends.items() if not _positive(value)]
    if not wrong and least > most:
        wrong = [f"min_budget must not be larger than max_budget, given {least!r} and {most!r}"]
    return problems + wrong


def sampler_problems(sampler: Any) -> list[str]:
    """Problems with the algorithm that new configurations come from."""
    problems = option_problems(sampler, None, {})
    if not problems and passes_budget(sampler):
        problems.append(f"sampler={sampler!r} gives budgets itself; choose another one")
    return problems


def _positive(value: Any) -> bool:
    return is_number(value) and math.isfinite(value) and value > 0


def pairs(rungs: list[Rung]) -> list[tuple[Rung, Rung]]:
    """Pairs of each rung and the next higher one."""
    return list(itertools.pairwise(rungs))
