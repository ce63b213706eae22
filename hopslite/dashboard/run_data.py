"""A run for the browser: everything at first, then what has changed since a revision, as JSON.

Of many trials only some have their curves in it, and only of one metric; `curves` has the others.

Names that come from runs are values in it, never keys: some libraries evaluate options whose keys begin with a colon.
Numbers that are not finite are null.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..core import formatting
from ..core.plain_values import is_number
from ..core.types import DEFAULT_KEY, State
from ..runs.attempts import Attempt
from ..runs.following import FollowedRun, FollowedTrial
from ..runs.history import IN_DRIVER
from ..runs.lookup import GONE

__all__ = ["changes", "curves", "run_facts", "snapshot", "trials_and_curves"]

TEXT_CHARS = 200
SPACE_KEYS = ("type", "low", "high", "log")
CURVES = 1000  # trials whose curves are sent at first
MOST_CHANGES = 5000  # points; those who lack more get everything


def snapshot(followed: FollowedRun, mlflow: str | None = None, rest: str | None = None) -> str:
    """The whole run, with a sample of the curves of the metric that it optimizes.

    Args:
        mlflow: address of the MLflow server that has the run, without a password; None if there is none.
        rest: what `trials_and_curves` has returned at this revision.
    """
    common = _json(_common(followed, mlflow))
    return f"{common[:-1]},{(rest or trials_and_curves(followed))[1:]}"


def trials_and_curves(followed: FollowedRun) -> str:
    """The part of `snapshot` that stays the same as long as the revision does."""
    names, key = list(followed.parameters), key_metric(followed)
    place = list(followed.metrics).index(key) if key is not None else None
    return _json(
        {
            "trials": [_row(trial, followed.state, names, key) for trial in followed.trials.values()],
            "curvesOf": place,
            "curves": [] if key is None or place is None else _curves(sample(followed), key, place),
            "attempts": [_attempt(attempt) for _, attempt in followed.attempts],
        }
    )


def curves(followed: FollowedRun, metric: int, trials: Collection[str] | None = None) -> str:
    """Curves of a metric.

    Args:
        metric: its number.
        trials: ids; None for a sample of all.
    """
    names = list(followed.metrics)
    name = names[metric] if 0 <= metric < len(names) else ""
    chosen = sample(followed) if trials is None else [followed.trials[id_] for id_ in trials if id_ in followed.trials]
    drawn = _curves(chosen, name, metric)
    return _json({"rev": followed.revision, "metric": metric, "isSample": trials is None, "curves": drawn})


def sample(followed: FollowedRun) -> list[FollowedTrial]:
    """About `CURVES` trials: every so many, the best ones, and those that are under way."""
    trials = followed.trials
    every = -(-len(trials) // CURVES)
    best = {trial.id for trial in (*followed.front, *([followed.best] if followed.best else []))}
    return [
        trial
        for place, trial in enumerate(trials.values())
        if place % every == 0 or trial.id in best or trial.result is None
    ]


def key_metric(followed: FollowedRun) -> str | None:
    """Name of the metric that the run optimizes, of those that its trials report; or the first one of them."""
    key = str(followed.facts().get("optimization_key") or DEFAULT_KEY)
    return key if key in followed.metrics else next(iter(followed.metrics), None)


def changes(followed: FollowedRun, since: int, mlflow: str | None = None) -> str | None:
    """Changes since a revision; None if that is too much, or too long ago."""
    if since < followed.first_recent or since > followed.revision:
        return None
    names, key = list(followed.parameters), key_metric(followed)
    places = {name: place for place, name in enumerate(followed.metrics)}
    points = []
    for revision, trial, metric, step, value in reversed(followed.recent):
        if revision <= since:
            break
        points.append([trial, places[metric], step, value])
        if len(points) > MOST_CHANGES:
            return None
    changed = [trial for trial in followed.trials.values() if trial.revision > since]
    return _json(
        {
            **_common(followed, mlflow),
            "from": since,
            "trials": [_row(trial, followed.state, names, key) for trial in changed],
            "points": points[::-1],
            "attempts": [_attempt(attempt) for revision, attempt in followed.attempts if revision > since],
        }
    )


def _common(followed: FollowedRun, mlflow: str | None) -> dict[str, Any]:
    """The part of both answers: the header, and the names that rows refer to by index."""
    names = list(followed.parameters)
    return {
        "rev": followed.revision,
        "now": time.time(),
        "run": run_facts(followed, mlflow),
        "params": names,
        "space": _space(followed.facts().get("space"), names),
        "metrics": list(followed.metrics),
    }


def run_facts(followed: FollowedRun, mlflow: str | None = None) -> dict[str, Any]:
    """Facts of the header."""
    facts, notes, state = followed.facts(), followed.notes, followed.state
    duration = facts.get("duration") if state.final else None
    best = followed.best
    return {
        "id": followed.run.url.rpartition("/")[2],
        "name": facts.get("name"),
        "version": facts.get("version"),
        "verb": facts.get("verb"),
        "state": state.value,
        "message": _message(followed, facts),
        "started": facts.get("started"),
        "elapsed": followed.elapsed(time.time()) if duration is None else duration,
        "remaining": _remaining(followed, facts),
        "total": facts.get("total") if isinstance(facts.get("total"), int) else None,
        "key": facts.get("optimization_key") or DEFAULT_KEY,
        "direction": facts.get("direction"),
        "objectives": facts.get("objectives") or [],
        "best": best.id if best else None,
        "bestMetric": _number(best.metric) if best else None,
        "bestParams": formatting.exact_params(best.params) if best else "",
        "front": [trial.id for trial in followed.front],
        "seed": facts.get("seed"),
        "user": facts.get("user"),
        "program": facts.get("program"),
        "description": notes.text or facts.get("description"),
        "tags": [f"{key}={value}" for key, value in sorted({**(facts.get("tags") or {}), **notes.tags}.items())],
        "directory": followed.run.shown,
        "links": _links(followed, facts, mlflow),
        "canStop": not state.final and facts.get("verb") != IN_DRIVER,
        "canResume": state.final and state is not State.FINISHED and facts.get("verb") != IN_DRIVER,
    }


def _message(followed: FollowedRun, facts: Mapping[str, Any]) -> str:
    if followed.damage:
        return followed.damage
    if facts.get("error"):
        return formatting.one_line(str(facts["error"]), 600)
    is_gone = followed.state is State.KILLED and facts.get("state") in (State.RUNNING.value, State.QUEUED.value)
    return GONE.partition(";")[0] if is_gone else ""


def _links(followed: FollowedRun, facts: Mapping[str, Any], mlflow: str | None) -> list[list[str]]:
    """Names and addresses of other views of a run, as far as they are web pages."""
    links = {}
    if followed.state is State.RUNNING:
        links = {"TensorBoard": facts.get("tensorboard_url"), "Spark": facts.get("spark_ui")}
    experiment, run = (followed.mlflow.get(name) for name in ("experiment_id", "run_id"))
    if mlflow is not None and experiment and run:
        page = "/".join(quote(str(part), safe="") for part in (experiment, "runs", run))
        links["MLflow"] = f"{mlflow.rstrip('/')}/#/experiments/{page}"
    return [[name, url] for name, url in links.items() if url and url.startswith(("http://", "https://"))]


def _remaining(followed: FollowedRun, facts: Mapping[str, Any]) -> float | None:
    """Seconds that the run will take at the rate of its present driver."""
    total, (began, before) = facts.get("total"), followed.session
    ended = followed.ended_trials - before
    if followed.state is not State.RUNNING or not isinstance(total, int) or ended <= 0:
        return None
    return max(0.0, (time.time() - began) / ended * (total - followed.ended_trials))


def _space(space: Any, names: Sequence[str]) -> list[dict[str, Any] | None]:
    """Hints for the axis of each parameter."""
    known = space if isinstance(space, dict) else {}
    return [_axis(known.get(name)) for name in names]


def _axis(dimension: Any) -> dict[str, Any] | None:
    if not isinstance(dimension, dict):
        return None
    axis = {key: _value(dimension[key]) for key in SPACE_KEYS if key in dimension}
    if isinstance(dimension.get("values"), list):
        axis["values"] = [_value(value) for value in dimension["values"]]
    return axis


def _row(trial: FollowedTrial, run: State, names: Sequence[str], key: str | None) -> list[Any]:
    result = trial.result
    curve = trial.curves.get(key) if key is not None else None
    state = trial.state_in(run)
    started = (result.started or trial.started) if result else trial.started
    why = (result.error or result.cause or "; ".join(result.warnings)) if result else trial.stop_reason
    return [
        trial.id,
        state.value,
        _number(trial.metric),
        [_value(trial.params.get(name)) for name in names],
        started if trial.attempt is not None else None,
        _number(result.duration) if result and trial.attempt is not None else None,
        trial.slot,
        (result.host if result else None) or trial.host,
        trial.generation,
        trial.continues,
        formatting.one_line(why, TEXT_CHARS),
        [[name, _number(value)] for name, value in (trial.metrics or {}).items()],
        trial.attempt,
        curve.last if curve is not None else None,
    ]


def _curves(trials: Iterable[FollowedTrial], metric: str, place: int) -> list[list[Any]]:
    drawn = [(trial.id, trial.curves[metric].shown()) for trial in trials if metric in trial.curves]
    return [[id_, place, [step for step, _ in points], [value for _, value in points]] for id_, points in drawn]


def _attempt(attempt: Attempt) -> list[Any]:
    return [
        attempt.trial,
        attempt.number,
        attempt.slot,
        attempt.host,
        attempt.begin,
        attempt.end,
        attempt.outcome,
        formatting.one_line(attempt.problem, TEXT_CHARS),
    ]


def _value(value: Any) -> Any:
    """A parameter's value: numbers and truth values as they are, everything else as text."""
    if value is None or isinstance(value, bool):
        return value
    if is_number(value) and math.isfinite(value):
        return value
    return formatting.one_line(value if isinstance(value, str) else str(value), TEXT_CHARS)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
