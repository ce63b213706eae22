"""Resuming a run: its lease, the stored call, and the differences from the current call."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ..core.objectives import Objective, described, objectives_in
from ..core.redaction import redact_value, without_credentials
from ..errors import ResumeError, StoreError
from ..executor.inputs import Input, inputs_record
from ..programs.command import Command
from ..runs.fingerprint_difference import difference, space_difference
from ..runs.function_fingerprint import describe
from ..runs.history import MEASUREMENTS, PLAN, RunHistory, changed_inputs, resumable
from ..serialization.program import load, without_texts
from ..serialization.values import Values, serialize
from ..storage.driver_lease import DriverLease, claim
from ..storage.journal import repair
from ..storage.project import Project
from ..storage.run_directory import RunDir
from .keywords import Options
from .options import planned
from .plan import Plan
from .secret_values import pickled_without, unpickled_with

__all__ = ["Resumption", "stored_plan", "take_up", "to_store"]


@dataclasses.dataclass(frozen=True)
class Resumption:
    """A run that this driver resumes.

    With `fresh` the search begins again, and gets the results so far as known ones. With `keeps_plan` the stored call
    is unchanged, so that it need not be written again: it may be large. `inputs` are those of the call, with the
    versions of data sets with which the run began.
    """

    run: RunDir
    lease: DriverLease
    past: RunHistory
    notes: tuple[str, ...]
    retry_failed: bool = False
    fresh: bool = False
    keeps_plan: bool = False
    inputs: tuple[Input, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        return self.past.record

    def changes(self, train_fn: Callable[..., Any]) -> list[str]:
        """Differences between the given training function and the run's."""
        differences = difference(self.record.get("function") or {}, describe(train_fn))
        return [f"the training function is another: {differences}"] if differences else []

    def other_search(self, space: Any, direction: Any, objectives: Sequence[Objective] = ()) -> list[str]:
        """Differences of the space, the direction and the objectives from the run's."""
        differences = []
        if changed := space_difference(self.record.get("space"), space):
            differences.append(f"the search space is another: {changed}")
        if self.record.get("direction") != direction:
            differences.append(f"the direction was {self.record.get('direction')}, now it is {direction}")
        recorded = objectives_in(self.record.get("objectives"))
        if recorded != tuple(objectives):
            now = described(objectives) or "one metric"
            differences.append(f"it optimised {described(recorded) or 'one metric'}, now it is to optimise {now}")
        return differences

    def other_inputs(self, inputs: Sequence[Input]) -> list[str]:
        """Differences of the inputs from the run's."""
        recorded, current = self.record.get("inputs") or {}, inputs_record(inputs)
        return [
            f"the input {name!r} is another: {_input(recorded.get(name))}, "
            f"now {_input(current.get(name), recorded.get(name))}"
            for name in changed_inputs(recorded, current)
        ]


def _input(record: dict[str, str] | None, before: dict[str, str] | None = None) -> str:
    if record is None:
        return "none"
    changed = before is not None and before["url"] == record["url"]
    return f"{record['url']} with other content" if changed else record["url"]


def take_up(project: Project, run_id: str, retry_failed: bool, show: Callable[[str], None]) -> Resumption:
    """Acquire the lease of a run and read its record.

    Raises:
        ResumeError: there is no such run, or it cannot be resumed.
        RunIsRunning: another driver works on it.
        StoreError: its directory cannot be written now.
    """
    run = resumable(project, run_id)
    try:
        run.try_to_write()
    except OSError as error:
        raise StoreError(f"run {run_id} can be resumed once its directory can be written: {error}") from error
    lease = claim(run, show)
    try:
        repaired = repair(run)
        past = RunHistory.read(run, without=MEASUREMENTS)
    except BaseException:
        lease.release()
        raise
    notes = [*([repaired] if repaired else []), *past.notes]
    return Resumption(run, lease, past, tuple(notes), retry_failed)


def to_store(plan: Plan) -> bytes:
    """Pickle a plan for a later driver, with the function apart, so that it can be replaced.

    Possible secrets in the inputs' URLs are left out, and so are the values of a command's variables, and of parameters
    whose names say that they are secret; their names are stored.
    """
    inputs = tuple(dataclasses.replace(item, url=without_credentials(item.url)) for item in plan.inputs)
    incomplete = [item.name for item, stored in zip(plan.inputs, inputs, strict=True) if item != stored]
    to_keep = dataclasses.replace(plan, train_fn=_no_function, inputs=inputs, program=None, **_recorded_notes(plan))
    is_command = isinstance(plan.train_fn, Command)  # its secrets are variables
    plan_bytes = pickled_without(to_keep, {} if is_command else plan.secrets or {})
    values = Values(plan.choices).objects
    if isinstance(plan.train_fn, Command):
        program = serialize(plan.train_fn.without_values(), values)
    else:
        program = plan.program or serialize(plan.train_fn, values)
    return pickle.dumps((plan_bytes, without_texts(program, (plan.secrets or {}).values()), incomplete))


