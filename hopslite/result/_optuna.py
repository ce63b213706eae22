"""Runs in Optuna's terms: a study, and its trials."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core import extras
from ..core.optuna_study import new_study
from ..core.plain_values import is_integer, is_number
from ..core.types import Direction, State, json_safe

if TYPE_CHECKING:
    from . import Run
    from .trial import Trial

__all__ = [
    "FIXED",
    "ORIGIN",
    "RESULTS",
    "add_trial",
    "add_trials",
    "begin_trial",
    "end_trial",
    "frozen_trial",
    "own_distributions",
    "study_of",
    "waiting_trials",
]

ORIGIN = "hopslite"  # user attribute of a trial: the run and the trial that it comes from
FIXED = "fixed_params"  # system attribute of a trial: the values that `enqueue_trial` has given
RESULTS = (State.FINISHED, State.STOPPED, State.FAILED)  # of trials that are not run again


def study_of(run: Run) -> Any:
    """A study in memory with the trials of a run; see `Run.to_optuna`."""
    extras.require("optuna", "run.to_optuna()")
    directions = tuple(objective.direction for objective in run.objectives)
    study = new_study(directions or run.direction or Direction.MAX, None)
    if run.objectives:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is experimental
            study.set_metric_names([objective.name for objective in run.objectives])
    study.add_trials(_frozen_trials(run, run.trials))
    return study


def add_trials(study: Any, run: Run, initial: Sequence[Mapping[str, Any]] = ()) -> None:
    """Add the results of a run that a study does not have yet. A trial that was killed has none: it can be resumed.

    Args:
        initial: the values of the run's first trials. One that the study's `enqueue_trial` has given takes the place
            of the waiting trial.
    """
    there = {(trial.user_attrs.get(ORIGIN), trial.state) for trial in study.get_trials(deepcopy=False)}
    ended = [trial for trial in run.trials if trial.state in RESULTS]
    for trial in _frozen_trials(run, ended):
        if (trial.user_attrs[ORIGIN], trial.state) not in there:
            add_trial(study, trial, initial)


def add_trial(study: Any, trial: Any, initial: Sequence[Mapping[str, Any]]) -> None:
    """Add a trial that has ended, in the place of a waiting one if there is one for it; see `add_trials`."""
    origin = trial.user_attrs[ORIGIN]
    if _running(study, origin) is None and _place_of(study, origin, initial) is None:
        study.add_trial(trial)
    else:
        end_trial(study, begin_trial(study, origin, initial), trial)


def begin_trial(study: Any, origin: str, initial: Sequence[Mapping[str, Any]]) -> int:
    """Add a running trial to a study, or run a waiting one; returns its id in the study's storage."""
    from optuna.trial import TrialState, create_trial

    storage = study._storage
    if (begun := _running(study, origin)) is not None:
        return int(begun._trial_id)
    place = _place_of(study, origin, initial)
    if place is None:
        running = create_trial(state=TrialState.RUNNING, user_attrs={ORIGIN: origin})
        return int(storage.create_new_trial(study._study_id, running))
    storage.set_trial_state_values(place._trial_id, TrialState.RUNNING)
    storage.set_trial_user_attr(place._trial_id, ORIGIN, origin)
    return int(place._trial_id)


def _running(study: Any, origin: str) -> Any:
    """The trial that an earlier driver, or one that failed to write its end, has left RUNNING."""
    trials = study.get_trials(deepcopy=False)
    return next((t for t in trials if t.state.name == "RUNNING" and t.user_attrs.get(ORIGIN) == origin), None)


