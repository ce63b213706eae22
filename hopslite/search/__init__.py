"""What to try next: search algorithms, one file each, without Spark, threads or IO.

An algorithm is told of results by trial id and suggests hyperparameters when asked. It owns its random numbers, so that
the same seed and the same results in the same order give the same suggestions: replaying a journal restores it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from .._trial import Direction, Result
from ..space import Space

__all__ = ["Search", "Suggestion", "make"]


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestion:
    """Hyperparameters to try, by name.

    `generation` is for algorithms that have generations; `continues` is the id of the trial whose checkpoints this one
    goes on from.
    """

    params: dict[str, Any]
    generation: int | None = None
    continues: str | None = None


class Search(Protocol):
    """An algorithm. All calls come from one thread, `tell` exactly once for every trial that `ask` or `adopt` opened.

    One that passes an argument of its own to the training function beside the hyperparameters, such as how long to
    train, has an attribute `budget`: that argument's name.
    """

    @property
    def total(self) -> int:
        """How many trials it will suggest at most: for the progress bar, and for how many slots are taken.

        An estimate will do. What ends the search is `done`, not this.
        """

    @property
    def done(self) -> bool:
        """Whether it will never suggest anything again, whatever it is told."""

    def ask(self, trial_id: str) -> Suggestion | None:
        """Hyperparameters for the trial `trial_id`, or None: nothing to try until more results are told, or done.

        Being asked in vain changes nothing: a journal has no record of it.
        """

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Take up a trial that an earlier session had suggested, as if `ask` had suggested it just now.

        `params` are in JSON form (`json_safe`); those returned have the values of the space.

        Raises:
            ReplayError: the algorithm suggests something else, or the parameters do not lie in the space.
        """

    def tell(self, result: Result) -> None:
        """How a trial ended; `result.metric` is None for one that failed."""

    def notes(self) -> list[str]:
        """Lines worth showing to the user, each returned once."""


def make(
    algorithm: Any,
    space: Space,
    *,
    direction: Direction,
    seed: int,
    num_trials: int | None = None,
    options: dict[str, Any] | None = None,
) -> Search:
    """The search that a name, an Optuna sampler, a class or a function stands for.

    A class or function is called with `space` and the keywords `direction`, `seed`, `num_trials` and `options`.
    `num_trials` is the number of trials; of configurations, each tried with several budgets, for `asha` and
    `hyperband`; None leaves it to the algorithm.

    Raises:
        InvalidArguments: there is no such algorithm, or an option is unknown or has a value that cannot work.
        MissingExtra: a package that the algorithm needs is not installed.
    """
    from ._make import make as build  # not above: it needs this module

    return build(algorithm, space, direction=direction, seed=seed, num_trials=num_trials, options=options or {})
