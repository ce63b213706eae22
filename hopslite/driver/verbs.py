"""Common implementation of the verbs: from a checked call to a run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..core import plugins
from ..core.gpu_shares import gpu_amount
from ..core.settings import Settings
from ..core.signatures import parameters
from ..core.types import BUDGET, Direction, json_safe
from ..display import choose
from ..distribute import Layout, Size
from ..errors import InvalidArguments, MissingExtra
from ..result import Run, SearchRun, TrainingRun
from ..search import Search
from ..search._crossed import crossed
from ..search.fixed import Fixed
from ..space import Choice, Space
from ..storage.project import Project
from . import checks, optuna_study
from .arguments import Call
from .checkpoint_use import checkpoint_problem
from .execution import execute
from .goal import goal_of
from .input_lookup import check_data_sets, find_inputs, with_recorded_versions
from .keywords import Options
from .resume import stored_plan, take_up
from .resume_checks import run_id_in
from .run_call import About, run_call, stopper_of
from .secret_values import secrets_of
from .warm_start import Prior, Problem, prior_of

if TYPE_CHECKING:
    from ..ablation import AblationRun

__all__ = ["ablated", "around", "distributed", "launched", "resumed", "searched", "searched_by_trial"]


def launched(call: Call, about: About, args_dict: Any) -> TrainingRun:
    """One trial, or one for each column of `args_dict`."""
    combinations = _zipped(call, args_dict)
    call.check_parameters(args_dict or () if isinstance(args_dict, (Mapping, type(None))) else ())
    return run_call(
        call,
        about,
        "Launcher",
        lambda seed: Fixed(combinations, seed=seed),
        space={key: {"type": "list", "length": len(combinations)} for key in (combinations[0] if combinations else ())},
        choices=tuple(value for combination in combinations for value in combination.values()),
        secrets=secrets_of({key: [row[key] for row in combinations] for key in (combinations or [{}])[0]}),
        is_search=False,
    )


def around(call: Call, about: About, params: Any) -> Run:
    """One trial, which is code of the driver: the pool in the call's options says when it ends."""
    call.check(
        isinstance(params, (Mapping, type(None))),
        f"params={params!r:.80}; give a dict of values by name, for the record",
    )
    values = json_safe(dict(params)) if isinstance(params, Mapping) else {}
    return run_call(
        call,
        about,
        "Code of the driver",
        lambda seed: Fixed([values], seed=seed),
        space={name: {"type": "list", "length": 1} for name in values},
        choices=(),
        is_search=False,
        resumable=False,
    )