def _recorded_notes(plan: Plan) -> dict[str, Any]:
    """Description and tags of a plan as the run's record has them, without secrets."""
    options = cast(Options, {**plan.options, "tags": redact_value(plan.options["tags"])})
    return {"description": redact_value(plan.description), "options": options}


def stored_plan(
    run: RunDir, train_fn: Callable[..., Any] | None, inputs: Sequence[Input], env: Mapping[str, str] | None = None
) -> Plan:
    """The plan that `to_store` has pickled, with its function or another one.

    Args:
        inputs: those that are given again; they take the place of the plan's.
        env: variables of a command, and of secret parameters; those that are not given are taken from this process's
            environment.

    Raises:
        ResumeError: it cannot be read here, or an input or a variable has to be given again.
    """
    try:
        plan_bytes, program, *incomplete = pickle.loads(run.read_bytes(PLAN))
        plan: Plan
        plan, unknown = unpickled_with(plan_bytes, {**os.environ, **(env or {})})
        plan = dataclasses.replace(plan, options=planned(plan.options), inputs=tuple(map(_completed, plan.inputs)))
        if train_fn is None:
            function = load(program)[0]
            stored = None if isinstance(function, Command) else program  # a command gets its variables first
            plan = dataclasses.replace(plan, train_fn=function, program=stored)
        else:
            plan = dataclasses.replace(plan, train_fn=train_fn)
    except Exception as error:  # whatever the user's classes raise when they are made again
        raise ResumeError(
            f"the call of run {run.url} cannot be read ({type(error).__name__}: {error}); give the training function "
            "with train_fn=, or call the verb itself once more, with resume= and the run's id"
        ) from error
    if unknown:
        raise _not_recorded(run, unknown)
    plan = dataclasses.replace(plan, train_fn=_with_values(run, plan, env))
    replacements = {item.name: item for item in inputs}
    missing = [
        item for item in plan.inputs if item.name not in replacements and incomplete and item.name in incomplete[0]
    ]
    if missing:
        raise ResumeError(
            f"of inputs of run {run.url} the URLs held secrets, which are not kept; give them again, with inputs= and "
            + ", ".join(f"{item.name!r}: {item.url}?…" for item in missing)
        )
    unchanged = [item for item in plan.inputs if item.name not in replacements]
    return dataclasses.replace(plan, inputs=(*unchanged, *replacements.values()))


def _with_values(run: RunDir, plan: Plan, env: Mapping[str, str] | None) -> Callable[..., Any]:
    """A function that can be called: a command gets the values of its variables, which are not stored."""
    function = plan.train_fn
    if not isinstance(function, Command):
        if unknown := [name for name in env or () if name not in (plan.secrets or {})]:
            raise ResumeError(
                f"run {run.shown} has a training function, and no secret parameter in {', '.join(unknown)}; other "
                "variables (env) are for runs of hopslite run"
            )
        return function
    try:
        return function.with_values(env or {}, os.environ)
    except KeyError as error:
        files = [item for item in function.call_record.get("env", ()) if os.path.isfile(item)]
        files += [str(function.call_record["program"])] if function.call_record.get("has_env") else []  # a job file
        raise _not_recorded(run, error.args[0], files) from None


def _not_recorded(run: RunDir, names: Sequence[str], files: Sequence[str] = ()) -> ResumeError:
    """Error about variables that are to be given again, and the files that may have them."""
    options = "".join(f" --env {item}" for item in files) or f" --env FILE, or --env {names[0]}=…"
    return ResumeError(
        f"the values of these variables of run {run.shown} are in no record: {', '.join(names)}; set them in the "
        f"environment, or give them again: hopslite resume{options} (in Python env=, a dict)"
    )


def _completed(item: Input) -> Input:
    """Input of a stored plan, with the defaults of fields that the version which stored it did not have."""
    names = [field.name for field in dataclasses.fields(Input) if hasattr(item, field.name)]
    return Input(**{name: getattr(item, name) for name in names})


def _no_function() -> None:
    """Placeholder for the function in a stored plan."""
