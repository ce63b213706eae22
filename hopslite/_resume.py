"""Going on with a run: what its directory holds of the call, whose turn it is, and what has changed since."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from ._function import describe, difference, space_difference
from ._past import PLAN, Past, resumable
from ._plan import Plan
from .errors import ResumeError
from .runtime.inputs import Input, recorded
from .store import Project, RunDir, repair
from .store.filesystems import without_credentials
from .store.sessions import Session, claim

__all__ = ["Resumption", "stored_plan", "take_up", "to_store"]


@dataclasses.dataclass(frozen=True)
class Resumption:
    """A run that this driver goes on with. With `fresh` the algorithm begins anew and only knows what was found."""

    run: RunDir
    session: Session
    past: Past
    notes: tuple[str, ...]
    retry_failed: bool = False
    fresh: bool = False

    @property
    def record(self) -> dict[str, Any]:
        return self.past.record

    def changes(self, train_fn: Callable[..., Any]) -> list[str]:
        """How the training function differs from the run's."""
        found = difference(self.record.get("function") or {}, describe(train_fn))
        return [f"the training function is another: {found}"] if found else []

    def other_search(self, space: Any, direction: Any) -> list[str]:
        """How the space and the direction differ from the run's."""
        found = []
        if changed := space_difference(self.record.get("space"), space):
            found.append(f"the search space is another: {changed}")
        if self.record.get("direction") != direction:
            found.append(f"the direction was {self.record.get('direction')}, now it is {direction}")
        return found

    def other_inputs(self, inputs: Sequence[Input]) -> list[str]:
        """How the data that trials are given differ from the run's."""
        was, now = self.record.get("inputs") or {}, recorded(inputs)
        return [
            f"the input {name!r} is another: {_input(was.get(name))}, now {_input(now.get(name), was.get(name))}"
            for name in sorted(was.keys() | now.keys())
            if was.get(name) != now.get(name)
        ]


def _input(record: dict[str, str] | None, before: dict[str, str] | None = None) -> str:
    if record is None:
        return "none"
    changed = before is not None and before["url"] == record["url"]
    return f"{record['url']} with other content" if changed else record["url"]


def take_up(project: Project, run_id: str, retry_failed: bool, tell: Callable[[str], None]) -> Resumption:
    """Claim a run and read what it holds.

    Raises:
        ResumeError: there is no such run, or it cannot be resumed.
        RunIsRunning: another driver works on it.
    """
    run = resumable(project, run_id)
    session = claim(run, tell)
    try:
        repaired = repair(run)
        past = Past.read(run)
    except BaseException:
        session.release()
        raise
    notes = [*([repaired] if repaired else []), *past.notes]
    return Resumption(run, session, past, tuple(notes), retry_failed)


def to_store(plan: Plan) -> bytes:
    """Everything that a later driver needs of the call; the function apart, so that another one can take its place.

    Of the inputs' URLs what may be secret is left out; their names say which these are.
    """
    inputs = tuple(dataclasses.replace(each, url=without_credentials(each.url)) for each in plan.inputs)
    cut = [each.name for each, kept in zip(plan.inputs, inputs, strict=True) if each != kept]
    rest = cloudpickle.dumps(dataclasses.replace(plan, train_fn=_no_function, inputs=inputs))
    return pickle.dumps((rest, cloudpickle.dumps(plan.train_fn), cut))


def stored_plan(run: RunDir, train_fn: Callable[..., Any] | None, inputs: Sequence[Input]) -> Plan:
    """The plan that `to_store` kept, with its function or another one.

    Args:
        inputs: those that are given again; they take the place of the plan's.

    Raises:
        ResumeError: it cannot be read here, or an input has to be given again.
    """
    try:
        rest, function, *cut = pickle.loads(run.read_bytes(PLAN))
        plan: Plan = pickle.loads(rest)
        plan = dataclasses.replace(plan, train_fn=train_fn or pickle.loads(function))
    except Exception as error:  # whatever the user's classes raise when they are made again
        raise ResumeError(
            f"the call of run {run.url} cannot be read ({type(error).__name__}: {error}); give the training function "
            "with train_fn=, or call the verb itself once more, with resume= and the run's id"
        ) from error
    given = {each.name: each for each in inputs}
    missing = [each for each in plan.inputs if each.name not in given and cut and each.name in cut[0]]
    if missing:
        raise ResumeError(
            f"of inputs of run {run.url} the URLs held secrets, which are not kept; give them again, with inputs= and "
            + ", ".join(f"{each.name!r}: {each.url}?…" for each in missing)
        )
    rest_of = [each for each in plan.inputs if each.name not in given]
    return dataclasses.replace(plan, inputs=(*rest_of, *given.values()))


def _no_function() -> None:
    """Stands for the function in a stored plan."""
