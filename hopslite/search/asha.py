"""Asynchronous successive halving: the best trials of a rung are promoted without waiting for the others.

The algorithm is ASHA (Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2).
"""

from __future__ import annotations

from typing import Any

from ..core.plain_values import plain
from ..core.types import Direction, Result
from ..space import Space
from ._multi_fidelity import Entry, Move, MultiFidelity, Rung, budgets, pairs

__all__ = ["Asha"]

NAME = "asha"


class Asha(MultiFidelity):
    """Start `num_trials` configurations with the lowest budget; promote the best to `reduction_factor` times as much.

    From the highest rung down, `ask` looks for a trial among the best 1/`reduction_factor` of those that ended on the
    rung, and promotes it. If there is none, it suggests a new configuration. A promoted trial continues the one that it
    was promoted from. A trial that failed or has no metric is never promoted.

    A rung may get more trials than 1/`reduction_factor` of the one below, because the order changes when new results
    arrive: `total` is an upper bound that decreases. If the last configurations are too few to fill a rung by this
    rule, the best trial of the rung below is promoted, so that one configuration gets the whole `max_budget`.

    With `num_trials=None` there are as many configurations as are needed for one of them to reach `max_budget`. The
    budgets are `max_budget`, 1/`reduction_factor` of it, and so on, down to `min_budget` or above it; rounded if both
    are integers. The `sampler` receives the first result of each configuration.
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
        num_trials, seed, reduction_factor = map(plain, (num_trials, seed, reduction_factor))
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
        """Largest number of configurations."""
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
        """Promotion of the best of the highest rung with results into the empty rung above."""
        for below, rung in pairs(self._rungs):
            if not rung.opened:
                parent = below.promotable(1)
                return None if parent is None else Move(rung, parent, below)
        return None

    def _ended(self, rung: Rung, entry: Entry, result: Result) -> None:
        if rung is self._rungs[0]:
            self._inform(entry.origin, result)
