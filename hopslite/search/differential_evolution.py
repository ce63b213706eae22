"""Asynchronous differential evolution: each candidate is created from the results that are known at that time.

The scheme is Storn and Price's (Journal of Global Optimization 11, 1997) with binomial crossover, and

- the mutation current-to-pbest/1 of JADE (Zhang and Sanderson, IEEE Trans. Evol. Comput. 13(5), 2009, equation 6,
  without archive), whose rule for bounds (half way from the parent to the bound) is used too;
- a mutation factor drawn anew for every candidate, from `mutation` to `mutation` + 0.5 ("dither", Price, Storn and
  Lampinen, Differential Evolution, Springer 2005, section 2.5.2);
- a population that shrinks linearly over the budget, from `population` to 4 (L-SHADE: Tanabe and Fukunaga,
  Proc. IEEE CEC 2014, equation 10);
- a candidate that does not beat its parent but beats the worst member replaces that member, as in steady-state
  evolutionary algorithms.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.plain_values import is_number, plain
from ..core.types import Direction, Result, finite
from ..errors import InvalidArguments
from ..space import Space
from . import Suggestion
from ._base import DeterministicSearch, random_below, whole_number
from ._points import unit_of

__all__ = ["DifferentialEvolution"]

SMALLEST = 4  # members that mutation needs: the parent, the best, two more
PBEST = 0.1  # the share of the population that counts as best
DITHER = 0.5
REDRAWS = 20  # mutants that are running already, after which a random combination is taken
DESIGNS = ("lhs", "sobol")

Key = tuple[float, ...]
Point = npt.NDArray[np.float64]


@dataclasses.dataclass(eq=False)
class _Member:
    """A point that takes part in selection. `cost` is the metric to be minimised, infinite for a failed trial."""

    units: Point
    key: Key
    generation: int
    parent: _Member | None
    cost: float = math.inf
    exact: dict[str, Any] = dataclasses.field(default_factory=dict)  # exact values of an initial combination


class DifferentialEvolution(DeterministicSearch):
    """Differential evolution over the unit cube that stands for the space.

    The budget is `num_trials` evaluations, or `(generations + 1) * population` where that is not given. A combination
    that was evaluated before is not run again: it takes part in selection with the metric it had and counts as an
    evaluation. A combination under way is not suggested a second time. The search ends early when a finite space is
    used up.

    Mutation needs four members that have a metric. As long as there are fewer, free slots get random combinations, so
    that none is idle. With `synchronous` no candidate of the next generation is suggested before the whole generation
    has ended.

    The coordinate of a parameter that a member does not have is neutral: it is inherited and mutated like the others,
    but not subject to selection. (Without it in the arithmetic, a member that gets the parameter back would lack
    diversity.) In a space with conditions, and with `num_trials`, which is then exact, a known combination is replaced
    by another one and not counted as an evaluation, because points that differ only in neutral coordinates are the
    same.
    """

    def __init__(
        self,
        space: Space,
        *,
        direction: Direction = Direction.MAX,
        seed: int = 0,
        generations: int = 4,
        population: int = 6,
        mutation: float = 0.5,
        crossover: float = 0.7,
        synchronous: bool = False,
        initial: str = "lhs",
        num_trials: int | None = None,
    ) -> None:
        generations, population, num_trials, seed = map(plain, (generations, population, num_trials, seed))
        mutation, crossover, synchronous = map(plain, (mutation, crossover, synchronous))
        problems = self.option_problems(
            generations=generations,
            population=population,
            mutation=mutation,
            crossover=crossover,
            synchronous=synchronous,
            initial=initial,
        )
        problems += whole_number("seed", seed, 0)
        problems += [] if num_trials is None else whole_number("num_trials", num_trials, 1)
        if problems:
            raise InvalidArguments("differential_evolution", problems)
        self._space = space
        self._sign = -1.0 if direction is Direction.MAX else 1.0
        self._rng = np.random.default_rng(seed)
        self._population, self._budget = population, num_trials or (generations + 1) * population
        self._redraws = bool(space.conditional or num_trials)  # known combinations, instead of counting them
        self._mutation, self._crossover, self._synchronous = float(mutation), float(crossover), synchronous
        self._members: list[_Member] = []  # evaluated, in the order of their results
        self._costs: dict[Key, float | None] = {}  # of all combinations that were created; None while the trial runs
        self._queue: deque[_Member] = deque()  # created and not suggested yet
        self._running: dict[str, _Member] = {}
        self._made = self._evaluated = self._asked = self._turn = 0
        self._notes: list[str] = []
        self._learned = 0  # combinations with a result from before the search
        for units in _design(initial, population, len(space), self._rng):
            if not self._used_up:
                self._add(units if self._space.key(units) not in self._costs else self._untried())

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Begin with the best of the `known` combinations as members, and with the `initial` ones.

        Initial combinations take the places of the first population, which is otherwise as it was designed; with enough
        known members the others are mutants at once. Parameters that an initial combination lacks are those of the
        designed combination in whose place it is.
        """
        design, self._queue, self._made = list(self._queue), deque(), 0
        self._costs = {}
        for params, metric in known:
            units = self._completed(params, np.full(len(self._space), 0.5))
            member = _Member(units, self._space.key(units.tolist()), 0, None, self._sign * metric)
            self._costs[member.key] = member.cost
            self._members.append(member)
        self._learned = len(self._costs)
        self._members.sort(key=lambda member: member.cost)
        del self._members[self._population :]
        for number, params in enumerate(initial):
            units = self._completed(params, design[number % len(design)].units)
            if not self._used_up and self._space.key(units.tolist()) not in self._costs:
                self._add(units)
                self._queue[-1].exact = dict(params)
        rest = [] if len(self._members) >= SMALLEST else design[len(self._queue) :]
        for member in rest:
            if not self._used_up:
                self._add(member.units if member.key not in self._costs else self._untried())
        self._refill()

    def _completed(self, params: dict[str, Any], units: Point) -> Point:
        """A point with the values of `params`, and otherwise those of `units`."""
        pairs = zip(self._space, units, strict=True)
        return np.array([unit_of(self._space[name], params[name]) if name in params else u for name, u in pairs])

    @staticmethod
    def option_problems(
        *,
        generations: Any = 4,
        population: Any = 6,
        mutation: Any = 0.5,
        crossover: Any = 0.7,
        synchronous: Any = False,
        initial: Any = "lhs",
    ) -> list[str]:
        """Problems with the options, whatever the space."""
        generations, population, synchronous = map(plain, (generations, population, synchronous))
        problems = whole_number("generations", generations, 1) + whole_number("population", population, SMALLEST)
        problems += _fraction("mutation", plain(mutation), 2, zero=False)
        problems += _fraction("crossover", plain(crossover), 1, zero=True)
        if synchronous not in (True, False):
            problems.append(f"synchronous must be True or False, given {synchronous!r}")
        if initial not in DESIGNS:
            problems.append(f"initial must be one of {', '.join(map(repr, DESIGNS))}, given {initial!r}")
        return problems

    @property
    def total(self) -> int:
        if self._used_up:
            return self._asked + len(self._queue)
        total = self._asked + len(self._queue) + self._budget - self._made
        return total if self._space.size is None else min(total, self._space.size - self._learned)

    @property
    def done(self) -> bool:
        return not self._queue and self._used_up

    @property
    def _used_up(self) -> bool:
        return self._made >= self._budget or len(self._costs) == self._space.size

    def ask(self, trial_id: str) -> Suggestion | None:
        if not self._queue:
            return None
        member = self._queue.popleft()
        self._running[trial_id] = member
        self._asked += 1
        self._refill()  # now, because an `ask` that returns None must change nothing: it is not in the journal
        return Suggestion({**self._space.decode(member.units.tolist()), **member.exact}, member.generation)

    def tell(self, result: Result) -> None:
        member = self._running.pop(result.trial_id)
        if result.metric is not None and finite(result.metric):
            member.cost = self._sign * result.metric
        self._costs[member.key] = member.cost
        self._select(member)
        if not self._synchronous and self._queue and self._queue[0].generation > 0:
            self._withdraw()
        self._refill()

    def notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes

    def _refill(self) -> None:
        if self._synchronous and self._running:
            return
        wanted = self._population if self._synchronous else 1
        while not self._queue and not self._used_up:
            for _ in range(wanted):
                if not self._used_up:
                    self._add(*self._candidate())

    def _withdraw(self) -> None:
        """Discard a candidate that was not suggested yet, because a newer result gives a better one."""
        del self._costs[self._queue.popleft().key]
        self._made -= 1

    def _add(self, units: Point, parent: _Member | None = None) -> None:
        """Queue a combination to be run; one with a known result is evaluated at once."""
        key = self._space.key(units.tolist())
        member = _Member(units, key, self._made // self._population, parent)
        self._made += 1
        if key not in self._costs:
            self._costs[key] = None
            self._queue.append(member)
        else:
            known = self._costs[key]
            member.cost = math.inf if known is None else known
            self._select(member)

    def _candidate(self) -> tuple[Point, _Member | None]:
        if len(self._members) >= SMALLEST:
            for _ in range(REDRAWS):
                units, parent = self._mutant()
                key = self._space.key(units.tolist())
                if key not in self._costs or not (self._redraws or self._costs[key] is None):
                    return units, parent
        return self._untried(), None

    def _mutant(self) -> tuple[Point, _Member]:
        members, rng = self._members, self._rng
        self._turn = (self._turn + 1) % len(members)
        parent = members[self._turn]
        ranked = sorted(members, key=lambda member: member.cost)
        best = ranked[rng.integers(max(1, round(PBEST * len(members))))]
        first, second = rng.choice([m for m in range(len(members)) if m != self._turn], 2, replace=False)
        factor = min(self._mutation + DITHER * rng.random(), 2.0)
        x = parent.units
        mutant = x + factor * (best.units - x) + factor * (members[first].units - members[second].units)
        mutant = np.where(mutant < 0.0, x / 2, np.where(mutant > 1.0, (x + 1) / 2, mutant))
        crossed = rng.random(len(x)) < self._crossover
        crossed[rng.integers(len(x))] = True
        return np.where(crossed, mutant, x), parent

    def _untried(self) -> Point:
        """A random combination; in a finite space one that was never created, as long as there is one."""
        size = self._space.size
        for _ in range(REDRAWS if size is None or not self._space.even else 0):
            units = self._rng.random(len(self._space))
            if self._space.key(units.tolist()) not in self._costs:
                return units
        if size is None:
            return units
        number = random_below(self._rng, size)
        while self._space.key(self._space.units(number)) in self._costs:
            number = (number + 1) % size
        return np.array(self._space.units(number))

    def _select(self, member: _Member) -> None:
        self._evaluated += 1
        members, parent = self._members, member.parent
        member.parent = None  # otherwise all ancestors would stay in memory
        shrunk = self._evaluated / self._budget * (self._population - SMALLEST)
        capacity = self._population - round(shrunk)
        if math.isfinite(member.cost) and all(member.key != other.key for other in members):
            worst = max(members, key=lambda other: other.cost, default=member)
            if len(members) < capacity:
                members.append(member)
            elif parent in members and member.cost <= parent.cost:
                members[members.index(parent)] = member
            elif member.cost < worst.cost:
                members[members.index(worst)] = member
        while len(members) > capacity:
            members.remove(max(members, key=lambda other: other.cost))
        if self._evaluated % self._population == 0:
            self._notes.append(self._summary())

    def _summary(self) -> str:
        average, best, combination = None, None, []
        if self._members:
            average = self._sign * sum(member.cost for member in self._members) / len(self._members) + 0.0
            fittest = min(self._members, key=lambda member: member.cost)
            best = self._sign * fittest.cost + 0.0  # never "-0.0"
            combination = [f"{k}={v}" for k, v in self._space.decode(fittest.units.tolist()).items()]
        return (
            f"Generation {self._evaluated // self._population - 1} || average metric: {average}, "
            f"best metric: {best}, best parameter combination: {combination}"
        )


def _design(name: str, points: int, dimensions: int, rng: np.random.Generator) -> Point:
    from scipy.stats import qmc

    if name == "lhs":
        return qmc.LatinHypercube(dimensions, seed=rng).random(points)
    return qmc.Sobol(dimensions, seed=rng).random_base2(math.ceil(math.log2(points)))[:points]


def _fraction(name: str, value: Any, most: float, *, zero: bool) -> list[str]:
    if is_number(value) and (0 < value <= most or (zero and value == 0)):
        return []
    allowed = f"from 0 to {most}" if zero else f"above 0 and at most {most}"
    return [f"{name} must be a number {allowed}, given {value!r}"]
