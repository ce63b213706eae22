"""The argument `trial` of a define-by-run objective, with the methods of `optuna.trial.Trial`."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..core.plain_values import listed
from ..core.types import json_safe
from ..errors import InvalidArguments, ReportError, TrialStopped
from ..space.distributions import Distribution, categorical, floating, whole
from .outputs import to_number
from .reporter import Reporter

__all__ = ["DefineByRunTrial", "TRIAL", "is_pruned"]

TRIAL = "trial"  # the name of the argument


class Study:
    """Facts of the run, under the names of `optuna.study.Study`."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.study_name: str = facts["study_name"]
        self.directions = [_direction(name) for name in facts["directions"]]

    @property
    def direction(self) -> Any:
        """The only direction. Raises RuntimeError if there are several, as in Optuna."""
        if len(self.directions) > 1:
            raise RuntimeError("the run optimises several metrics; use directions")
        return self.directions[0]

    def __repr__(self) -> str:
        return f"Study(study_name={self.study_name!r}, directions={self.directions!r})"


def _direction(name: str) -> Any:
    """Optuna's `StudyDirection` where the program has imported Optuna, otherwise its name."""
    optuna = sys.modules.get("optuna")
    return name.upper() if optuna is None else optuna.study.StudyDirection[name.upper()]


class DefineByRunTrial:
    """A running trial that asks the driver for its parameters. Thread-safe.

    A name that was suggested before has the same value: in the same trial, and in each attempt at it.
    """

    def __init__(self, number: int, facts: dict[str, Any], reporter: Reporter) -> None:
        self.number = int(facts["first_number"]) + number
        self._facts, self._reporter = facts, reporter
        self._lock = threading.Lock()
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, Distribution] = {}
        self._user_attrs: dict[str, Any] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A float from `low` to `high`, both included; with a step only `low`, `low` + `step` and so on.

        Raises:
            InvalidArguments: the bounds cannot work, or the name was suggested with others before.
        """
        return float(self._suggest(name, lambda: floating(low, high, step, log)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer from `low` to `high`, both included. Raises as `suggest_float`."""
        return int(self._suggest(name, lambda: whole(low, high, step, log)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices. Raises as `suggest_float`."""
        return self._suggest(name, lambda: categorical(choices), choices)

    def report(self, value: Any, step: float) -> None:
        """Report an intermediate value of the objective at a step.

        As in Optuna a step that was reported before is ignored, and an early stop shows in `should_prune` only.
        """
        if (position := to_number(step)) is None or position < 0:
            raise ReportError(f"trial.report(step={step!r:.80}): a step is a number from 0 on, such as the epoch")
        if position <= self._reporter.reported.step:
            warnings.warn(f"the report for step {position:g} is ignored: steps must grow", stacklevel=2)
            return
        self._reporter.report(value, position, raises=False)

    def should_prune(self) -> bool:
        """True if the trial is to end early: raise `optuna.TrialPruned` or `hopslite.errors.TrialStopped` then."""
        if self._reporter.stop_reason() is not None:
            return True
        if not self._facts["prunes"] or not self._reporter.sends:
            return False
        return self._ask({"prune": True}).get("why") is not None

    def set_user_attr(self, key: str, value: Any) -> None:
        """Record a value of your own, in JSON form, with the trial."""
        if not isinstance(key, str):
            raise InvalidArguments("trial.set_user_attr()", [f"key={key!r:.80}; give a text"])
        if self._reporter.sends:
            self._ask({"user_attr": key, "value": json_safe(value)})
        self._user_attrs[key] = value

    @property
    def params(self) -> dict[str, Any]:
        """The values so far by name, as a copy."""
        return dict(self._params)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The values of `set_user_attr`, as a copy."""
        return dict(self._user_attrs)

    @property
    def study(self) -> Study:
        """Facts of the run: `study_name`, `direction`, `directions`."""
        return Study(self._facts)

    def _suggest(self, name: str, make: Callable[[], Distribution], choices: Sequence[Any] | None = None) -> Any:
        try:
            if not isinstance(name, str):
                raise InvalidArguments("name", [f"name={name!r:.80}; give a text"])
            distribution = make()
            with self._lock:
                return self._value(name, distribution, choices)
        except InvalidArguments as error:
            raise InvalidArguments(f"trial.suggest of {name!r}", error.problems) from None

    def _value(self, name: str, distribution: Distribution, choices: Sequence[Any] | None) -> Any:
        known = self._distributions.get(name)
        if known is not None and known != distribution:
            raise InvalidArguments(
                name,
                [f"it was {known} before in this trial and is now {distribution}; use another name for another one"],
            )
        if known is None:
            answer = self._ask({"suggest": name, "distribution": distribution.to_json()})
            if "error" in answer:
                raise InvalidArguments(name, [answer["error"]])
            value = answer["value"]
            self._params[name] = value if choices is None else listed(choices)[value]
            self._distributions[name] = distribution
        return self._params[name]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._reporter.ask(request)
        except ConnectionError as error:
            raise TrialStopped(str(error)) from None


def is_pruned(error: BaseException) -> bool:
    """True for an exception that ends a trial early: hopslite's, or Optuna's, which need not be installed."""
    return isinstance(error, TrialStopped) or any(
        kind.__name__ == "TrialPruned" and kind.__module__.partition(".")[0] == "optuna" for kind in type(error).__mro__
    )
