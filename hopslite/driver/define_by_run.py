"""The driver's side of define-by-run trials: answers to what they ask, their record, and its replay."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from ..core.plain_values import is_number
from ..core.redaction import REDACTED
from ..core.types import Direction, Event
from ..errors import InvalidArguments
from ..executor.define_by_run_trial import TRIAL
from ..pool import Pool
from ..search import Search
from ..serialization.values import REPORTER
from ..space.distributions import Distribution

if TYPE_CHECKING:
    from ..search._define_by_run import DefineByRunSearch
    from .arguments import Call
    from .open_trial import OpenTrial  # which imports this module
    from .plan import Plan

__all__ = ["OBJECTIVE_EVENTS", "by_trial", "is_define_by_run", "objective_facts", "reply", "restore"]

OBJECTIVE_EVENTS = ("suggested", "user_attr")
Emit = Callable[[str, str | None, dict[str, Any]], None]


def is_define_by_run(search: Search) -> TypeGuard[DefineByRunSearch]:
    """True for a search whose trials ask for their parameters."""
    return hasattr(search, "adopt_value")


def objective_facts(plan: Plan) -> dict[str, Any]:
    """Facts of the run that its trials can ask for."""
    directions = [objective.direction for objective in plan.objectives] or [plan.direction or Direction.MAX]
    return {
        "study_name": plan.name,
        "directions": ["minimize" if one is Direction.MIN else "maximize" for one in directions],
        "prunes": plan.stopper is not None,
        "first_number": getattr(plan.search, "first_number", 0),
    }


def by_trial(call: Call, space: Any) -> bool:
    """True for a call without a space; adds the problems of a function that does not fit."""
    try:
        parameters = inspect.signature(call.train_fn).parameters.values()
    except (TypeError, ValueError):
        return space is None
    names = {p.name for p in parameters if p.kind is not p.VAR_POSITIONAL}
    needed = {p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if space is not None:
        return False  # `check_parameters` names an argument `trial` that the space does not have
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    call.check(
        TRIAL in names or any_name,
        f"space is missing; give one, or a function with an argument {TRIAL}, of which it asks for its parameters "
        f"(trial.suggest_float(…), as in Optuna); {call.function}() takes {', '.join(names) or 'no arguments'}",
    )
    others = sorted(needed - {TRIAL, REPORTER})
    call.check(
        TRIAL not in names or not others,
        f"{call.function}() is called with {TRIAL} alone and needs {', '.join(others)}, too; set these with "
        "functools.partial or in a lambda",
    )
    return True


def reply(pool: Pool, search: Search, trial: OpenTrial, event: Event, emit: Emit) -> None:
    """Answer the request of a trial; `emit` writes an event to the journal."""
    if event.data["attempt"] == trial.spec.attempt:  # otherwise it was lost meanwhile
        pool.answer(event, _answer(search, trial, event.data["request"], emit))


def _answer(search: Search, trial: OpenTrial, request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """The answer to a request, with its number; a repeated request has the same answer."""
    number = {"number": request.get("number")}
    if "suggest" in request:
        assert is_define_by_run(search)
        try:
            distribution = Distribution.from_json(request.get("distribution"))
            return {**number, "value": _suggested(search, trial, request["suggest"], distribution, emit)}
        except InvalidArguments as error:
            return {**number, "error": "; ".join(error.problems)}
    if "user_attr" in request:
        values = {request["user_attr"]: request.get("value")}
        trial.user_attrs |= values
        emit("user_attr", trial.id, {"values": values})
        return number
    return {**number, "why": trial.stop_reason}


def _suggested(search: DefineByRunSearch, trial: OpenTrial, name: str, distribution: Distribution, emit: Emit) -> float:
    """The value of a parameter, as it is sent; the same one in all attempts at the trial."""
    if name not in trial.distributions:
        value = search.suggest(trial.id, name, distribution)
        _keep(trial, name, distribution, value)
        data = {"params": {name: trial.params[name]}, "distributions": {name: trial.distributions[name]}}
        emit("suggested", trial.id, data)
        return value
    known = Distribution.from_json(trial.distributions[name])
    same = known.sent(trial.params[name]) if known == distribution else None
    if same is None:
        raise InvalidArguments(
            name,
            [
                f"it was {known} before in this trial, in another attempt or member, and is now {distribution}; what a "
                "trial asks for must not depend on time or chance"
            ],
        )
    return same


def _keep(trial: OpenTrial, name: str, distribution: Distribution, value: float) -> None:
    trial.params[name] = distribution.record(value)
    trial.distributions[name] = distribution.to_json()


def restore(search: Search | None, trial: OpenTrial, event: Event, ended: bool = True) -> None:
    """Restore an event of a trial; with `search` it is replayed there, too.

    A secret value is in no journal: the trial gets another one.

    Args:
        ended: the trial has a result.
    """
    if event.kind == "user_attr":
        trial.user_attrs |= event.data["values"]
        return
    for name, recorded in event.data["params"].items():
        try:
            distribution = Distribution.from_json(event.data["distributions"].get(name))
        except InvalidArguments:  # damaged, or a secret
            continue
        value = distribution.sent(recorded)
        if value is None or recorded == REDACTED or not is_number(value):
            continue
        _keep(trial, name, distribution, value)
        if search is not None and is_define_by_run(search):
            search.adopt_value(trial.id, name, distribution, value, ended)
