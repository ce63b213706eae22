"""From the call of a verb to its run: what all verbs check and plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from .. import stop
from ..core.gpu_shares import gpu_amount
from ..core.settings import Settings
from ..display import choose
from ..distribute import Layout
from ..executor.port_reservation import parse_ports
from ..pool import ON_SPARK, Resources
from ..result import Run
from ..search import Search
from ..stop import Stopper
from ..storage.project import Project
from .arguments import Call
from .execution import execute
from .input_lookup import find_inputs
from .options import planned, project_path
from .optuna_study import EarlierTrials
from .plan import Plan
from .resume_checks import resumption_for
from .warm_start import Prior

__all__ = ["About", "run_call", "stopper_of"]


@dataclasses.dataclass(frozen=True)
class About:
    """Description of a run; `key` is the metric's."""

    name: str
    local_logdir: bool
    description: str | None
    key: str | Sequence[str] | None


def stopper_of(call: Call) -> Stopper | None:
    stopper = call.options["stopper"]
    return None if stopper is None else call.attempt(stop.make, stopper)


def run_call(
    call: Call,
    about: About,
    title: str,
    make: Callable[[int], Search],
    layout: Layout | None = None,
    prior_for: Callable[[Mapping[str, Any]], Prior | EarlierTrials] = lambda past: Prior(),
    **plan: Any,
) -> Run:
    """Check the rest of the call and run its plan in the loop.

    Args:
        prior_for: what the search knows before it begins, from the record of a run that is resumed (otherwise empty).
    """
    options = call.options
    layout = call.layout(layout)
    settings = Settings.load(
        project=project_path(options),
        tracking_uri=options["tracking_uri"],
        storage_patience=None if call.problems else options["storage_patience"],
    )
    key = "optimization_key" if plan.get("is_search", True) else "metric_key"
    call.check(
        isinstance(about.key, str) or (about.key is None and (key == "metric_key" or bool(plan.get("objectives")))),
        f"{key}={about.key!r}; give a text",
    )
    call.check(isinstance(about.description, (str, type(None))), f"description={about.description!r}; give a text")
    if layout is not None:
        call.attempt(parse_ports, settings.member_ports, "member_ports")
        layout = dataclasses.replace(layout, ports=settings.member_ports)
    project = call.attempt(Project, settings.project) if options["project"] is None or project_path(options) else None
    if project is not None:
        call.problems += project.check_writable()
    inputs = call.attempt(find_inputs, project, options["inputs"]) if project is not None else None
    call.check(
        not settings.project.startswith("memory:") or options["pool"] not in ON_SPARK,
        f"project={settings.project!r} is in this process's memory, where Spark's executors cannot write; use another, "
        "or pool='inline'",
    )
    call.raise_if_invalid()
    display = choose(options["display"])
    resumption, seed = None, call.seed
    if options["resume"] and project is not None:
        resumption = resumption_for(call, about.name, project, plan, inputs or (), display.line)
        if resumption:
            inputs = resumption.inputs
            seed = int(resumption.record["seed"]) if options["seed"] is None else seed
    try:
        search = make(seed)
        prior = prior_for(resumption.record if resumption else {})
        prior.prepare(search)
    except BaseException:
        if resumption:
            resumption.lease.release()
        raise
    for note in () if resumption else prior.notes(search):
        display.line(note)
    return execute(
        Plan(
            verb=call.verb,
            title=title,
            name=about.name,
            local_logdir=about.local_logdir,
            description=about.description,
            optimization_key=cast("str | None", about.key),
            train_fn=call.train_fn,
            search=search,
            prior=prior.to_json(),
            seed=seed,
            resources=Resources(
                options["parallelism"], options["cpus_per_trial"], gpu_amount(options["gpus_per_trial"]), layout
            ),
            options=planned(options),
            max_restarts=options["max_restarts"] if options["on_failure"] == "restart" else 0,
            inputs=inputs or (),
            **plan,
        ),
        settings,
        display,
        options,
        resumption,
    )
