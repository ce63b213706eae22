"""What to try next: search algorithms, one file each, without Spark, threads or IO.

An algorithm is told of results by trial id and suggests hyperparameters when asked. It owns its random numbers, so that
the same seed and the same results in the same order give the same suggestions: replaying a journal restores it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from .._trial import Result

__all__ = ["Search", "Suggestion"]


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestion:
    """Hyperparameters to try, by name; `generation` for algorithms that have generations."""

    params: dict[str, Any]
    generation: int | None = None


class Search(Protocol):
    """An algorithm. All calls come from one thread, `tell` exactly once for every trial that `ask` opened."""

    @property
    def total(self) -> int:
        """How many trials it will suggest at most (an estimate may shrink, for the progress bar)."""

    @property
    def done(self) -> bool:
        """Whether it will never suggest anything again, whatever it is told."""

    def ask(self, trial_id: str) -> Suggestion | None:
        """Hyperparameters for the trial `trial_id`, or None: nothing to try until more results are told, or done."""

    def tell(self, result: Result) -> None:
        """How a trial ended; `result.metric` is None for one that failed."""

    def notes(self) -> list[str]:
        """Lines worth showing to the user, each returned once."""
