"""The run that a call with `resume=` continues, and the differences for which it is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ..core.types import json_safe
from ..errors import InvalidArguments, ResumeError, RunNotFound
from ..executor.inputs import Input, inputs_record
from ..runs.function_fingerprint import describe
from ..runs.history import unfinished
from ..runs.lookup import find
from ..storage.project import Project
from .arguments import Call
from .input_lookup import with_recorded_versions
from .resume import Resumption, take_up

__all__ = ["resumption_for", "run_id_in"]


def resumption_for(
    call: Call,
    name: str,
    project: Project,
    plan: dict[str, Any],
    inputs: Sequence[Input],
    tell: Callable[[str], None],
) -> Resumption | None:
    """Resumption that a call asks for; None if no run matches and a new one begins.

    Raises:
        ResumeError: the run does not exist or cannot be resumed.
        InvalidArguments: the call differs from the run, and `force` is not set.
    """
    options, run_id = call.options, str(call.options["resume"])
    if run_id == "auto":
        function, space = describe(call.train_fn), json_safe(plan["space"])
        newest = unfinished(project, name, call.verb, function, space, inputs_record(inputs))
        if newest is None:
            call_of = f"experiment.{call.verb}() named {name!r}"
            tell(f"no unfinished run of {call_of} with this function, space and inputs")
            return None
        run_id = newest
    else:
        run_id = run_id_in(project, run_id)
    resumption = take_up(project, run_id, options["retry_failed"], tell)
    try:
        resumption = dataclasses.replace(resumption, inputs=with_recorded_versions(project, inputs, resumption.record))
    except BaseException:
        resumption.lease.release()
        raise
    other_search = resumption.other_search(json_safe(plan["space"]), plan.get("direction"), plan.get("objectives", ()))
    changes = resumption.changes(call.train_fn) + other_search + resumption.other_inputs(resumption.inputs)
    if resumption.record["verb"] != call.verb:
        changes.append(f"it was made with experiment.{resumption.record['verb']}()")
    if changes and not options["force"]:
        resumption.lease.release()
        raise InvalidArguments(
            f"experiment.{call.verb}(resume={run_id!r})",
            [*changes, "go on all the same with force=True, or begin a new run without resume="],
        )
    return dataclasses.replace(resumption, fresh=bool(other_search))


def run_id_in(project: Project, text: str) -> str:
    """Id of the run with this reference: an id or the beginning of it, NAME, NAME/VERSION, or a directory.

    Raises:
        ResumeError: there is none in the project.
    """
    try:
        run = find(project, text)
    except RunNotFound as error:
        raise ResumeError(str(error), run_id=text) from None
    home, _, run_id = run.url.rpartition("/Experiments/")
    if home != project.url:
        raise ResumeError(f"{run.shown} is not a run of the project {project.shown}", run_id=text)
    return run_id
