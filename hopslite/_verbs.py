"""What the verbs have in common: from a checked call to a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _study, stop
from ._function import describe
from ._inputs import find_inputs
from ._options import Call, Options, ResumeOptions
from ._past import unfinished
from ._plugins import load, names
from ._resume import Resumption, stored_plan, take_up
from ._trial import json_safe
from .ablation import AblationRun, study_of
from .config import Settings
from .display import Display, choose
from .distribute import Layout, Size
from .errors import InvalidArguments
from .pool import Resources
from .result import Run
from .runtime.inputs import Input, recorded
from .runtime.ports import parse_ports
from .search import Search
from .search.fixed import Fixed
from .space import Choice, Space
from .store import Project

__all__ = ["About", "ablated", "distributed", "launched", "resumed", "searched"]


@dataclasses.dataclass(frozen=True)
class About:
    """What every verb is told about a run besides what to do; `key` is the metric's."""

    name: str
    local_logdir: bool
    description: str | None
    key: str | None


def launched(call: Call, about: About, args_dict: Any) -> Run:
    """One trial, or one for each column of `args_dict`."""
    combinations = _zipped(call, args_dict)
    call.check_parameters(args_dict or () if isinstance(args_dict, (Mapping, type(None))) else ())
    return _run(
        call,
        about,
        "Launcher",
        lambda seed: Fixed(combinations, seed=seed),
        space={key: {"type": "list", "length": len(combinations)} for key in (combinations[0] if combinations else ())},
        choices=tuple(value for combination in combinations for value in combination.values()),
        is_search=False,
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
    towards = call.direction(direction)
    known = call.attempt(study_of, study)
    trials = (call.attempt(known.trials) if known else None) or [{}]
    if known and callable(call.train_fn):
        call.train_fn = call.attempt(known.wrap, call.train_fn) or call.train_fn
    run = _run(
        call,
        about,
        "Ablation study",
        lambda seed: Fixed(trials, seed=seed),
        space=known.to_dict() if known else {},
        choices=(),
        direction=towards,
        **_stopping(call),
    )
    return AblationRun.of(run)


def distributed(call: Call, about: About, strategy: str, size: Size) -> Run:
    """One trial of several members."""
    given = call.options
    call.options = dataclasses.replace(
        given, cpus_per_trial=given.cpus_per_worker, gpus_per_trial=given.gpus_per_worker or None, max_retries=0
    )
    call.check_parameters(())
    return _run(
        call,
        about,
        load("distribute", strategy).TITLE if strategy in names("distribute") else strategy,
        lambda seed: Fixed([{}], seed=seed),
        layout=Layout(strategy, size, given.forming_timeout, given.evaluator_grace, per="worker"),
        space={},
        choices=(),
        is_search=False,
        max_restarts=given.max_restarts if given.on_failure == "restart" else 0,
    )


def searched(
    call: Call,
    about: About,
    title: str,
    space: Space | None,
    direction: Any,
    algorithm: Callable[..., Search],
    **chosen: Any,
) -> Run:
    """A search. `algorithm` is made with the space, `direction`, `seed`, and what else was `chosen`."""
    towards = call.direction(direction)
    any_space = space if space is not None else Space.parse({"any": [0, 1]})  # to hear of the other problems, too

    def make(seed: int) -> Search:
        return algorithm(any_space, direction=towards, seed=seed, **chosen)

    made = call.attempt(make, call.seed)
    if space is not None:
        extra = getattr(made, "budget", None)
        call.check_parameters((*space.names, *([extra] if extra else ())), space.conditional)
    return _run(
        call,
        about,
        title,
        make,
        space=any_space.to_json(),
        choices=tuple(v for dim in any_space.values() if isinstance(dim, Choice) for v in dim.values),
        direction=towards,
        **_stopping(call),
    )


def _stopping(call: Call) -> dict[str, Any]:
    """What the plan of a search says of ending trials early."""
    options = call.options
    return {
        "stopper": None if options.stopper is None else call.attempt(stop.make, options.stopper),
        "report_as": options.report_as,
        "stop_grace": options.stop_grace,
    }


def _run(
    call: Call,
    about: About,
    title: str,
    make: Callable[[int], Search],
    layout: Layout | None = None,
    **plan: Any,
) -> Run:
    """Check the rest of the call and hand it to the study."""
    options = call.options
    layout = call.layout(layout)
    settings = Settings.load(project=options.place, tracking_uri=options.tracking_uri)
    key = "optimization_key" if plan.get("is_search", True) else "metric_key"
    call.check(
        isinstance(about.key, str) or (about.key is None and key == "metric_key"), f"{key}={about.key!r}; give a text"
    )
    call.check(isinstance(about.description, (str, type(None))), f"description={about.description!r}; give a text")
    if layout is not None:
        call.attempt(parse_ports, settings.member_ports, "member_ports")
        layout = dataclasses.replace(layout, ports=settings.member_ports)
    project = call.attempt(Project, settings.project) if options.project is None or options.place else None
    if project is not None:
        call.problems += project.check_writable()
    inputs = call.attempt(find_inputs, project, options.inputs) if project is not None else None
    call.check(
        not settings.project.startswith("memory:") or options.pool != "spark",
        f"project={settings.project!r} is in this process's memory, where Spark's executors cannot write; use another, "
        "or pool='inline'",
    )
    call.settle()
    display = choose(options.display)
    resumption, seed = None, call.seed
    if options.resume and project is not None:
        resumption = _taken_up(call, about, project, plan, inputs or (), display.line)
        if resumption and options.seed is None:
            seed = int(resumption.record["seed"])
    return _carried_out(
        _study.Plan(
            verb=call.verb,
            title=title,
            name=about.name,
            local_logdir=about.local_logdir,
            description=about.description,
            optimization_key=about.key,
            train_fn=call.train_fn,
            search=make(seed),
            seed=seed,
            tags=options.tags or {},
            isolation=options.isolation,
            resources=Resources(options.parallelism, options.cpus_per_trial, options.gpus_per_trial, layout),
            trial_timeout=options.trial_timeout,
            timeout=options.timeout,
            max_failures=options.max_failures,
            max_retries=options.max_retries,
            verbose=options.verbose,
            heartbeat_timeout=options.heartbeat_timeout,
            inputs=inputs or (),
            **plan,
        ),
        settings,
        display,
        options,
        resumption,
    )


def _taken_up(
    call: Call,
    about: About,
    project: Project,
    plan: dict[str, Any],
    inputs: Sequence[Input],
    tell: Callable[[str], None],
) -> Resumption | None:
    """The run that the call is to go on with; None when there is none and a new one begins."""
    options, run_id = call.options, str(call.options.resume)
    if run_id == "auto":
        function, space = describe(call.train_fn), json_safe(plan["space"])
        found = unfinished(project, about.name, call.verb, function, space, recorded(inputs))
        if found is None:
            call_of = f"experiment.{call.verb}() named {about.name!r}"
            tell(f"no unfinished run of {call_of} with this function, space and inputs")
            return None
        run_id = found
    resumption = take_up(project, run_id, options.retry_failed, tell)
    other_search = resumption.other_search(json_safe(plan["space"]), plan.get("direction"))
    changes = resumption.changes(call.train_fn) + other_search + resumption.other_inputs(inputs)
    if resumption.record["verb"] != call.verb:
        changes.append(f"it was made with experiment.{resumption.record['verb']}()")
    if changes and not options.force:
        resumption.session.release()
        raise InvalidArguments(
            f"experiment.{call.verb}(resume={run_id!r})",
            [*changes, "go on all the same with force=True, or begin a new run without resume="],
        )
    return dataclasses.replace(resumption, fresh=bool(other_search))


def resumed(
    run_id: str,
    train_fn: Callable[..., Any] | None,
    place: str | None,
    retry_failed: bool,
    force: bool,
    given: dict[str, Any],
) -> Run:
    """Go on with a run by its id alone; `given` options take the place of those of its call."""
    call = Call("resume", ResumeOptions, train_fn or resumed, "resumed", given)
    call.check(isinstance(run_id, str) and bool(run_id), f"run_id={run_id!r}; give the id of a run, as text")
    call.settle()
    display = choose(call.options.display)
    settings = Settings.load(project=place, tracking_uri=call.options.tracking_uri)
    project = Project(settings.project)
    inputs = find_inputs(project, call.options.inputs)
    resumption = take_up(project, run_id, retry_failed, display.line)
    try:
        plan = stored_plan(resumption.run, train_fn, inputs)
        changes = resumption.changes(plan.train_fn) + (resumption.other_inputs(plan.inputs) if inputs else [])
        if changes and not force:
            raise InvalidArguments(
                f"experiment.resume({run_id!r})", [*changes, "go on with the new one with force=True"]
            )
        fields = {field.name for field in dataclasses.fields(plan)} - {"inputs"}  # which are in the plan already
        kept = {name: given[name] for name in given.keys() & fields}
        sizes = {name: given[name] for name in given.keys() & {"parallelism", "cpus_per_trial", "gpus_per_trial"}}
        plan = dataclasses.replace(plan, resources=dataclasses.replace(plan.resources, **sizes), **kept)
    except BaseException:
        resumption.session.release()
        raise
    return _carried_out(plan, settings, display, call.options, resumption)


def _carried_out(
    plan: _study.Plan, settings: Settings, display: Display, options: Options, resumption: Resumption | None
) -> Run:
    try:
        return _study.run(plan, settings, display, options.pool, options.spark, resumption)
    finally:
        if resumption:  # where it did not come to a run
            resumption.session.release()
