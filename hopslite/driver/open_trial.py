"""A trial that has not ended, as the driver knows it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ..core.types import Result, Spec, State, json_safe
from ..errors import InvalidArguments
from ..executor.reporter import ReportSummary
from ..stop import Stopper

__all__ = ["OpenTrial", "killed_result", "reason_to_stop", "stopped_result"]

ENDED_BY_STOPPER = "the stopper has ended it"


@dataclasses.dataclass(slots=True)
class OpenTrial:
    """A trial that has not ended."""

    params: dict[str, Any]  # of a define-by-run search those that the trial has asked for so far
    spec: Spec
    reported: ReportSummary
    started: float | None = None
    stop_reason: str | None = None  # the reason for an early stop
    cut_off_cause: str | None = None  # the cause of its end, if it is stopped only because its run is
    continues: str | None = None  # the trial that it goes on from
    first_attempt: int = 0  # the first one of this driver
    search_informed: bool = False  # the search has been told of an end of the trial
    storage_failures: int = 0  # attempts that failed because they could not write
    distributions: dict[str, Any] = dataclasses.field(default_factory=dict)  # of a define-by-run search, in JSON form
    user_attrs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.spec.trial_id

    def reset(self, attempt: int) -> None:
        """Begin another attempt."""
        self.spec = dataclasses.replace(self.spec, attempt=attempt)
        self.started = self.stop_reason = self.cut_off_cause = None
        self.reported = self.reported.cleared()


def killed_result(trial: OpenTrial, error: str) -> Result:
    """The KILLED result of a trial that is not to go on."""
    started = trial.started or time.time()
    return Result(trial.id, State.KILLED, error=error, cause="killed", started=started, duration=time.time() - started)


def stopped_result(trial: OpenTrial, why: str) -> Result:
    """The STOPPED result of a trial that a user has stopped while it waited to be run again."""
    return Result(trial.id, State.STOPPED, error=why, started=time.time())


def reason_to_stop(stopper: Stopper, answer: Any) -> str | None:
    """The reason to stop a trial from the return value of a stopper; None: it goes on.

    A user's own stopper may return a truth value, such as the result of a comparison.

    Raises:
        InvalidArguments: it is neither a truth value nor a reason.
    """
    if isinstance(answer, str):
        return answer or ENDED_BY_STOPPER
    plain = json_safe(answer)  # NumPy has its own truth values
    if plain is None or plain is False:
        return None
    if plain is True:
        return ENDED_BY_STOPPER
    raise InvalidArguments(
        "stopper",
        [
            f"{type(stopper).__name__}.report() returned {type(answer).__name__} {answer!r:.80}; it has to return "
            "the reason to end the trial as text, or None to go on. True and False are allowed, too"
        ],
    )
