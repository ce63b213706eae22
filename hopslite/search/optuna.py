"""Optuna's samplers as search algorithms: `tpe`, `gp`, `cmaes`, `qmc`, `nsga2`, and any sampler object.

The study is kept in memory: the run's journal is the record.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.objectives import Directions
from ..core.optuna_study import new_study
from ..core.plain_values import plain
from ..core.types import Direction, Result
from ..errors import InvalidArguments
from ..space import Choice, Space
from . import Suggestion
from ._base import random_below, replay_error, unknown_options, values_of, whole_number
from ._optuna_axis import Axis
from ._optuna_samplers import (
    NAMES,
    STATELESS,
    NamedSampler,
    check_learns_from_others,
    is_sampler,
    objective_problems,
    one_thread,
    package,
    sampler_problems,
    seed_of,
)

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Optuna", "option_problems"]

FIXED = (
    "gp",
    "cmaes",
    "qmc",
    "nsga2",
)  # need the same parameters in all trials, including those that do not exist in a combination
REDRAWS = 4  # known combinations in a row, after which a random one is taken
FEWER_REDRAWS = {"GPSampler": 2}  # slow, and suggests nearly the same when asked again
MAX_REPEATS = 1000  # known random combinations in a row, after which a continuous space counts as used up

Raw = dict[str, Any]  # values in Optuna's form: the position of a choice, the index of a step


class Optuna:
    """`num_trials` suggestions of an Optuna sampler, with any number of trials under way.

    The sampler sees running trials, and no combination is suggested twice: if the sampler repeats itself, it is asked
    again, and then a random combination is taken that was not tried. The search ends when a finite space is used up.
    The sampler sees failed trials as failed, and trials that were stopped early with their metric.

    - A named sampler has Optuna's defaults with three exceptions: `tpe` draws parameters together, also where some are
      conditional; running random trials count among `n_startup_trials`, up to half of that number; and `qmc` scrambles
      its sequence, so that it depends on the seed. `options` are passed on to the sampler.
    - `cmaes` also learns from results that arrive after their generation is complete, which Optuna would ignore.
    - `gp`, `cmaes`, `qmc` and `nsga2` need the same parameters in all trials: they also suggest conditional parameters,
      and a suggestion for one that does not exist in the combination is ignored (`gp` sees the middle of its interval).
      `cmaes` does not model categorical parameters: they are drawn at random.
    - A sampler object is copied, and has its own seed. It suggests conditional parameters only where they exist.
    """

    def __init__(
        self,
        space: Space,
        *,
        direction: Directions = Direction.MAX,
        seed: int = 0,
        num_trials: int = 10,
        sampler: Any = "tpe",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        name = sampler if isinstance(sampler, str) else type(sampler).__name__
        num_trials, seed = plain(num_trials), plain(seed)
        options = {key: plain(value) for key, value in (options or {}).items()}
        problems = whole_number("num_trials", num_trials, 1) + whole_number("seed", seed, 0)
        problems += option_problems(sampler, options)
        if not problems and isinstance(direction, tuple):
            problems = objective_problems(sampler, options, len(direction))
        if problems:
            raise InvalidArguments(name, problems)
        self._optuna = package(name)
        self._space, self._seed, self._num_trials = space, seed, num_trials
        self._axes = {name: Axis(name, dimension, self._optuna.distributions) for name, dimension in space.items()}
        self._order = [*(name for name in space if name not in space.conditions), *space.conditions]
        self._flat = name in FIXED
        self._running: dict[str, tuple[int, tuple[Any, ...]]] = {}
        self._named = NamedSampler(name, options, bool(space.conditional)) if isinstance(sampler, str) else None
        first = self._named.sampler(seed_of(seed), 0) if self._named else copy.deepcopy(sampler)
        self._by_asking = type(first).__name__ not in STATELESS
        self._generational = type(first).__name__ == "CmaEsSampler"
        self._redraws = FEWER_REDRAWS.get(type(first).__name__, REDRAWS)
        self._calm = one_thread if type(first).__name__ == "GPSampler" else contextlib.nullcontext
        self._study = new_study(direction, first)
        self._study.stop = self._end  # called by a sampler without further suggestions; Optuna's works only in its loop
        self._known: dict[tuple[Any, ...], list[float] | None] = {}  # metrics of all combinations ever suggested
        self._asked = self._learned = 0
        self._initial: deque[Raw] = deque()
        self._ended = False
        self._notes = self._remarks(name)

    @property
    def total(self) -> int:
        if self._ended:
            return self._asked
        return self._num_trials if self._space.size is None else min(self._num_trials, self._space.size - self._learned)

    @property
    def done(self) -> bool:
        return self._asked >= self.total

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Put the `known` combinations into the study, and suggest the `initial` ones first.

        The sampler adds parameters that an initial combination lacks.

        Raises:
            InvalidArguments: the sampler cannot learn from the known combinations.
        """
        if known:
            check_learns_from_others(self._study.sampler)
        self._initial.extend(self._raw(params) for params in initial)
        for params, metric in known:
            raw = self._settled(self._raw(params))
            self._tell(self._add(raw), [metric])
            self._known[self._key(raw)] = [metric]
        self._learned = len(self._known)

    def _raw(self, params: dict[str, Any]) -> Raw:
        return {name: self._axes[name].read(value, name)[0] for name, value in params.items()}

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done:
            return None
        proposal = self._propose()
        if proposal is None:
            self._ended = True
            return None
        return self._open(trial_id, *proposal)

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Replay a suggestion with the recorded parameters.

        A sampler that has a state is asked as well, so that its state is the same as before.

        Raises:
            ReplayError: the parameters do not lie in the space.
        """
        raw = self._read(params)
        if raw is None:
            raise replay_error(trial_id, params, None)
        if self._initial and not self._by_asking:
            self._initial.popleft()
        proposal = self._propose() if self._by_asking else None
        if proposal is not None and self._key(proposal[1]) == self._key(raw):
            return self._open(trial_id, *proposal)
        if proposal is not None:
            self._tell(proposal[0], None)
        return self._open(trial_id, self._add(raw), raw)

    def tell(self, result: Result) -> None:
        number, key = self._running.pop(result.trial_id)
        values = self._known[key] = values_of(result)
        self._tell(number, values)

    def notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes

    # --- the study

    def _end(self) -> None:
        self._ended = True

    def _remarks(self, name: str) -> list[str]:
        population = getattr(self._study.sampler, "_population_size", None)
        if name == "nsga2" and population is not None and population >= self._num_trials:
            text = (
                f"nsga2: the first {population} trials are random (population_size), and there are {self._num_trials}"
            )
            return [f"{text}; a smaller population_size in algorithm_options has several generations"]
        choices = [
            name
            for name, dim in self._space.items()
            if isinstance(dim, Choice) and dim.weights is None and dim.size > 1
        ]
        if name != "cmaes" or not choices:
            return []
        return [f"CMA-ES does not model categorical parameters: {', '.join(choices)} is sampled at random"]

    # --- suggestions

    def _propose(self) -> tuple[int, Raw] | None:
        """New combination and its number in the study; None if all were suggested."""
        for attempt in range(self._redraws):
            if (
                self._named and self._named.is_stateless
            ):  # a suggestion depends on what is known, not on how it came about
                seed = seed_of(self._seed, self._asked, attempt)
                self._study.sampler = self._named.sampler(seed, len(self._running))
            if self._initial:
                self._study.enqueue_trial(self._initial.popleft())
            with self._calm():
                trial = self._study.ask()
                raw = self._drawn(trial)
            key = self._key(raw)
            if key not in self._known:
                if self._by_asking or not self._space.conditional:
                    return trial.number, raw
                self._tell(trial.number, None)  # otherwise its values of parameters that do not exist would count
                raw = self._settled(raw)
                return self._add(raw), raw
            # A sampler that waits for its generation to be complete needs the known result.
            self._tell(trial.number, self._known[key] if self._by_asking else None)
        combination = self._untried()
        return None if combination is None else (self._add(combination), combination)

    def _drawn(self, trial: Trial) -> Raw:
        """Suggestion of the sampler, parents before their conditional parameters."""
        raw: Raw = {}
        for name in self._order:
            if self._flat or self._holds(name, raw):
                raw[name] = self._axes[name].suggest(trial)
        return raw

    def _holds(self, name: str, raw: Raw) -> bool:
        condition = self._space.conditions.get(name)
        if condition is None:
            return True
        parent = condition.parent
        return parent in raw and self._axes[parent].index(raw[parent]) in condition.indices

    def _exists(self, raw: Raw) -> set[str]:
        """Names of the parameters that exist in a combination."""
        there: Raw = {}
        for name in self._order:
            if name in raw and self._holds(name, there):
                there[name] = raw[name]
        return set(there)

    def _key(self, raw: Raw) -> tuple[Any, ...]:
        exists = self._exists(raw)
        return tuple(self._axes[name].place(raw[name]) if name in exists else None for name in self._space)

    def _settled(self, raw: Raw) -> Raw:
        """Combination with the values that the sampler sees for parameters that do not exist."""
        exists = self._exists(raw)
        if not self._flat:
            return {name: raw[name] for name in self._order if name in exists}
        return {name: raw[name] if name in exists else self._axes[name].raw(0.5) for name in self._order}

    def _untried(self) -> Raw | None:
        """A random combination that was never suggested."""
        rng, size = np.random.default_rng([self._seed, self._asked]), self._space.size
        start = 0 if size is None else random_below(rng, size)
        for attempt in range(MAX_REPEATS) if size is None else range(size):
            units = (
                rng.random(len(self._space)).tolist() if size is None else self._space.units((start + attempt) % size)
            )
            pairs = zip(self._axes.items(), units, strict=True)
            raw = self._settled({name: axis.raw(unit) for (name, axis), unit in pairs})
            if self._key(raw) not in self._known:
                return raw
        return None

    def _read(self, params: dict[str, Any]) -> Raw | None:
        """Combination of a journal's record; None if it is not in the space."""
        if not params.keys() <= set(self._space):
            return None
        places = {name: self._axes[name].read(value, name) for name, value in params.items()}
        combination = None
        for values in itertools.islice(itertools.product(*places.values()), MAX_REPEATS):
            raw = dict(zip(places, values, strict=True))
            if self._exists(raw) != set(raw) or len(raw) < sum(self._holds(name, raw) for name in self._space):
                continue
            combination = self._settled({name: raw.get(name) for name in self._space} if self._flat else raw)
            if self._key(combination) not in self._known:
                return combination
        return combination

    def _open(self, trial_id: str, number: int, raw: Raw) -> Suggestion:
        key = self._key(raw)
        self._running[trial_id] = (number, key)
        self._known[key] = None
        self._asked += 1
        exists = self._exists(raw)
        return Suggestion({name: axis.value(raw[name]) for name, axis in self._axes.items() if name in exists})

    def _add(self, raw: Raw, marks: dict[str, Any] | None = None) -> int:
        """Put a running trial into the study without asking the sampler."""
        trial = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=raw,
            distributions={name: self._axes[name].distribution for name in raw},
            system_attrs=marks,
        )
        self._study.add_trial(trial)
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _tell(self, number: int, values: list[float] | None) -> None:
        if values is not None and self._generational:
            number = self._in_time(number)
        if values is None:
            self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, values)

    def _in_time(self, number: int) -> int:
        """The trial, or a copy in the current generation where CMA-ES has advanced to it meanwhile.

        It would ignore late results: three of each generation if four trials run at the same time.
        """
        trials = self._study.get_trials(deepcopy=False)
        late = trials[number]
        marks = {key: value for key, value in late.system_attrs.items() if ":optimizer" not in key}
        for key in marks:
            if key.endswith(":generation"):
                marks[key] = max(trial.system_attrs.get(key, -1) for trial in trials)
        if marks.items() <= late.system_attrs.items():
            return number
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        return self._add(late.params, marks)


def option_problems(sampler: Any, options: Mapping[str, Any]) -> list[str]:
    """Problems with a sampler and its options, whatever the space."""
    if is_sampler(sampler):
        return unknown_options(options, [])
    if isinstance(sampler, str) and sampler in NAMES:
        return sampler_problems(sampler, options)
    return [f"sampler must be an Optuna sampler or one of {', '.join(NAMES)}, given {sampler!r:.80}"]
