"""Values that a caller gives for the first trials of a define-by-run search; trials suggest their names later."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.plain_values import short
from ..space.distributions import Distribution

__all__ = ["GivenValues", "given_problems"]


class GivenValues:
    """Values of the first trials, in their order, as with Optuna's `enqueue_trial`.

    A value that is not in the distribution when it is suggested is not used: the algorithm suggests another one. Notes
    say so, and also which names a trial has never suggested.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()
        self._open: dict[str, tuple[int, dict[str, Any]]] = {}  # names that a trial has not suggested yet
        self._notes: list[str] = []

    def extend(self, points: Sequence[Mapping[str, Any]]) -> None:
        self._waiting.extend((number, dict(point)) for number, point in enumerate(points, len(self._waiting)))

    def begin(self, trial_id: str) -> None:
        if self._waiting:
            self._open[trial_id] = self._waiting.popleft()

    def take(self, trial_id: str, name: str, distribution: Distribution) -> float | None:
        """The value of a parameter as it is sent; None if the algorithm is to suggest one."""
        number, values = self._open.get(trial_id, (0, {}))
        if name not in values:
            return None
        value = values.pop(name)
        sent = distribution.accept(value)
        if sent is None:
            self._notes.append(
                f"initial_params[{number}]: {name}={short(value)} is not in {distribution}, so trial {trial_id} has "
                "another value"
            )
        return sent

    def end(self, trial_id: str) -> None:
        number, unused = self._open.pop(trial_id, (0, {}))
        if unused:
            self._notes.append(f"initial_params[{number}]: trial {trial_id} has not suggested {', '.join(unused)}")

    def notes(self) -> list[str]:
        """Lines since the last call."""
        notes, self._notes = self._notes, []
        return notes


def given_problems(points: Any, num_trials: int) -> list[str]:
    """Problems of `initial_params` without a space, with at most this number of trials."""
    if not isinstance(points, (list, tuple)):
        return [f"initial_params={short(points)}; give a list of dicts, each with the values of some hyperparameters"]
    problems = [
        f"initial_params[{number}]={short(point)}; give a dict of values by name"
        for number, point in enumerate(points)
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point)
    ]
    if len(points) > num_trials:
        problems.append(f"initial_params has {len(points)} combinations for {num_trials} trials; give fewer")
    return problems
