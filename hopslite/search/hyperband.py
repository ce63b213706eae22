"""Hyperband: successive halving in brackets, from many configurations to long training.

The brackets are those of Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based
Approach to Hyperparameter Optimization", JMLR 18(185), 2018, algorithm 1). Brackets run at the same time.
"""

from __future__ import annotations

import fractions
import math
from collections.abc import Iterator
from typing import Any

from ..core.plain_values import plain
from ..core.types import Direction, Result
from ..space import Space
from ._multi_fidelity import Entry, Move, MultiFidelity, Rung, budgets, pairs

__all__ = ["Hyperband"]

NAME = "hyperband"


class Hyperband(MultiFidelity):
    """Brackets of successive halving, from many configurations with a small budget to few with the whole `max_budget`.

    In a bracket, trials of a rung are promoted to `reduction_factor` times the budget as soon as it is certain that
    they are among the best. A promoted trial continues the one that it was promoted from. While a bracket waits for
    results, the next one is started, so that no slot is idle. A trial that failed or has no metric is never promoted.

    `num_trials` is the number of configurations: None for all brackets once, more for further rounds of them; the last
    bracket may be smaller than the others. The budgets are `max_budget`, 1/`reduction_factor` of it, and so on, down to
    `min_budget` or above it; rounded if both are integers. The `sampler` receives the last result of a
    configuration when the configuration has left its bracket.
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
        self._levels = budgets(NAME, min_budget, max_budget, reduction_factor, num_trials)
        self._factor = reduction_factor
        configurations = num_trials or sum(self._size(skipped) for skipped in range(len(self._levels)))
        super().__init__(NAME, space, sampler, direction=direction, seed=seed, configurations=configurations)
        self._brackets = list(self._plan(self._configurations))
        self._homes = {rung: bracket for bracket in self._brackets for rung in bracket.rungs}
        self._known: dict[str, Result] = {}  # the last result of each configuration that may still be promoted

    @property
    def total(self) -> int:
        return sum(sum(bracket.entries(self._source.done)) for bracket in self._brackets)

    def _size(self, skipped: int) -> int:
        """The configurations of the bracket that leaves out the `skipped` lowest budgets."""
        most = len(self._levels) - 1
        halvings = most - skipped
        exact = fractions.Fraction((most + 1) * self._factor**halvings, halvings + 1)
        return math.ceil(exact)

    def _plan(self, configurations: int) -> Iterator[_Bracket]:
        skipped = 0
        while configurations > 0:
            size = min(self._size(skipped), configurations)
            yield _Bracket(self._levels[skipped:], size, self._factor)
            configurations -= size
            skipped = (skipped + 1) % len(self._levels)

    def _move(self) -> Move | None:
        moves = (bracket.move(self._source.done) for bracket in self._brackets)
        return next((move for move in moves if move is not None), None)

    def _starved(self) -> bool:
        """Let the first bracket that waits for configurations continue with those that it has."""
        for bracket in self._brackets:
            if 0 < bracket.rungs[0].opened < bracket.size:
                bracket.size = bracket.rungs[0].opened
                return True
        return False

    def _ended(self, rung: Rung, entry: Entry, result: Result) -> None:
        bracket = self._homes[rung]
        self._known[entry.origin] = result
        out = [entry.origin] if rung is bracket.rungs[-1] or not rung.has(entry) else []
        out += bracket.losers(self._source.done)
        for origin in out:
            if origin in self._known:
                self._inform(origin, self._known.pop(origin))


class _Bracket:
    """Rungs of successive halving, with the number of trials on each."""

    def __init__(self, levels: list[float], size: int, factor: int) -> None:
        self.rungs = [Rung(level) for level in levels]
        self.size = size  # configurations that it starts with
        self._factor = factor

    def entries(self, started: bool) -> list[int]:
        """The trials of each rung, at most; `started` means that there are no further new configurations."""
        count = start = self.rungs[0].opened if started else self.size
        counts = [count]
        for place, (below, rung) in enumerate(pairs(self.rungs), start=1):
            share = min(max(1, start // self._factor**place), count - below.failed)
            count = max(rung.opened, share)
            counts.append(count)
        return counts

    def move(self, started: bool) -> Move | None:
        counts = self.entries(started)
        for place, (below, rung) in reversed(list(enumerate(pairs(self.rungs)))):
            to_come = counts[place] - below.ended
            parent = below.promotable(counts[place + 1] - to_come)  # even if all further trials are better
            if parent is not None:
                return Move(rung, parent, below)
        return Move(self.rungs[0]) if self.rungs[0].opened < counts[0] else None

    def losers(self, started: bool) -> list[str]:
        """The configurations of trials that will not be promoted."""
        counts = self.entries(started)[1:]
        return [
            entry.origin
            for below, count in zip(self.rungs, counts, strict=False)
            for _, _, entry in below.ranked[count:]
            if entry.trial_id not in below.promoted
        ]
