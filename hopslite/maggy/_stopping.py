"""Maggy's early stopping policies as stoppers."""

from __future__ import annotations

from typing import Any

from ..core.plain_values import plain
from ..core.types import Direction, Result, State
from ..errors import InvalidArguments
from ..stop import Median, Stopper

__all__ = [
    "AbstractEarlyStop",
    "MedianStoppingRule",
    "NoStoppingRule",
    "PolicyStopper",
    "PolicyTrial",
    "stopper_of",
]

COMPARED = (State.FINISHED, State.STOPPED)


class AbstractEarlyStop:
    """Base class for custom policies, passed as `es_policy=`: override `earlystop_check`."""

    @staticmethod
    def earlystop_check(to_check: Any, finalized_trials: list[Any], direction: str) -> str | list[str] | None:
        """The id of the checked trial if it is to end, or a list of ids; None lets it continue."""
        raise NotImplementedError


class MedianStoppingRule(AbstractEarlyStop):
    """As `es_policy=`, the same as "median"."""


class NoStoppingRule(AbstractEarlyStop):
    """As `es_policy=`, the same as "none"."""


class PolicyTrial:
    """View of a trial for a policy, with Maggy's names; `params` are not known here."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.params: dict[str, Any] = {}
        self.status = "RUNNING"
        self.early_stop = False
        self.final_metric: float | None = None
        self.metric_history: list[float] = []
        self.step_history: list[float] = []
        self.metric_dict: dict[float, float] = {}
        self.duration: float | None = None

    def get_early_stop(self) -> bool:
        """True if the trial was stopped early."""
        return self.early_stop


class PolicyStopper:
    """Asks a policy of Maggy's: a class with a static `earlystop_check(to_check, finalized_trials, direction)`.

    The policy is called at reports whose step is a multiple of `interval`, but not 0, after `min_trials` trials have
    ended. It returns the id of the trial if it is to end, or a list of ids; with any other value the trial continues.
    """

    def __init__(self, policy: Any, *, interval: int = 1, min_trials: int = 10) -> None:
        self._policy, self._interval, self._min_trials = policy, interval, min_trials
        self.begin(Direction.MAX)

    def begin(self, direction: Direction) -> None:
        self._direction = "max" if direction is Direction.MAX else "min"
        self._running: dict[str, PolicyTrial] = {}
        self._ended: list[PolicyTrial] = []

    def started(self, trial_id: str) -> None:
        self._running[trial_id] = PolicyTrial(trial_id)
        self._ended = [trial for trial in self._ended if trial.trial_id != trial_id]

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        trial = self._running.setdefault(trial_id, PolicyTrial(trial_id))
        trial.metric_history.append(value)
        trial.step_history.append(step)
        trial.metric_dict[step] = value
        if not step or step % self._interval or len(self._ended) < self._min_trials:
            return None
        answer = self._policy.earlystop_check(trial, list(self._ended), self._direction)
        chosen = answer if isinstance(answer, (list, tuple, set)) else [answer]
        if trial_id not in chosen:
            return None
        return f"{self._name} says so at step {step:g}, with the value {value:g}"

    def ended(self, result: Result) -> None:
        trial = self._running.pop(result.trial_id, None)
        if trial is None or result.state not in COMPARED:
            return
        trial.status, trial.early_stop = "FINALIZED", result.state is State.STOPPED
        trial.final_metric, trial.duration = result.metric, result.duration
        self._ended.append(trial)

    @property
    def _name(self) -> str:
        return str(getattr(self._policy, "__name__", type(self._policy).__name__))

    def __repr__(self) -> str:
        return f"PolicyStopper({self._name}, interval={self._interval!r}, min_trials={self._min_trials!r})"


def stopper_of(policy: Any, interval: Any, least: Any) -> Stopper | str | None:
    """The stopper for Maggy's `es_policy`, `es_interval` and `es_min`; hopslite's own stoppers are accepted, too.

    Raises:
        InvalidArguments: there is no such policy.
    """
    interval, least = plain(interval), plain(least)
    for name, value in (("es_interval", interval), ("es_min", least)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise InvalidArguments("", [f"{name}={value!r}; give a whole number"])
    interval, least = max(1, interval), max(1, least)
    kind = policy.lower() if isinstance(policy, str) else getattr(policy, "__name__", type(policy).__name__)
    if policy is None or kind in ("none", "NoStoppingRule"):
        return None
    if kind in ("median", "MedianStoppingRule"):
        return Median(interval=interval, min_trials=least)
    if callable(getattr(policy, "earlystop_check", None)):
        return PolicyStopper(policy, interval=interval, min_trials=least)
    if isinstance(policy, str) or callable(getattr(policy, "report", None)):
        stopper: Stopper | str = policy  # hopslite's own, by name or as an object; the verb checks it
        return stopper
    raise InvalidArguments(
        "", [f"es_policy={policy!r}; give 'median', 'none', a stopper, or a class with earlystop_check()"]
    )
