"""What is known of a run's trials: those under way, those that ended, and what the algorithm was asked and told.

It is the state that a journal stands for: `replay` brings it back from there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ._past import Past
from ._plan import Plan
from ._trial import Direction, Event, Result, Spec, State, finite, is_better, json_safe
from .errors import InvalidArguments
from .result import Trial
from .runtime.report import Reported
from .runtime.values import Values
from .search import Suggestion
from .stop import Stopper
from .store import RunDir

__all__ = ["Ledger", "OpenTrial", "killed"]

ENDED_BY_STOPPER = "the stopper has ended it"


@dataclasses.dataclass(slots=True)
class OpenTrial:
    """A trial that has not ended."""

    params: dict[str, Any]
    spec: Spec
    reported: Reported
    started: float | None = None
    stopping: str | None = None  # why it is ended early
    first_attempt: int = 0  # of this driver
    told: bool = False  # the search knows of an end of it

    @property
    def id(self) -> str:
        return self.spec.trial_id

    def repeat(self, attempt: int) -> None:
        """Forget what came of it so far."""
        self.spec = dataclasses.replace(self.spec, attempt=attempt)
        self.started = self.stopping = None
        self.reported = self.reported.anew()


class Ledger:
    """The trials of one run. `emit` writes an event of a kind, about a trial, with data, into the journal."""

    def __init__(
        self, plan: Plan, directory: RunDir, values: Values, emit: Callable[[str, str | None, dict[str, Any]], None]
    ) -> None:
        self._plan, self._directory, self._values, self._emit = plan, directory, values, emit
        self.open: dict[str, OpenTrial] = {}
        self.trials: dict[str, Trial] = {}
        self.counts: Counter[State] = Counter()
        self.best: Trial | None = None
        self.first_failure: Trial | None = None
        self.asked = 0
        self.worked = 0.0  # seconds that earlier drivers have worked on the run
        self._asked_before = 0  # of the trials asked, those of another algorithm, before a fresh beginning
        self._known: dict[str, Trial] = {}  # what was found before that, by parameters
        self._origins: dict[str, str] = {}  # of a trial that goes on from another: the first one, by whose checkpoints
        self._retriable: list[str] = []

    def begin(self) -> None:
        if self._plan.stopper:
            self._plan.stopper.begin(self._plan.direction or Direction.MAX)

    @property
    def total(self) -> int:
        """How many trials there will be at most, as far as the algorithm knows."""
        return max(self.asked, self._asked_before + self._plan.search.total)

    def ask(self) -> OpenTrial | None:
        """The next trial of the algorithm; None when it has none now. What is known already is told it at once."""
        while True:
            trial_id = f"{self.asked:04d}"
            suggestion = self._plan.search.ask(trial_id)
            if suggestion is None:
                return None
            params = json_safe(suggestion.params)
            known = self._known.get(_key(params)) if self._known else None
            if known is None:
                data = {"params": params, "generation": suggestion.generation, "continues": suggestion.continues}
                self._emit("asked", trial_id, data)
                return self._opened(trial_id, suggestion)
            self._emit("known", trial_id, {"params": params, "of": known.id})
            self._tell_known(trial_id, known)

    def started(self, trial: OpenTrial, when: float) -> None:
        trial.started = when
        if self._plan.stopper:
            self._plan.stopper.started(trial.id)

    def report(self, trial: OpenTrial, event: Event) -> str | None:
        """Take a report; returns why the trial is to be stopped, or None."""
        step, value = event.data["step"], event.data["value"]
        trial.reported.add(step, value)
        stopper = self._plan.stopper
        return _reason(stopper, stopper.report(trial.id, step, value)) if stopper else None

    def end(self, trial: OpenTrial, result: Result) -> Trial:
        """Take the final result of a trial, and tell the algorithm and the stopper."""
        self._emit("ended", trial.id, result.to_json())
        return self._learned(trial, result)

    def give_up(self, trial: OpenTrial, why: str) -> Trial:
        """End a trial that nobody is told of: a later driver may run it again."""
        result = killed(trial, why)
        self._emit("ended", trial.id, result.to_json())
        return self._take(trial, result)

    def stopped(self, trial: OpenTrial, result: Result) -> Result:
        """The result of a trial that was to be stopped and was lost before it had."""
        value = trial.reported.value(self._plan.report_as)
        return dataclasses.replace(
            result,
            state=State.STOPPED,
            metric=value if finite(value) else None,
            error=None,
            cause=None,
            outputs={self._plan.optimization_key or "metric": value},
        )

    # --- a run that an earlier driver has begun

    def replay(self, past: Past, retry_failed: bool, fresh: bool) -> list[OpenTrial]:
        """Bring everything to where the journal ends; returns the trials that are to be run again.

        Raises:
            ReplayError: the algorithm suggests something else than the journal says.
        """
        marks = [number for number, event in enumerate(past.events) if event.kind == "resumed" and event.data["fresh"]]
        live_from = math.inf if fresh else max(marks, default=0)
        began = last = 0.0
        for number, event in enumerate(past.events):
            if event.kind in ("run_started", "resumed"):
                self.worked += last - began
                began = event.time
            last = event.time
            if number == live_from:
                self._begin_anew(lambda trial, why: self._take(trial, killed(trial, why)))
            if number >= live_from:
                self._replay_event(event)
            else:
                self._recall(event)
        self.worked += last - began
        if fresh:
            self._begin_anew(self.give_up)
        for trial_id in self._retriable if retry_failed else ():
            self._emit("again", trial_id, {})
            self._retry(trial_id, past.trials[trial_id].attempts)
        for trial in self.open.values():
            trial.first_attempt = trial.spec.attempt + (trial.started is not None)
            trial.repeat(trial.first_attempt)
        return list(self.open.values())

    def _replay_event(self, event: Event) -> None:
        trial_id = event.trial or ""
        trial = self.open.get(trial_id)
        if event.kind in ("asked", "known") and trial is None:
            while self.asked < int(trial_id):  # the journal has lost that one, and the algorithm has not
                self.ask()
            suggestion = self._plan.search.adopt(trial_id, event.data["params"])
            if event.kind == "asked":
                self._opened(trial_id, suggestion)
            else:
                self._tell_known(trial_id, self.trials[event.data["of"]])
        elif event.kind == "again" and trial_id in self._retriable:
            self._retriable.remove(trial_id)
            self._retry(trial_id, 0)
        elif trial is None:
            return
        elif event.kind == "started":
            trial.repeat(event.data.get("attempt") or 0)
            self.started(trial, event.time)
        elif event.kind == "report":
            self.report(trial, event)
        elif event.kind == "ended":
            result = Result.from_json(event.data)
            if result.state is State.KILLED:
                return  # with its driver; it is run again
            self._learned(trial, result)
            if result.state is State.FAILED:
                self._retriable.append(trial_id)

    def _recall(self, event: Event) -> None:
        """Take up an event from before the algorithm began anew: what came of trials, without a word to it."""
        trial = self.open.get(event.trial or "")
        if event.kind == "asked" and trial is None and event.trial:
            data = event.data
            self._opened(event.trial, Suggestion(data["params"], data.get("generation"), data.get("continues")))
        elif event.kind == "known":
            self.asked += 1
        elif event.kind == "again" and event.trial in self.trials:
            self._retry(event.trial, 0)
        elif trial and event.kind == "started":
            trial.repeat(event.data.get("attempt") or 0)
            trial.started = event.time
        elif trial and event.kind == "ended":
            result = Result.from_json(event.data)
            if result.state is State.KILLED:  # with its driver; a later one may have run it again
                trial.repeat(trial.spec.attempt)
            else:
                self._take(trial, result)

    def _retry(self, trial_id: str, attempt: int) -> None:
        """Open a failed trial again. The search has been told of its failure and stays with that."""
        done = self.trials.pop(trial_id)
        self.counts[done.state] -= 1
        if self.first_failure is done:
            failed = (trial for trial in self.trials.values() if trial.state is State.FAILED)
            self.first_failure = next(failed, None)
        trial = self._opened(trial_id, Suggestion(done.params, done.generation, self._origins.get(trial_id)))
        self.asked -= 1
        trial.repeat(attempt)
        trial.told = True

    def _begin_anew(self, give_up: Callable[[OpenTrial, str], Any]) -> None:
        """From here on the algorithm is another: what was found is known, what was not is given up."""
        for trial in list(self.open.values()):
            give_up(trial, "given up: the run went on with another search space or direction")
        done = [trial for trial in self.trials.values() if trial.state in (State.FINISHED, State.STOPPED)]
        self._known = {_key(trial.params): trial for trial in done}
        self._asked_before = self.asked

    # --- what both have in common

    def _opened(self, trial_id: str, suggestion: Suggestion) -> OpenTrial:
        self.asked += 1
        checkpoints = None
        if suggestion.continues is not None:
            first = self._origins[trial_id] = self._origins.get(suggestion.continues, suggestion.continues)
            checkpoints = self._directory.path("trials", first, "checkpoints")
        spec = Spec(
            trial_id,
            self._values.to_wire(suggestion.params),
            self._directory.path("trials", trial_id),
            suggestion.generation,
            checkpoints=checkpoints,
        )
        self.open[trial_id] = OpenTrial(suggestion.params, spec, Reported(self._plan.direction))
        return self.open[trial_id]

    def _tell_known(self, trial_id: str, known: Trial) -> None:
        self.asked += 1
        self._plan.search.tell(Result(trial_id, known.state, known.metric))

    def _learned(self, trial: OpenTrial, result: Result) -> Trial:
        done = self._take(trial, result)
        if not trial.told:
            self._plan.search.tell(result)
        if self._plan.stopper:
            self._plan.stopper.ended(result)
        return done

    def _take(self, trial: OpenTrial, result: Result) -> Trial:
        generation = trial.spec.generation
        done = Trial.from_result(result, params=trial.params, logdir=trial.spec.logdir, generation=generation)
        del self.open[done.id]
        self.trials[done.id] = done
        self.counts[done.state] += 1
        direction = self._plan.direction
        if done.state in (State.FINISHED, State.STOPPED) and done.metric is not None and direction is not None:
            if self.best is None or is_better(done.metric, self.best.metric, direction):
                self.best = done
        elif done.state is State.FAILED:
            self.first_failure = self.first_failure or done
        return done


def killed(trial: OpenTrial, error: str) -> Result:
    """How a trial ends that is not to go on."""
    started = trial.started or time.time()
    return Result(trial.id, State.KILLED, error=error, cause="killed", started=started, duration=time.time() - started)


def _reason(stopper: Stopper, answer: Any) -> str | None:
    """Why a trial is to end, from what a stopper has said; None: it goes on.

    One of somebody's own may well say yes or no, for which a comparison is enough.

    Raises:
        InvalidArguments: it is neither that nor a reason.
    """
    if isinstance(answer, str):
        return answer or ENDED_BY_STOPPER
    plain = json_safe(answer)  # NumPy has truth values of its own
    if plain is None or plain is False:
        return None
    if plain is True:
        return ENDED_BY_STOPPER
    raise InvalidArguments(
        "stopper",
        [
            f"{type(stopper).__name__}.report() returned {type(answer).__name__} {answer!r:.80}; it is to return why "
            "the trial is to end, as text, or None: it goes on. True and False will do, too"
        ],
    )


def _key(params: dict[str, Any]) -> str:
    return json.dumps(json_safe(params), sort_keys=True)
