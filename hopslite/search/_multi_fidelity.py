"""What `asha` and `hyperband` share: configurations that are tried with small budgets first, and rungs of budgets."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import numbers
from typing import Any, ClassVar

from .._trial import Direction, Result, finite
from ..errors import InvalidArguments
from ..space import Space
from . import Search, Suggestion, make
from ._common import recorded, replay_error, whole_number

__all__ = ["Entry", "Move", "MultiFidelity", "Rung", "budgets", "pairs"]


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
        """Whether a trial that ended had a metric."""
        return any(known is entry for _, _, known in self.ranked)

    def promotable(self, places: int) -> Entry | None:
        """The best that is among the first `places` and was not promoted yet."""
        for _, _, entry in self.ranked[: max(0, places)]:
            if entry.trial_id not in self.promoted:
                return entry
        return None


@dataclasses.dataclass(frozen=True)
class Move:
    """What to run next: `parent` with the budget of `rung`, or a new configuration where it is None."""

    rung: Rung
    parent: Entry | None = None
    below: Rung | None = None


class MultiFidelity:
    """Passes each trial its budget, as the argument that `budget` names, beside the hyperparameters.

    New configurations come from another algorithm, the `sampler`. Subclasses say what to run next.
    """

    budget: ClassVar[str] = "budget"

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
        self._running: dict[str, tuple[Rung, Entry]] = {}
        self._asked = 0
        self._notes: list[str] = []
        if self._configurations < configurations:
            few = self._configurations
            self._notes = [f"the space has only {few} combinations: {few} configurations instead of {configurations}"]

    @property
    def total(self) -> int:
        raise NotImplementedError

    @property
    def done(self) -> bool:
        return self._asked >= self.total

    def ask(self, trial_id: str) -> Suggestion | None:
        return self._open(trial_id, None)

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Ask for the suggestion that an earlier session was given; a new configuration, of the sampler.

        Raises:
            ReplayError: it is another one.
        """
        suggestion = self._open(trial_id, {name: value for name, value in params.items() if name != self.budget})
        if suggestion is None or recorded(suggestion.params) != recorded(params):
            raise replay_error(trial_id, params, suggestion)
        return suggestion

    def tell(self, result: Result) -> None:
        rung, entry = self._running.pop(result.trial_id)
        cost = self._sign * result.metric if result.metric is not None and finite(result.metric) else None
        rung.end(entry, cost)
        self._ended(rung, entry, result)

    def notes(self) -> list[str]:
        notes, self._notes = self._notes + self._source.notes(), []
        return notes

    def _move(self) -> Move | None:
        """What to run next, or None: nothing until more results are told."""
        raise NotImplementedError

    def _ended(self, rung: Rung, entry: Entry, result: Result) -> None:
        """Tell the sampler of the configuration, once, when its result is known."""
        raise NotImplementedError

    def _starved(self) -> bool:
        """Whether there is a way on, though nothing runs and the sampler waits for results."""
        return False

    def _inform(self, origin: str, result: Result) -> None:
        self._source.tell(dataclasses.replace(result, trial_id=origin))

    def _open(self, trial_id: str, given: dict[str, Any] | None) -> Suggestion | None:
        while (move := self._move()) is not None:
            if move.parent is not None:
                return self._suggest(trial_id, move, move.parent.origin, move.parent.params)
            new = self._source.ask(trial_id) if given is None else self._source.adopt(trial_id, given)
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
    """The budgets from about `least` to `most`, each `factor` times the one before; integers if both ends are.

    Raises:
        InvalidArguments: with all that is wrong with the options.
    """
    problems = whole_number("reduction_factor", factor, 2)
    problems += [] if num_trials is None else whole_number("num_trials", num_trials, 1)
    ends = {"min_budget": least, "max_budget": most}
    wrong = [f"{end} must be a number above 0, given {value!r}" for end, value in ends.items() if not _positive(value)]
    if not wrong and least > most:
        wrong = [f"min_budget must not be larger than max_budget, given {least!r} and {most!r}"]
    if problems or wrong:
        raise InvalidArguments(name, problems + wrong)
    steps = math.floor(math.log(most / least) / math.log(factor) + 1e-9)
    whole = isinstance(least, numbers.Integral) and isinstance(most, numbers.Integral)
    exact = [float(most) / factor**step for step in range(steps, -1, -1)]
    return [int(value + 0.5) for value in exact] if whole else exact


def _positive(value: Any) -> bool:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def pairs(rungs: list[Rung]) -> list[tuple[Rung, Rung]]:
    """Each rung but the highest with the one above it."""
    return list(itertools.pairwise(rungs))