def waiting_trials(study: Any) -> list[Any]:
    """The trials that `study.enqueue_trial` has added and none has run yet."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name == "WAITING" and FIXED in trial.system_attrs
    ]


def _place_of(study: Any, origin: str, initial: Sequence[Mapping[str, Any]]) -> Any:
    """The waiting trial of a study whose values a trial of the run was given; None for other trials."""
    number = int(origin.rpartition("/")[2])
    if number >= len(initial):
        return None
    values = json_safe(dict(initial[number]))
    return next((place for place in waiting_trials(study) if json_safe(place.system_attrs[FIXED]) == values), None)


def end_trial(study: Any, place: int, trial: Any) -> None:
    """End a running trial of a study, with all of another one."""
    storage = study._storage
    for name, value in trial.params.items():
        form = trial.distributions[name]
        storage.set_trial_param(place, name, form.to_internal_repr(value), form)
    for step, value in trial.intermediate_values.items():
        storage.set_trial_intermediate_value(place, step, value)
    for name, value in trial.user_attrs.items():
        storage.set_trial_user_attr(place, name, value)
    storage.set_trial_state_values(place, trial.state, trial.values)


def _frozen_trials(run: Run, trials: Iterable[Trial]) -> Iterator[Any]:
    reports: dict[str, dict[int, float]] = {}
    for trial_id, step, value in run._optimised_reports():
        reports.setdefault(trial_id, {})[int(step)] = value
    distributions = _distributions(run)
    budget = run._ranked_by
    largest = _largest_budget(run.trials, budget)
    for trial in trials:
        own = {name: distributions[name] for name in trial.params}
        frozen = frozen_trial(trial, run.run_id, own, reports.get(trial.id))
        if budget and trial.state is State.FINISHED and trial.params.get(budget) != largest:
            _prune(frozen, trial, trial.params.get(budget))
        yield frozen


def _largest_budget(trials: Iterable[Trial], budget: str | None) -> float | None:
    """Largest budget with which a trial of a run has finished; None if no trial was given one."""
    values = [trial.params.get(budget) for trial in trials if trial.state is State.FINISHED] if budget else []
    return max((float(value) for value in values if value is not None and is_number(value)), default=None)


def _prune(frozen: Any, trial: Trial, budget: Any) -> None:
    """Turn a complete trial into one that Optuna's pruner has ended after this budget.

    Its metric would be compared with those of longer trainings otherwise. It is what the trial had reached at its
    budget; where the trial has reported values, their steps may be of another unit.
    """
    from optuna.trial import TrialState

    frozen.state = TrialState.PRUNED
    if not frozen.intermediate_values and trial.metric is not None and is_number(budget):
        frozen.intermediate_values = {int(budget): trial.metric}


def frozen_trial(trial: Trial, run_id: str, forms: Mapping[str, Any], reports: dict[int, float] | None) -> Any:
    """A trial of a run as one of Optuna's; `forms` are the distributions of its parameters."""
    from optuna.trial import TrialState, create_trial

    states = {
        State.FINISHED: TrialState.COMPLETE,
        State.STOPPED: TrialState.PRUNED,
        State.RUNNING: TrialState.RUNNING,
        State.PENDING: TrialState.WAITING,
    }
    frozen = create_trial(
        state=states.get(trial.state, TrialState.FAIL),
        values=_values(trial),
        params={name: _text(json_safe(value)) for name, value in trial.params.items()},
        distributions=dict(forms),
        user_attrs={**trial.user_attrs, ORIGIN: f"{run_id}/{trial.id}"},
        intermediate_values=reports,
    )
    if trial.started_at is not None:
        frozen.datetime_start = datetime.datetime.fromtimestamp(trial.started_at)
        if trial.duration is not None and trial.state.final:
            frozen.datetime_complete = frozen.datetime_start + datetime.timedelta(seconds=trial.duration)
    return frozen


def own_distributions(trial: Trial) -> dict[str, Any]:
    """The distributions in which a trial has asked for its parameters."""
    return {
        name: _distribution([trial.distributions.get(name)], [json_safe(value)]) for name, value in trial.params.items()
    }


def _values(trial: Trial) -> list[float] | None:
    """The metric of a trial, or several in the order of the directions; Optuna has one for trials that were pruned."""
    if trial.metrics is not None:
        return list(trial.metrics.values()) if trial.state is State.FINISHED else None
    return None if trial.metric is None or trial.state not in (State.FINISHED, State.STOPPED) else [trial.metric]


def _distributions(run: Run) -> dict[str, Any]:
    """A distribution for each parameter: Optuna wants the same kind and the same choices in all trials."""
    values: dict[str, list[Any]] = {}
    asked: dict[str, list[Any]] = {}
    for trial in run.trials:
        for name, value in trial.params.items():
            values.setdefault(name, []).append(json_safe(value))
        for name, form in trial.distributions.items():
            asked.setdefault(name, []).append(form)
    space = run._space if isinstance(run._space, Mapping) else {}
    return {name: _distribution(asked.get(name) or [space.get(name)], values[name]) for name in values}


def _distribution(forms: Iterable[Any], values: list[Any]) -> Any:
    """The distribution in which all values lie: that of the run, if it is the same for all trials."""
    from optuna import distributions

    known = [made for form in forms if (made := _made(form))]
    if known and all(made == known[0] for made in known) and all(_fits(known[0], value) for value in values):
        return known[0]
    is_log = bool(known) and all(getattr(made, "log", False) for made in known)
    if all(is_integer(value) for value in values):
        return distributions.IntDistribution(min(values), max(values), log=is_log and min(values) > 0)
    if all(is_number(value) for value in values):
        low, high = float(min(values)), float(max(values))
        return distributions.FloatDistribution(low, high, log=is_log and low > 0)
    return distributions.CategoricalDistribution(list(dict.fromkeys(map(_text, values))))


def _made(form: Any) -> Any:
    """Optuna's distribution from the JSON form of a trial's distribution, or of a dimension; None if it has none."""
    from optuna import distributions

    if not isinstance(form, Mapping):
        return None
    kind, log = form.get("type"), bool(form.get("log"))
    try:
        if kind in ("categorical", "choice"):
            return distributions.CategoricalDistribution(list(map(_text, form.get("choices") or form["values"])))
        if kind in ("int", "integer"):
            return distributions.IntDistribution(form["low"], form["high"], log=log, step=int(form.get("step") or 1))
        if kind in ("float", "uniform", "loguniform"):
            log = log or kind == "loguniform"
            return distributions.FloatDistribution(form["low"], form["high"], log=log, step=form.get("step"))
    except (KeyError, TypeError, ValueError):  # damaged
        pass
    return None


def _fits(distribution: Any, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(_text(value))))
    except (TypeError, ValueError):
        return False


def _text(value: Any) -> Any:
    """A value that Optuna's records take: numbers, texts, bools and None as they are, others as text."""
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