def _zipped(call: Call, args_dict: Any) -> list[dict[str, Any]]:
    if args_dict is None or args_dict == {}:
        return [{}]
    if not isinstance(args_dict, Mapping):
        call.problems.append(f"args_dict is {args_dict!r}; give a dict with a list of values per argument")
        return []
    columns = {str(key): call.attempt(Space.grid, {key: values}) for key, values in args_dict.items()}
    spaces = {key: space for key, space in columns.items() if space is not None}
    lists = {key: [space.at(number)[key] for number in range(space.size or 0)] for key, space in spaces.items()}
    lengths = {key: len(values) for key, values in lists.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        call.problems.append(f"Length of each function argument list must be equal; given are {shown}")
        return []
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def ablated(call: Call, about: About, study: Any, direction: Any) -> AblationRun:
    """One trial for each component of a study, without it, and one with all."""
    from ..ablation import AblationRun, study_of  # not above: other verbs do not need it

    towards = call.direction(direction)
    known = call.attempt(study_of, study)
    trials = (call.attempt(known.trials) if known else None) or [{}]
    if known and callable(call.train_fn):
        call.train_fn = call.attempt(known.wrap, call.train_fn) or call.train_fn
    run = run_call(
        call,
        about,
        "Ablation study",
        lambda seed: Fixed(trials, seed=seed),
        space=known.to_dict() if known else {},
        choices=(),
        direction=towards,
        stopper=stopper_of(call),
    )
    return AblationRun.of(run)


def distributed(call: Call, about: About, strategy: str, size: Size) -> TrainingRun:
    """One trial of several members."""
    options = call.options
    call.options = {
        **options,
        "cpus_per_trial": options["cpus_per_worker"],
        "gpus_per_trial": options["gpus_per_worker"] or None,
        "max_retries": 0,
    }
    call.check_parameters(())
    return run_call(
        call,
        about,
        plugins.load("distribute", strategy).TITLE if plugins.is_known("distribute", strategy) else strategy,
        lambda seed: Fixed([{}], seed=seed),
        layout=Layout(strategy, size, options["forming_timeout"], options["evaluator_grace"], per="worker"),
        space={},
        choices=(),
        is_search=False,
    )


def searched(
    call: Call,
    about: About,
    title: str,
    space: Space | None,
    direction: Any,
    algorithm: Callable[..., Search],
    option_problems: Callable[..., list[str]] | None = None,
    **chosen: Any,
) -> SearchRun:
    """A search. `algorithm` is called with the space, `direction`, `seed` and `chosen`.

    Args:
        space: None if it is invalid; only `option_problems(**chosen)` are then added to its problems.
    """
    goal = goal_of(call, direction, about.key)
    towards = goal.directions
    if goal.objectives and isinstance(algorithm, type) and not getattr(algorithm, "multi_objective", False):
        call.problems.append(
            f"{title} optimises one metric; use random_search, grid_search, or search with nsga2 or tpe"
        )
        towards = Direction.MAX

    def make(seed: int) -> Search:
        assert space is not None
        return crossed(space, lambda inner: algorithm(inner, direction=towards, seed=seed, **chosen))

    def prior_for(past: Mapping[str, Any]) -> Prior:
        assert space is not None
        return prior_of(call.options, Problem(space, goal.direction, goal.key), past)

    if space is not None:
        search = call.attempt(make, call.seed)
        budget = getattr(search, "budget", None)
        if search is None and BUDGET in parameters(call.train_fn).names:
            budget = BUDGET  # the algorithm may pass it: it is not another problem
        known = len(call.problems)
        call.check_parameters((*space.names, *([budget] if budget else [])), space.conditional, budget)
        if search is not None and len(call.problems) == known:  # otherwise its arguments are to be changed anyway
            call.problems += filter(None, [checkpoint_problem(call.train_fn, call.function, search)])
        if search is not None and call.options["resume"] is None:  # otherwise its runs may be those of the record
            call.attempt(lambda: prior_for({}).prepare(search))
    elif option_problems is not None:
        try:
            call.problems += option_problems(**chosen)
        except MissingExtra as error:
            call.problems.append(str(error))
    return run_call(
        call,
        dataclasses.replace(about, key=goal.key),
        title,
        make,
        prior_for=prior_for,
        space=space.to_json() if space is not None else {},
        choices=tuple(value for values in _choices(space or {}).values() for value in values),
        secrets=secrets_of(_choices(space or {})),
        direction=goal.direction,
        objectives=goal.objectives,
        stopper=stopper_of(call),
    )


def searched_by_trial(
    call: Call, about: About, title: str, direction: Any, algorithm: Any, num_trials: Any, options: Any, study: Any
) -> SearchRun:
    """A search without a space: its trials ask for their parameters. `study` is one of Optuna's, or None."""
    from ..search import _define_by_run  # not above: other verbs do not need them
    from ..search._factory import DEFAULT_TRIALS

    if study is not None:
        unfit = optuna_study.problems(study, algorithm, direction)
        call.problems += unfit
        if not unfit:
            algorithm, direction, key = optuna_study.settings_of(call, study, about.key)
            about = dataclasses.replace(about, key=key)
    goal = goal_of(call, direction, about.key, by_trial=True)
    about = dataclasses.replace(about, key=goal.key)
    wanted = {} if options is None else dict(options) if isinstance(options, Mapping) else options

    def make(seed: int) -> Search:
        return _define_by_run.make(
            algorithm, direction=goal.directions, seed=seed, num_trials=num_trials, options=wanted
        )

    priors: list[Prior] = []
    total = num_trials or DEFAULT_TRIALS

    def prior_for(past: Mapping[str, Any]) -> Prior:
        prior = prior_of(call.options, Problem(None, goal.direction, goal.key), past)
        priors.append(prior if study is None else optuna_study.with_enqueued(prior, study, total, past))
        return priors[-1]

    try:
        call.problems += _define_by_run.option_problems(algorithm, num_trials, wanted, goal.directions)
        if not (call.problems or call.options["resume"]):  # a resumed run has what its record says
            call.attempt(lambda: prior_for({}).prepare(make(call.seed)))
    except MissingExtra as error:
        call.problems.append(str(error))
    plan: dict[str, Any] = {"direction": goal.direction, "objectives": goal.objectives, "stopper": stopper_of(call)}
    run = functools.partial(run_call, call, about, title, make, space={}, choices=(), **plan)
    if study is None or call.problems:
        return run(prior_for=prior_for)
    with optuna_study.collected(study, call.options, lambda: priors[-1].initial or ()) as runs:
        runs.append(run(prior_for=lambda past: optuna_study.EarlierTrials(study, prior_for(past), past.get("run_id"))))
    return runs[0]


def _choices(space: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Values that hyperparameters can take, by name, where they are listed."""
    return {name: dimension.values for name, dimension in space.items() if isinstance(dimension, Choice)}


def resumed(
    call: Call,
    run_id: str,
    train_fn: Callable[..., Any] | None,
    place: str | None,
    retry_failed: bool,
    force: bool,
    changes: Mapping[str, Any],
    study: Any = None,
) -> Run:
    """Resume a run by its id alone; `changes` are options that replace those of the run's plan.

    Args:
        study: one of Optuna's, which gets the trials that it does not have yet.
    """
    call.check(isinstance(run_id, str) and bool(run_id), f"run_id={run_id!r}; give the name or id of a run, as text")
    call.problems += [] if study is None else optuna_study.problems(study, "random", None)
    call.raise_if_invalid()
    display = choose(call.options["display"])
    settings = Settings.load(
        project=place, tracking_uri=call.options["tracking_uri"], storage_patience=call.options["storage_patience"]
    )
    project = Project(settings.project)
    inputs = find_inputs(project, call.options["inputs"])
    resumption = take_up(project, run_id_in(project, run_id), retry_failed, display.line)
    try:
        inputs = with_recorded_versions(project, inputs, resumption.record)
        plan = stored_plan(resumption.run, train_fn, inputs, call.options["env"])
        check_data_sets(project, plan.inputs)
        differences = resumption.changes(plan.train_fn) + (resumption.other_inputs(plan.inputs) if inputs else [])
        if differences and not force:
            raise InvalidArguments(
                f"experiment.resume({run_id!r})", [*differences, "go on with the new one with force=True"]
            )
        call.problems += optuna_study.plan_problems(study, plan)
        call.raise_if_invalid()
        kept = {name: value for name, value in call.options.items() if name in changes and name in plan.options}
        sizes = {name: changes[name] for name in changes.keys() & {"parallelism", "cpus_per_trial", "gpus_per_trial"}}
        if plan.resources.layout and sizes.get("gpus_per_trial") is not None:
            call.problems += checks.gpus_of_member("gpus_per_trial", sizes["gpus_per_trial"])
            call.raise_if_invalid()
        if "gpus_per_trial" in sizes:
            sizes["gpus_per_trial"] = gpu_amount(sizes["gpus_per_trial"])
        plan = dataclasses.replace(
            plan,
            resources=dataclasses.replace(plan.resources, **sizes),
            options=cast(Options, {**plan.options, **kept}),
        )
        is_same = train_fn is None and not (inputs or kept or sizes)
        resumption = dataclasses.replace(resumption, keeps_plan=is_same)
    except BaseException:
        resumption.lease.release()
        raise
    with optuna_study.collected(study, call.options, lambda: plan.prior.get("initial_params") or ()) as runs:
        runs.append(execute(plan, settings, display, call.options, resumption))
    return runs[0]
