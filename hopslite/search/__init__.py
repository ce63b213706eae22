"""Search algorithms: one file each, without Spark, threads or IO.

An algorithm receives results by trial id and suggests hyperparameters when asked. It owns its random numbers, so that
the same seed and the same results in the same order give the same suggestions. So replaying a journal restores it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from ..core.objectives import Directions
from ..core.types import Result
from ..space import Space

__all__ = ["AlgorithmName", "Prepared", "Sampler", "Search", "Suggestion", "make"]

AlgorithmName = Literal[
    "asha", "cmaes", "differential_evolution", "gp", "grid", "hyperband", "nsga2", "pbt", "qmc", "random", "tpe"
]
"""The algorithms that hopslite has, by name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestion:
    """Hyperparameters to try, by name.

    `generation` is for algorithms that have generations; `continues` is the id of the trial whose checkpoints this one
    goes on from. It goes on in the same directory, unless it `copies`: then it has one of its own, which begins with a
    copy, so that several trials can go on from one.
    """

    params: dict[str, Any]
    generation: int | None = None
    continues: str | None = None
    copies: bool = False


class Search(Protocol):
    """Search algorithm. All calls come from one thread; `tell` comes once for each trial of `ask` or `adopt`.

    An algorithm that passes the training function an additional argument, such as how long to train, has an attribute
    `budget` with the name of that argument. With a true attribute `ranks_by_budget` the best trial of a run is among
    those with the largest budget so far; otherwise any trial may be the best. With a true attribute `needs_checkpoints`
    a trial that leaves none fails. A method `released`, if there is one, returns the ids of ended trials from whose
    checkpoints no further trial will go on, each once: they are deleted, except those of the best trial.
    """

    @property
    def total(self) -> int:
        """Largest number of trials that it suggests, for the progress bar and the number of slots.

        It may be an estimate: the search ends when `done` is true.
        """

    @property
    def done(self) -> bool:
        """True when it has no more suggestions, also after further results."""

    def ask(self, trial_id: str) -> Suggestion | None:
        """Hyperparameters for the trial `trial_id`, or None: it waits for more results, or is done.

        A call that returns None must change nothing, because the journal does not record it.
        """

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Replay a suggestion of an earlier driver, as if `ask` had returned it now.

        `params` are in JSON form (`json_safe`); those returned have the values of the space.

        Raises:
            ReplayError: the algorithm suggests something else, or the parameters do not lie in the space.
        """

    def tell(self, result: Result) -> None:
        """Process the result of a trial; `result.metric` is None if it failed.

        With several metrics `result.metrics` has them by name, in the order of the directions.
        """

    def notes(self) -> list[str]:
        """Lines worth showing to the user, each returned once."""


class Prepared(Search, Protocol):
    """Search algorithm that takes `initial_params` and `warm_start`."""

    def prepare(self, initial: Sequence[dict[str, Any]], known: Sequence[tuple[dict[str, Any], float]]) -> None:
        """Learn from earlier trials, and begin with the combinations in `initial`; called once, before all else.

        Args:
            initial: combinations with the values of the space. Some may lack parameters, which the algorithm adds. They
                count among its trials.
            known: complete combinations of the space with their metrics; the algorithm does not suggest them again.
        """


class Sampler(Protocol):
    """A sampler object of Optuna's, for type checkers."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """See `optuna.samplers.BaseSampler`."""

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """See `optuna.samplers.BaseSampler`."""


def make(
    algorithm: AlgorithmName | Sampler | Callable[..., Search],
    space: Space,
    *,
    direction: Directions,
    seed: int,
    num_trials: int | None = None,
    options: dict[str, Any] | None = None,
) -> Search:
    """Create a search from a name, an Optuna sampler, a class or a function.

    A class or function is called with `space` and the keywords `direction`, `seed`, `num_trials` and `options`.
    `direction` is a tuple where several metrics are optimised, which a class or function can with an attribute
    `multi_objective = True`. `num_trials` is the number of trials; for `asha` and `hyperband` it is the number of
    configurations, each of which is tried with several budgets. With None the algorithm decides.

    Raises:
        InvalidArguments: there is no such algorithm, or an option is unknown or has a value that cannot work.
        MissingExtra: a package that the algorithm needs is not installed.
    """
    from ._factory import make as build  # imported late, because it imports this module

    return build(algorithm, space, direction=direction, seed=seed, num_trials=num_trials, options=options or {})
