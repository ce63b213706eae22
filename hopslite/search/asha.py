"""Successive halving that need not wait: the best of every rung go on, as far as is known by then.

The algorithm is ASHA (Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2).
"""

from __future__ import annotations

from typing import Any

from .._trial import Direction, Result
from ..space import Space
from ._multi_fidelity import Entry, Move, MultiFidelity, Rung, budgets, pairs

__all__ = ["Asha"]

NAME = "asha"


class Asha(MultiFidelity):
    """Starts `num_trials` configurations with the lowest budget; the best go on to `reduction_factor` times as much.

    Whoever asks gets the best trial of the highest rung that is in the best 1/`reduction_factor` of those that ended
    there, and where there is none, a new configuration. A promoted trial continues the one that it was promoted from.
    One that failed, or has no metric, is never promoted.

    A rung may get more trials than 1/`reduction_factor` of the one below, because what is best changes while results
    come in: `total` is a bound that shrinks. Where the last configurations are too few for the rule to fill a rung, the
    best trial of the rung below goes on, so that one configuration gets the whole `max_budget`.

    With `num_trials=None` there are as many configurations as the rule needs for one to reach `max_budget`. The budgets
    are `max_budget`, 1/`reduction_factor` of it, and so on, down to `min_budget` or above it; rounded if both are
    integers. A `sampler` is told of a configuration's first result.
    """

    def __init__(
        self,
        space: Space,
        *,
        direction: Direction = Direction.MAX,
        seed: int = 0,
        num_trials: int | None = None,
        min_budget: float = 1,
        max_budget: float = 9,
        reduction_factor: int = 3,
        sampler: Any = "random",
    ) -> None:
        levels = budgets(NAME, min_budget, max_budget, reduction_factor, num_trials)
        configurations = num_trials or reduction_factor ** (len(levels) - 1)
        super().__init__(NAME, space, sampler, direction=direction, seed=seed, configurations=configurations)
        self._rungs = [Rung(level) for level in levels]
        self._factor = reduction_factor

    @property
    def total(self) -> int:
        entries = self._first()
        total = entries
        for below, rung in pairs(self._rungs):
            pending = entries - below.ended
            best = below.ranked[: entries // self._factor]
            waiting = sum(entry.trial_id not in below.promoted for _, _, entry in best)
            entries = rung.opened + waiting + pending
            if not entries and below.ranked:
                entries = 1
            total += entries
        return total

    def _first(self) -> int:
        """How many configurations there will be at most."""
        started = self._rungs[0].opened
        return started if self._source.done else min(self._configurations, max(started, self._source.total))

    def _move(self) -> Move | None:
        for below, rung in reversed(pairs(self._rungs)):
            parent = below.promotable(below.ended // self._factor)
            if parent is not None:
                return Move(rung, parent, below)
        if self._rungs[0].opened < self._first():
            return Move(self._rungs[0])
        return None if self._running else self._last()

    def _last(self) -> Move | None:
        """The best of the highest rung that has any, into the empty one above."""
        for below, rung in pairs(self._rungs):
            if not rung.opened:
                parent = below.promotable(1)
                return None if parent is None else Move(rung, parent, below)
        return None

    def _ended(self, rung: Rung, entry: Entry, result: Result) -> None:
        if rung is self._rungs[0]:
            self._inform(entry.origin, result)
