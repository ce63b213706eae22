"""Table of a run's trials: open and ended ones, their replay from the journal, and the dialogue with the search.

It is the state that a journal represents: `replay` restores it from there.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..core.fidelity import outranks
from ..core.objectives import metrics_in, with_trial
from ..core.plain_values import is_number
from ..core.redaction import REDACTED, redact_value
from ..core.types import Direction, Event, Result, Spec, State, finite, json_safe
from ..executor.reporter import ReportSummary
from ..result import Trial
from ..result.trial import rescored
from ..runs.history import MEASUREMENTS, RunHistory
from ..search import Suggestion
from ..serialization.values import Values
from ..storage.run_directory import RunDir
from .define_by_run import OBJECTIVE_EVENTS, is_define_by_run, restore
from .open_trial import OpenTrial, killed_result, reason_to_stop
from .plan import Plan

__all__ = ["TrialTable"]


class TrialTable:
    """The trials of one run. `emit(kind, trial, data)` writes an event to the journal."""

    def __init__(
        self, plan: Plan, directory: RunDir, values: Values, emit: Callable[[str, str | None, dict[str, Any]], None]
    ) -> None:
        self._plan, self._directory, self._values, self._emit = plan, directory, values, emit
        self.open_trials: dict[str, OpenTrial] = {}
        self.trials: dict[str, Trial] = {}
        self.counts: Counter[State] = Counter()
        self.best: Trial | None = None
        self.front: list[Trial] = []  # the Pareto front of a run with several metrics
        self.first_failure: Trial | None = None
        self.asked = 0
        self.seconds_worked = 0.0  # by earlier drivers
        self._asked_before_restart = 0  # trials asked before the search was restarted
        self._known_results: dict[str, Trial] = {}  # results from before that, by parameters
        self._checkpoint_origins: dict[
            str, str
        ] = {}  # by trial: the first of the trials that it continues, whose checkpoints it uses
        self._retriable: list[str] = []

    def begin(self) -> None:
        if self._plan.stopper:
            self._plan.stopper.begin(self._plan.direction or Direction.MAX)

    @property
    def total(self) -> int:
        """Upper limit of the number of trials, as far as the algorithm knows."""
        return max(self.asked, self._asked_before_restart + self._plan.search.total)

    @property
    def has_results(self) -> bool:
        """True if a trial has finished or was stopped."""
        return self.counts[State.FINISHED] + self.counts[State.STOPPED] > 0

    def has_improved(self, count: int) -> bool:
        """True if the best trial is among the last `count` that ended, or fewer have ended so far.

        Trials of before a restart of the search do not count: they are of another space.
        """
        ended = (trial for trial in reversed(self.trials.values()) if trial.state is not State.KILLED)
        recent = list(itertools.islice(ended, count))
        is_early = len(recent) < count or int(recent[-1].id) < self._asked_before_restart
        return is_early or any(trial is self.best for trial in recent)

    def ask(self) -> OpenTrial | None:
        """The next trial of the algorithm; None when it has none now. Known results are told to it at once."""
        while True:
            trial_id = f"{self.asked:04d}"
            suggestion = self._plan.search.ask(trial_id)
            if suggestion is None:
                return None
            params = json_safe(suggestion.params)
            # a result without its checkpoints is of no use to trials that go on from them
            usable = self._known_results and params and not suggestion.copies
            key = _params_key(params) if usable else REDACTED
            known = (
                None if REDACTED in key else self._known_results.get(key)
            )  # combinations with different secrets are different
            if known is None:
                data = {"params": params, "generation": suggestion.generation, "continues": suggestion.continues}
                self._emit("asked", trial_id, data | ({"copies": True} if suggestion.copies else {}))
                return self._open_trial(trial_id, suggestion)
            self._emit("known", trial_id, {"params": params, "of": known.id})
            self._tell_known_result(trial_id, known)

    def started(self, trial: OpenTrial, started_at: float) -> None:
        """Note the start of a trial's attempt."""
        trial.started = started_at
        if self._plan.stopper:
            self._plan.stopper.started(trial.id)

    def report(self, trial: OpenTrial, event: Event) -> str | None:
        """Add a report; returns the reason why the trial is to be stopped, or None."""
        step, value = event.data["step"], event.data["value"]
        trial.reported.add(event.data)
        stopper = self._plan.stopper if value is not None else None
        return reason_to_stop(stopper, stopper.report(trial.id, step, value)) if stopper else None

    def end(self, trial: OpenTrial, result: Result) -> Trial:
        """Record the final result of a trial, and tell it to the search and the stopper."""
        self._emit("ended", trial.id, result.to_json())
        return self._end(trial, result)

    def abandon(self, trial: OpenTrial, why: str) -> Trial:
        """End a trial without telling the search: a later driver may run it again."""
        result = killed_result(trial, why)
        self._emit("ended", trial.id, result.to_json())
        return self._record_end(trial, result)

    def as_stopped(self, trial: OpenTrial, result: Result) -> Result:
        """The STOPPED result of a trial that was to be stopped and was lost before."""
        value = trial.reported.value(self._plan.options["report_as"])
        return dataclasses.replace(
            result,
            state=State.STOPPED,
            metric=value if finite(value) else None,
            error=None,
            cause=None,
            outputs=trial.reported.outputs(self._plan.options["report_as"]),
        )

    # --- a run that an earlier driver has begun

    def replay(self, past: RunHistory, retry_failed: bool, fresh: bool) -> list[OpenTrial]:
        """Restore the state at the end of the journal; returns the trials that are to be run again.

        Raises:
            ReplayError: the algorithm's suggestions differ from the journal.
        """
        without = () if self._plan.stopper else MEASUREMENTS  # no search is told of reports
        restarts = [
            number
            for number, event in enumerate(past.events(without) if past.was_restarted else ())
            if event.kind == "resumed" and event.data["fresh"]
        ]
        replay_from = math.inf if fresh else max(restarts, default=0)
        self._interrupted = {
            trial.id for trial in past.trials.values() if trial.result is None or trial.result.is_cut_off
        }
        started = last_event = 0.0
        for number, event in enumerate(past.events(without)):
            if event.kind in ("run_started", "resumed"):
                self.seconds_worked += last_event - started
                started = event.time
            last_event = event.time
            if number == replay_from:
                self._restart_search(lambda trial, why: self._record_end(trial, killed_result(trial, why)))
            if number >= replay_from:
                self._replay_event(event)
            else:
                self._restore_event(event)
        self.seconds_worked += last_event - started
        if fresh:
            self._restart_search(self.abandon)
        for earlier in past.trials.values():
            if earlier.id in self.open_trials and earlier.result and earlier.result.state is State.STOPPED:
                self._emit("again", earlier.id, {})  # trackers take a stopped trial for a finished one
        for trial_id in self._retriable if retry_failed else ():
            self._emit("again", trial_id, {})
            self._retry(trial_id, past.trials[trial_id].attempts)
        for trial in self.open_trials.values():
            trial.first_attempt = trial.spec.attempt + (trial.started is not None)
            trial.reset(trial.first_attempt)
        self._remove_unrecorded()
        return list(self.open_trials.values())

    def _remove_unrecorded(self) -> None:
        """Remove the directories of trials that an earlier driver began and did not record.

        Other trials get their ids, and would go on from their checkpoints.
        """
        for name in self._directory.list("trials"):
            if name.isdecimal() and int(name) >= self.asked:
                self._directory.sub("trials", name).remove_all()

    def _replay_event(self, event: Event) -> None:
        trial_id = event.trial or ""
        trial = self.open_trials.get(trial_id)
        if event.kind in ("asked", "known") and trial is None:
            while self.asked < int(trial_id):  # an event that the journal has lost
                self.ask()
            suggestion = self._plan.search.adopt(trial_id, event.data["params"])
            if event.kind == "asked":
                self._open_trial(trial_id, suggestion)
            else:
                self._tell_known_result(trial_id, self.trials[event.data["of"]])
        elif event.kind == "again" and trial_id in self._retriable:
            self._retriable.remove(trial_id)
            self._retry(trial_id, 0)
        elif trial is None:
            return
        elif event.kind == "started":
            trial.reset(event.data.get("attempt") or 0)
            self.started(trial, event.time)
        elif event.kind == "report":
            self.report(trial, event)
        elif event.kind in OBJECTIVE_EVENTS:
            restore(self._plan.search, trial, event, trial_id not in self._interrupted)
        elif event.kind == "ended":
            result = Result.from_json(event.data)
            if result.is_cut_off:
                return  # it ended with its driver, and is run again
            self._end(trial, result)
            if result.state is State.FAILED:
                self._retriable.append(trial_id)

    def _restore_event(self, event: Event) -> None:
        """Restore an event from before the search was restarted, without telling the search."""
        trial = self.open_trials.get(event.trial or "")
        if event.kind == "asked" and trial is None and event.trial:
            data = event.data
            suggestion = Suggestion(
                data["params"], data.get("generation"), data.get("continues"), data.get("copies", False)
            )
            self._open_trial(event.trial, suggestion)
        elif event.kind == "known":
            self.asked += 1
        elif event.kind == "again" and event.trial in self.trials:
            self._retry(event.trial, 0)
        elif trial and event.kind == "started":
            trial.reset(event.data.get("attempt") or 0)
            trial.started = event.time
        elif trial and event.kind in OBJECTIVE_EVENTS:
            restore(None, trial, event)
        elif trial and event.kind == "ended":
            result = Result.from_json(event.data)
            if result.is_cut_off:  # it ended with its driver; a later one may have run it again
                trial.reset(trial.spec.attempt)
            else:
                self._record_end(trial, result)

    def _retry(self, trial_id: str, attempt: int) -> None:
        """Open a failed trial again; the search keeps its failure as the result."""
        ended = self.trials.pop(trial_id)
        self.counts[ended.state] -= 1
        if self.first_failure is ended:
            failed = (trial for trial in self.trials.values() if trial.state is State.FAILED)
            self.first_failure = next(failed, None)
        params = {} if is_define_by_run(self._plan.search) else ended.params
        suggestion = Suggestion(params, ended.generation, ended.continues, trial_id not in self._checkpoint_origins)
        trial = self._open_trial(trial_id, suggestion)
        self.asked -= 1
        trial.reset(attempt)
        trial.search_informed = True
        trial.params = ended.params
        trial.distributions, trial.user_attrs = ended.distributions, ended.user_attrs

    def _restart_search(self, abandon: Callable[[OpenTrial, str], Any]) -> None:
        """Keep the results of ended trials as known ones for a new search, and abandon open trials."""
        for trial in list(self.open_trials.values()):
            abandon(trial, "given up: the run went on with another search space or direction")
        ended = [trial for trial in self.trials.values() if trial.state in (State.FINISHED, State.STOPPED)]
        self._known_results = {_params_key(trial.params): trial for trial in ended}
        self._asked_before_restart = self.asked

    # --- common to live runs and replays

    def _open_trial(self, trial_id: str, suggestion: Suggestion) -> OpenTrial:
        self.asked += 1
        checkpoints = copies = None
        if suggestion.continues is not None and suggestion.copies:
            copies = self._checkpoints_of(suggestion.continues)
        elif suggestion.continues is not None:
            origin = self._checkpoint_origins[trial_id] = self._checkpoint_origins.get(
                suggestion.continues, suggestion.continues
            )
            checkpoints = self._checkpoints_of(origin)
        spec = Spec(
            trial_id,
            self._values.to_wire(suggestion.params),
            self._directory.path("trials", trial_id),
            suggestion.generation,
            checkpoints=checkpoints,
            copies=copies,
        )
        plan = self._plan
        reported = ReportSummary(
            plan.direction, plan.optimization_key, tuple(objective.name for objective in plan.objectives)
        )
        trial = self.open_trials[trial_id] = OpenTrial(
            suggestion.params, spec, reported, continues=suggestion.continues
        )
        return trial

    def _checkpoints_of(self, trial_id: str) -> str:
        return self._directory.path("trials", trial_id, "checkpoints")

    def _tell_known_result(self, trial_id: str, known: Trial) -> None:
        self.asked += 1
        plan, metric = self._plan, known.metric
        if plan.objectives or known.metrics is not None:  # the run optimised something else when the trial ran
            value: Any = (known.outputs or {}).get(plan.optimization_key or "")
            metric = float(value) if is_number(value) and not plan.objectives else None
        metrics = metrics_in(known.outputs, plan.objectives)
        plan.search.tell(Result(trial_id, known.state, metric, metrics=metrics))

    def _end(self, trial: OpenTrial, result: Result) -> Trial:
        ended = self._record_end(trial, result)
        if not trial.search_informed:
            self._plan.search.tell(result)
        if self._plan.stopper:
            self._plan.stopper.ended(result)
        return ended

    def _record_end(self, trial: OpenTrial, result: Result) -> Trial:
        generation = trial.spec.generation
        ended = Trial.from_result(
            result,
            params=trial.params,
            logdir=trial.spec.logdir,
            generation=generation,
            continues=trial.continues,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
        )
        ended = rescored(ended, self._plan.objectives, self._plan.optimization_key)
        del self.open_trials[ended.id]
        self.trials[ended.id] = ended
        self.counts[ended.state] += 1
        if self._plan.objectives:
            self.front = with_trial(self.front, ended, self._plan.objectives)
        direction = self._plan.direction
        if direction is not None and outranks(ended, self.best, direction, self._plan.ranked_by):
            self.best = ended
        elif ended.state is State.FAILED:
            self.first_failure = self.first_failure or ended
        return ended


def _params_key(params: dict[str, Any]) -> str:
    return json.dumps(redact_value(json_safe(params)), sort_keys=True)
