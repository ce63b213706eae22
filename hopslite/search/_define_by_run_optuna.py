"""Optuna's samplers for define-by-run objectives, on a study in memory: the run's journal is the record."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.objectives import Directions
from ..core.optuna_study import new_study
from ..core.types import Result
from ..errors import InvalidArguments
from ..space.distributions import Distribution
from . import Suggestion
from ._base import drawn, values_of
from ._given_values import GivenValues
from ._optuna_samplers import NamedSampler, check_learns_from_others, one_thread, optuna_distribution, package, seed_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

__all__ = ["OptunaByRun"]


class OptunaByRun:
    """`num_trials` trials of an Optuna sampler, which sees running trials and results as in Optuna itself.

    A named sampler without a state gets a seed for each trial, so that a suggestion depends on what is known, not on
    how it came about. A sampler object is copied. The sampler sees failed trials as failed, and trials that were
    stopped early with their metric.
    """

    def __init__(
        self,
        sampler: Any,
        *,
        direction: Directions,
        seed: int,
        num_trials: int,
        options: Mapping[str, Any],
    ) -> None:
        name = sampler if isinstance(sampler, str) else type(sampler).__name__
        self._optuna = package(name)
        self._seed, self._num_trials = seed, num_trials
        self._named = NamedSampler(name, options, conditional=True) if isinstance(sampler, str) else None
        first = self._named.sampler(seed_of(seed), 0) if self._named else _unused(sampler)
        self._calm = one_thread if type(first).__name__ == "GPSampler" else contextlib.nullcontext
        self._study = new_study(direction, first)
        self._study.stop = self._end  # Optuna's own method works only in its loop
        self._running: dict[str, tuple[Trial, BaseSampler]] = {}
        self._asked, self._ended = 0, False
        self._given = GivenValues()
        self._known: list[tuple[FrozenTrial, dict[str, Any]]] = []  # earlier trials, with values not suggested yet
        self.first_number = 0  # of a trial, after those that the study has

    @property
    def total(self) -> int:
        return self._asked if self._ended else self._num_trials

    @property
    def done(self) -> bool:
        return self._asked >= self.total

    def begin_with(self, trials: list[Any]) -> None:
        """Learn from the trials of another study, once, before all else; those without an end are left out."""
        self.first_number = len(trials)
        self._study.add_trials([trial for trial in trials if trial.state.is_finished()])

    def prepare(self, initial: Sequence[Mapping[str, Any]], known: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Give the first trials the `initial` values, and put the `known` trials into the study.

        Their parameters become part of the study when a trial suggests the names, whose distributions are then known.

        Raises:
            InvalidArguments: the sampler cannot learn from known trials.
        """
        if known:
            check_learns_from_others(self._study.sampler)
        self._given.extend(initial)
        for values, metric in known:
            self._study.add_trial(self._optuna.trial.create_trial(value=metric))
            self._known.append((self._study.get_trials(deepcopy=False)[-1], dict(values)))

    def _learn(self, name: str, distribution: Distribution) -> None:
        """Add a parameter to the known trials that have it; the study is in memory, and these objects are its own."""
        learned = False
        for trial, values in self._known:
            if name in values and (value := distribution.accept(values.pop(name))) is not None:
                trial.params = {**trial.params, name: distribution.record(value)}
                trial.distributions = {**trial.distributions, name: optuna_distribution(distribution)}
                learned = True
        if learned:
            _forget_space(self._study.sampler)

    def ask(self, trial_id: str) -> Suggestion | None:
        return None if self.done else self._begin(trial_id)

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        return self._begin(trial_id)

    def suggest(self, trial_id: str, name: str, distribution: Distribution) -> float:
        if trial_id not in self._running:  # it has failed before, and is run again
            return drawn(self._seed, trial_id, name, distribution)
        trial, self._study.sampler = self._running[trial_id]
        form: Any = optuna_distribution(distribution)
        self._learn(name, distribution)
        preset = self._given.take(trial_id, name, distribution)
        try:
            if preset is not None:
                self._set(trial, name, distribution, preset)
                return preset
            with self._calm():
                if distribution.type == "categorical":
                    value = trial.suggest_categorical(name, form.choices)
                else:
                    suggest: Any = trial.suggest_int if distribution.type == "int" else trial.suggest_float
                    value = suggest(name, form.low, form.high, step=form.step, log=form.log)
        except ValueError as error:
            raise InvalidArguments(f"{name!r}", [f"{distribution}: {error}"]) from None
        sent = distribution.sent(value)
        assert sent is not None
        return sent

    def adopt_value(self, trial_id: str, name: str, distribution: Distribution, value: float, ended: bool) -> None:
        """Replay a value. A sampler whose state matters later is asked as well, so that it is the same as before."""
        if trial_id not in self._running:
            return
        self._learn(name, distribution)
        has_state = not (self._named and self._named.is_stateless and ended)
        if has_state and self.suggest(trial_id, name, distribution) == value:
            return
        self._given.take(trial_id, name, distribution)
        self._set(self._running[trial_id][0], name, distribution, value)

    def _set(self, trial: Trial, name: str, distribution: Distribution, value: float) -> None:
        """Set a parameter of a running trial without its sampler."""
        form = optuna_distribution(distribution)
        internal = form.to_internal_repr(distribution.record(value))
        self._study._storage.set_trial_param(trial._trial_id, name, internal, form)

    def tell(self, result: Result) -> None:
        trial, _ = self._running.pop(result.trial_id)
        self._given.end(result.trial_id)
        if (values := values_of(result)) is not None:
            self._study.tell(trial.number, values)
        else:
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def notes(self) -> list[str]:
        return self._given.notes()

    def _begin(self, trial_id: str) -> Suggestion:
        if self._named and self._named.is_stateless:
            self._study.sampler = self._named.sampler(seed_of(self._seed, self._asked), len(self._running))
        self._given.begin(trial_id)
        self._running[trial_id] = (self._study.ask(), self._study.sampler)
        self._asked += 1
        return Suggestion({})

    def _end(self) -> None:
        self._ended = True


def _unused(sampler: Any) -> Any:
    """A copy of a sampler that has not seen any study: a space that it remembers is bound to that study."""
    copied = copy.deepcopy(sampler)
    _forget_space(copied)
    return copied


def _forget_space(sampler: Any) -> None:
    for name, value in list(vars(sampler).items()):
        if hasattr(value, "_study_id") and hasattr(value, "_include_pruned"):
            setattr(sampler, name, type(value)(value._include_pruned))
