"""Population based training: members train side by side, and bad ones go on from the checkpoints of good ones.

The algorithm is that of Jaderberg, Dalibard, Osindero, Czarnecki, Donahue, Razavi, Vinyals, Green, Dunning, Simonyan,
Fernando and Kavukcuoglu, "Population Based Training of Neural Networks", arXiv:1711.09846, 2017, with truncation
selection.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from typing import Any

from ..core.plain_values import is_integer, is_number, listed, plain
from ..core.suggestions import did_you_mean
from ..core.types import Direction, Result, State
from ..errors import InvalidArguments
from ..space import Space
from . import Suggestion
from ._base import recorded, whole_number
from ._multi_fidelity import Budgeted, sampler_problems
from ._perturbation import perturbed

__all__ = ["Pbt"]

NAME = "pbt"
POPULATION = 8
TRIES = 20  # for a changed combination that no other member has


@dataclasses.dataclass(frozen=True)
class Segment:
    """A trial of a member, from one exploitation to the next. `cost` is infinite without a metric."""

    trial_id: str
    params: dict[str, Any]
    parent: str | None
    cost: float = math.inf


@dataclasses.dataclass(eq=False)
class Member:
    """A member of the population: the segments that have ended, and the one that runs."""

    number: int
    ended: list[Segment] = dataclasses.field(default_factory=list)
    running: Segment | None = None
    paused_at: int = 0  # how many segments of all members had ended

    @property
    def segments(self) -> list[Segment]:
        return self.ended + ([self.running] if self.running else [])


class Pbt(Budgeted):
    """A population of `population` configurations, which are trained for `max_budget` steps in all.

    A trial is a segment of a member's training, of `interval` steps. The training function gets the number of steps
    that the member has been trained for at the end of the segment as the argument `budget`. It finds the checkpoints of
    the segment before in `checkpoint_dir()`, goes on from there and has to leave new ones.

    Between two segments a member that is among the worst `quantile` of the population is replaced: it goes on from a
    copy of the checkpoints of a random one among the best `quantile`, after the same number of steps, with that
    member's parameters changed. Each of them is drawn again with probability `resample_probability`, otherwise
    multiplied by one of `perturbation_factors`; those named in `fixed` stay as they are, such as the size of a layer,
    which the checkpoints depend on. A member whose trial failed or was stopped is always replaced.

    Nobody waits for the whole population: a member is compared with the latest metrics of the others up to its own
    number of steps. Only a member that is to be replaced waits, when no better one has come as far. The member with the
    fewest steps goes first, so that with any number of slots, also one, the population stays together.

    `num_trials` is the size of the population, as `population` is; the number of trials is that times the number of
    segments. The first configurations come from the `sampler`, which gets their first metrics.
    """

    needs_checkpoints = True

    def __init__(
        self,
        space: Space,
        *,
        direction: Direction = Direction.MAX,
        seed: int = 0,
        num_trials: int | None = None,
        population: int | None = None,
        interval: float = 1,
        max_budget: float = 10,
        quantile: float = 0.25,
        perturbation_factors: Sequence[float] = (0.8, 1.2),
        resample_probability: float = 0.25,
        fixed: Sequence[str] = (),
        sampler: Any = "random",
    ) -> None:
        problems = self.option_problems(
            population=population,
            interval=interval,
            max_budget=max_budget,
            quantile=quantile,
            perturbation_factors=perturbation_factors,
            resample_probability=resample_probability,
            fixed=fixed,
        )
        problems += _population_problems(num_trials, population) + ([] if problems else _fixed_problems(fixed, space))
        if problems:
            raise InvalidArguments(NAME, problems)
        size = int(population or num_trials or POPULATION)
        super().__init__(NAME, space, sampler, direction=direction, seed=plain(seed), configurations=size)
        self._space, self._seed = space, plain(seed)
        self._levels = _levels(plain(interval), plain(max_budget))
        self._quantile = float(quantile)
        factors = listed(perturbation_factors)
        self._options: dict[str, Any] = {
            "factors": (float(factors[0]), float(factors[1])),
            "resample_probability": float(resample_probability),
            "fixed": frozenset(listed(fixed)),
        }
        self._members: list[Member] = []
        self._homes: dict[str, Member] = {}  # of running trials
        self._ended = 0
        self._released = 0  # the segments of each member whose checkpoints are not needed any more

    @staticmethod
    def option_problems(
        *,
        population: Any = None,
        interval: Any = 1,
        max_budget: Any = 10,
        quantile: Any = 0.25,
        perturbation_factors: Any = (0.8, 1.2),
        resample_probability: Any = 0.25,
        fixed: Any = (),
        sampler: Any = "random",
    ) -> list[str]:
        """Problems with the options, whatever the space."""
        problems = [] if population is None else whole_number("population", plain(population), 2)
        problems += _step_problems(interval, max_budget)
        if not (is_number(quantile) and 0 < quantile <= 0.5):
            problems.append(f"quantile must be a number above 0 and at most 0.5, given {quantile!r}")
        problems += _exploration_problems(perturbation_factors, resample_probability, fixed)
        return problems + sampler_problems(sampler)

    @property
    def total(self) -> int:
        if self._is_over:
            return self._asked
        return self._size * len(self._levels)

    @property
    def _size(self) -> int:
        """Largest number of members."""
        started = len(self._members)
        return started if self._source.done else min(self._configurations, max(started, self._source.total))

    @property
    def _is_over(self) -> bool:
        """True if no member has a metric after some number of steps, so that nobody can go on."""
        if self._homes or not self._members or len(self._members) < self._size:
            return False
        steps = {len(member.ended) for member in self._members}
        return len(steps) == 1 and all(member.ended[-1].cost == math.inf for member in self._members)

    def released(self) -> list[str]:
        """Trials whose checkpoints no other trial will go on from, each once.

        Failed trials and those that they went on from are none of them: a driver that resumes the run may retry them.
        """
        done = min((len(member.ended) for member in self._members), default=0) - 1
        if self._released >= done or len(self._members) < self._size:
            return []
        recent = [segment for member in self._members for segment in member.ended[self._released : done + 1]]
        kept = {trial_id for s in recent if s.cost == math.inf for trial_id in (s.trial_id, s.parent)}
        ids = [s.trial_id for member in self._members for s in member.ended[self._released : done]]
        self._released = done
        return [trial_id for trial_id in ids if trial_id not in kept]

    def tell(self, result: Result) -> None:
        member = self._homes.pop(result.trial_id)
        assert member.running is not None
        # a trial that was stopped has not been trained to its end, and may have saved nothing: its member is replaced
        cost = None if result.state is State.STOPPED else self._cost(result)
        member.ended.append(dataclasses.replace(member.running, cost=math.inf if cost is None else cost))
        member.running = None
        self._ended += 1
        member.paused_at = self._ended
        if len(member.ended) == 1:
            self._inform(result.trial_id, result)

    def _open(self, trial_id: str, recorded_params: dict[str, Any] | None) -> Suggestion | None:
        if len(self._members) < self._size:
            new = self._new(trial_id, recorded_params)
            if new is not None:
                self._members.append(Member(len(self._members)))
                return self._begin(trial_id, self._members[-1], new.params, None)
            if not self._source.done:
                if self._homes or not self._members:
                    return None
                self._configurations = len(self._members)  # the sampler waits for results that will not come
        waiting = [m for m in self._members if not m.running and len(m.ended) < len(self._levels)]
        for member in sorted(waiting, key=lambda m: (len(m.ended), m.paused_at)):
            better = self._better(member)
            if better is None:
                if member.ended[-1].cost < math.inf:
                    return self._begin(trial_id, member, member.ended[-1].params, member.ended[-1])
            elif better:
                rng = random.Random(f"{self._seed}/{trial_id}")
                donor = rng.choice(better)
                return self._begin(trial_id, member, self._explored(member, donor, rng), donor)
        return None

    def _begin(self, trial_id: str, member: Member, params: dict[str, Any], parent: Segment | None) -> Suggestion:
        self._asked += 1
        self._homes[trial_id] = member
        member.running = Segment(trial_id, params, parent.trial_id if parent else None)
        budget = self._levels[len(member.ended)]
        return Suggestion({**params, self.budget: budget}, continues=member.running.parent, copies=True)

    def _better(self, member: Member) -> list[Segment] | None:
        """Segments that a paused member may be replaced by; None: it goes on; empty: there are none yet."""
        step, own = len(member.ended), member.ended[-1]
        ranked = sorted((m for m in self._members if m.ended), key=lambda m: (_at(m, step).cost, m.number))
        extremes = min(math.ceil(self._size * self._quantile - 1e-9), self._size // 2) * len(ranked) // self._size
        if own.cost < math.inf and member not in ranked[len(ranked) - extremes :]:
            return None
        best = [m for m in ranked[: max(1, extremes)] if _at(m, step).cost < own.cost]
        if not best and own.cost < math.inf:
            return None
        return [_at(m, step) for m in best if len(m.ended) >= step]

    def _explored(self, member: Member, donor: Segment, rng: random.Random) -> dict[str, Any]:
        """Changed parameters of `donor`, if possible such that no other member has or had with as many steps."""
        step, own = len(member.ended), member.ended[-1].params
        others = [other for other in self._members if other is not member]
        known = {recorded(s.params) for other in others for s in (*other.segments[step:], other.segments[-1])}
        known.add(recorded(donor.params))
        for _ in range(TRIES):
            params = perturbed(self._space, donor.params, rng, **self._options)
            if recorded(params) not in known:
                return params
        fixed = self._options["fixed"]
        same = all((name in own) == (name in donor.params) for name in fixed)
        return own if same and all(own[n] is donor.params[n] or own[n] == donor.params[n] for n in fixed) else params


def _at(member: Member, step: int) -> Segment:
    """The last segment of a member that ended after at most `step` segments."""
    return member.ended[min(step, len(member.ended)) - 1]


def _levels(interval: float, most: float) -> list[float]:
    """The steps after each segment; the last segment may be shorter than the others."""
    count = math.ceil(most / interval - 1e-9)
    return [interval * number for number in range(1, count)] + [most]


def _step_problems(interval: Any, most: Any) -> list[str]:
    ends = {"interval": interval, "max_budget": most}
    problems = [
        f"{name} must be a number above 0, given {value!r}"
        for name, value in ends.items()
        if not (is_number(value) and 0 < value < math.inf)
    ]
    if not problems and interval >= most:
        problems.append(
            f"interval={interval!r} must be smaller than max_budget={most!r}, the steps of the whole training: members "
            "are replaced between two intervals"
        )
    return problems


def _exploration_problems(factors: Any, resample_probability: Any, fixed: Any) -> list[str]:
    problems = []
    pair = listed(factors)
    if isinstance(pair, str) or not (
        len(pair) == 2 and all(map(is_number, pair)) and 0 < pair[0] < 1 < pair[1] < math.inf
    ):
        problems.append(
            "perturbation_factors must be two numbers, one above 0 and below 1 and one above 1, such as (0.8, 1.2), "
            f"given {factors!r:.80}"
        )
    if not (is_number(resample_probability) and 0 <= resample_probability <= 1):
        problems.append(f"resample_probability must be a number from 0 to 1, given {resample_probability!r}")
    names = listed(fixed)
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        problems.append(f"fixed must be a list of names of parameters, given {fixed!r:.80}")
    return problems


def _population_problems(num_trials: Any, population: Any) -> list[str]:
    problems = [] if num_trials is None else whole_number("num_trials", plain(num_trials), 2)
    if not problems and is_integer(population, 2) and num_trials not in (None, population):
        problems.append(f"num_trials={num_trials} and population={population} both say how many members there are")
    return problems


def _fixed_problems(fixed: Sequence[str], space: Space) -> list[str]:
    unknown = [name for name in fixed if name not in space]
    if unknown:
        hint = did_you_mean(unknown[0], space, start=" Did you mean")
        return [f"fixed: the space has no {', '.join(map(repr, unknown))}; it has {', '.join(space)}.{hint}"]
    return [] if len(set(fixed)) < len(space) else ["fixed has all parameters of the space; leave out those to change"]
