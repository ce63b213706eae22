"""The outcome of a run: the result that its verb returns, or the exception that it raises."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..core.fidelity import best_of
from ..core.redaction import redact_value
from ..core.types import State, is_cut_off
from ..errors import RunInterrupted, TrialFailed
from ..result import Run
from .plan import Plan
from .recorder import Recorder
from .stopping import Stopping
from .storage_monitor import not_recorded
from .systematic_failures import Mistake
from .trial_table import TrialTable

__all__ = ["ending_record", "is_interrupted", "run_interrupted", "run_result", "trial_failed", "verdict"]

MAX_FAILURES_HINT = "with max_failures= a run goes on in spite of failures"


def verdict(plan: Plan, table: TrialTable, mistake: Mistake | None, stopping: Stopping) -> tuple[State, str]:
    """The final state of a run, and its error.

    Args:
        mistake: a mistake of the program for which the run was ended.
        stopping: has the limit that has ended the run before its search was done, or the user who did.
    """
    limit, failures = plan.options["max_failures"], table.counts[State.FAILED]
    if limit is not None and failures > limit:
        return State.FAILED, f"{failures} trials failed, more than max_failures={limit}"
    is_cut = not plan.search.done or any(is_cut_off(trial.state, trial.cause) for trial in table.trials.values())
    if stopping.by_user and (is_cut or table.open_trials):
        return State.STOPPED, str(stopping.cause)
    if mistake:
        return State.FAILED, f"{mistake.why}: {mistake.trial.error}"
    if table.has_results:
        return State.FINISHED, ""
    if stopping.cause:
        return State.FAILED, f"no trial had finished before {stopping.cause}"
    return State.FAILED, "every trial failed" if plan.search.total > 1 else "the trial failed"


def is_interrupted(state: State, result: Run) -> bool:
    """True if a verb has nothing to return: the run was interrupted, or stopped before a trial had a metric."""
    is_search = bool(result.direction or result.objectives)
    return state is State.KILLED or (state is State.STOPPED and is_search and not result._chosen)


def ending_record(result: Run, table: TrialTable, state: State, error: str) -> dict[str, Any]:
    """The fields of the run's record that are known at its end."""
    trials = table.trials
    single_metric = next(iter(trials.values())).metric if len(trials) == 1 else None
    return {
        "state": state,
        "best_trial": result._best.id if result._best else None,
        "metric": result._best.metric if result._best else single_metric,
        "pareto_trials": [trial.id for trial in result.pareto_trials] if result.objectives else None,
        "duration": result.duration,
        "error": error or None,
    }


def run_result(
    plan: Plan,
    recorder: Recorder,
    table: TrialTable,
    state: State,
    error: str,
    duration: float,
    without: Collection[str] = (),
) -> Run:
    """The `Run` that a verb returns.

    Args:
        without: ids of trials whose ends are not recorded, and which are left out.
    """
    trials = [table.trials[key] for key in sorted(table.trials, key=int) if key not in without]
    return Run(
        is_search=plan.is_search,
        run_id=recorder.run_id,
        name=plan.name,
        version=recorder.version,
        verb=plan.verb,
        logdir=recorder.directory.url,
        state=state,
        trials=trials,
        best_trial=best_of(trials, plan.direction, plan.ranked_by) if without else table.best,
        direction=plan.direction,
        optimization_key=plan.optimization_key,
        objectives=plan.objectives,
        started_at=recorder.started,
        duration=duration,
        seed=plan.seed,
        project=recorder.project_url,
        description=plan.description,
        tags=plan.options["tags"] or {},
        error=error or None,
        space=plan.space,
        ranked_by=plan.ranked_by,
        **recorder.deferred(),
    )


def trial_failed(plan: Plan, table: TrialTable, mistake: Mistake | None, error: str, result: Run) -> TrialFailed:
    """The exception of a run that failed, with the cause of its first failed trial."""
    first = mistake.trial if mistake else table.first_failure
    message, log_path = f"run {result.run_id} failed: {error}. Its directory: {result.logdir}", None
    if first is not None:
        log_path = f"{first.logdir}/{first.log}"
        why = f"{mistake.why} ({MAX_FAILURES_HINT})" if mistake else error
        context = (
            f"{why}. The first was trial {first.id} {redact_value(first.params)}: " if plan.search.total > 1 else ""
        )
        message = f"run {result.run_id} failed: {context}{first.error} (log: {log_path})" + (
            f"\n\n{first.traceback}" if first.traceback else ""
        )
    return TrialFailed(
        message,
        trial_id=first.id if first else None,
        params=first.params if first else None,
        cause=first.cause if first else "killed_result",
        traceback=first.traceback if first else None,
        log_path=log_path,
        run_id=result.run_id,
        logdir=result.logdir,
        result=result,
    )


def run_interrupted(result: Run, table: TrialTable, resume_hint: str | None) -> RunInterrupted:
    """The exception of a run that an interrupt has ended.

    Args:
        resume_hint: the command that resumes the run; None if it cannot be resumed.
    """
    ended = result.error if result.state is State.STOPPED else "interrupted"
    return RunInterrupted(
        f"run {result.run_id} was {ended}; the {result.counts.get(State.FINISHED, 0)} trials that had "
        f"finished are kept in {result.logdir}{not_recorded(result, table.trials)}"
        + (f". Go on with it: {resume_hint}" if resume_hint else ""),
        run_id=result.run_id,
        logdir=result.logdir,
        result=result,
    )
