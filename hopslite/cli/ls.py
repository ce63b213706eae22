"""The command `ls`: lists runs."""

from __future__ import annotations

import dataclasses
import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from ..core import formatting
from ..core.objectives import described, objectives_in
from ..core.types import State
from ..errors import RunNotFound, StoreError
from ..runs.history import RunHistory
from ..runs.lookup import records, state_of, suggest_runs
from ..runs.running import progress_of
from ..storage.annotations import Notes
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ._options import RUN, as_json, home, parse_moment, project_option
from ._output import local_time, write_json, write_table

__all__ = ["ls_command"]

SHOWN = 30
# What the words of other services mean here.
STATES = {"pending": "QUEUED", "success": "FINISHED", "succeeded": "FINISHED", "done": "FINISHED", "error": "FAILED"}
SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "started": lambda run: run["started"],
    "name": lambda run: (run["name"] or "", run["version"] or 0),
    "metric": lambda run: run["metric"],
    "duration": lambda run: run["duration"],
    "trials": lambda run: run["trials"],
}


def _state(_: click.Context, __: click.Parameter, values: Sequence[str]) -> set[str]:
    states = {STATES.get(text.lower(), text.upper()) for text in values}
    if unknown := sorted(states - set(State.__members__)):
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(State)}")
    return states


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    return None if text is None else parse_moment(text)


@click.command("ls")
@click.argument("names", nargs=-1, metavar="[NAME]...", type=RUN)
@click.option("--state", multiple=True, metavar="STATE", callback=_state, help="Only runs in this state, or these.")
@click.option("--since", metavar="WHEN", callback=_moment, help="Begun after: 2026-01-31, today, 3d, 12h.")
@click.option("--until", metavar="WHEN", callback=_moment, help="Begun before.")
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Only runs with this tag, or these.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="started", show_default=True, help="The largest first.")
@click.option("-r", "--reverse", is_flag=True, help="The smallest first.")
@click.option("-n", "limit", type=click.IntRange(1), help=f"How many; default: {SHOWN}, or all as JSON.")
@click.option("-a", "--all", "is_all", is_flag=True, help="All of them.")
@as_json
@project_option
def ls_command(
    place: str | None,
    names: tuple[str, ...],
    state: set[str],
    since: float | None,
    until: float | None,
    tags: tuple[str, ...],
    sort: str,
    reverse: bool,
    limit: int | None,
    is_all: bool,
    is_json: bool,
) -> None:
    """List runs, the newest first. NAME may have * and ?."""
    project = home(place)
    rows, known_names = [], set()
    for run, record in records(project):
        if not isinstance(record, StoreError):
            known_names.add(str(record["name"]))
        if not _fits(record, names, since, until):
            continue
        listed = _listed(run, record)
        if state and listed["state"] not in state:
            continue
        if tags or is_json:
            notes = Notes.read(run)
            listed["tags"] = {**listed["tags"], **notes.tags}
            listed["description"] = notes.text or listed["description"]
        if all(_has_tag(listed["tags"], tag) for tag in tags):
            rows.append(listed)
    for name in names:
        if name not in known_names and not any(character in name for character in "*?["):
            near = suggest_runs(project, name, project.runs())
            raise RunNotFound(f"no run in {project.shown} is named {name!r}; {near}")
    key = SORTS[sort]
    known = [row for row in rows if key(row) is not None]
    rows = sorted(known, key=key, reverse=not reverse) + [row for row in rows if key(row) is None]
    limit = None if is_all else limit or (None if is_json else SHOWN)
    for row in rows[:limit]:
        if row["state"] is State.RUNNING:
            row.update(_now(project.sub("Experiments", row["run_id"])))
    if is_json:
        write_json(rows[:limit])
        return
    if not rows:
        _say_none(project.shown, bool(names or state or since or until or tags))
        return
    write_table(
        ["name", "version", "state", "trials", "best", "metric", "duration", "left", "latest", "started", "id", "why"],
        [_row(row) for row in rows[:limit]],
        elastic=["name", "metric", "latest", "why"],
        last=["latest", "trials", "duration", "started", "metric", "id"],
    )
    if limit is not None and len(rows) > limit:
        click.echo(f"and {len(rows) - limit} more; -a shows all")


def _say_none(where: str, is_filtered: bool) -> None:
    reason = "no run in it fits" if is_filtered else "it has no runs yet"
    click.echo(f"{where}: {reason}", err=True)


def _fits(
    record: Mapping[str, Any] | StoreError, names: Sequence[str], since: float | None, until: float | None
) -> bool:
    known: Mapping[str, Any] = {} if isinstance(record, StoreError) else record
    name, started = str(known.get("name") or ""), known.get("started") or 0.0
    if names and not any(fnmatch.fnmatchcase(name, pattern) for pattern in names):
        return False
    return (since is None or started >= since) and (until is None or started < until)


def _listed(run: RunDir, record: dict[str, Any] | StoreError) -> dict[str, Any]:
    run_id = run.url.rpartition("/")[2]
    if isinstance(record, StoreError):
        return {
            **dict.fromkeys(("name", "version", "verb", "metric", "best_trial", "duration", "started", "trials")),
            "run_id": run_id,
            "state": "DAMAGED",
            "tags": {},
            "counts": {},
            "description": None,
            "error": str(record),
            "logdir": run.shown,
        }
    state = state_of(run, record)
    counts, total = record.get("counts") or {}, record.get("total")
    duration = record.get("duration")
    if state is State.RUNNING and duration is None and record.get("started"):
        duration = time.time() - record["started"]
    keys = ("run_id", "name", "version", "verb", "optimization_key", "direction", "metric", "best_trial")
    more = ("started", "objectives", "pareto_trials")
    return {
        **{key: record.get(key) for key in (*keys, *more)},
        "run_id": run_id,
        "state": state,
        "duration": duration,
        "trials": sum(counts.values()) or (total if isinstance(total, int) else None),
        "counts": counts,
        "tags": record.get("tags") or {},
        "description": record.get("description"),
        "user": record.get("user"),
        "logdir": run.shown,
    }


def _now(run: RunDir) -> dict[str, Any]:
    """Facts that change while a run goes on; empty if its journal cannot be read now."""
    try:
        history = RunHistory(run, record_in(run))
        progress = progress_of(history)
    except (OSError, StoreError):
        return {}
    best = progress.best
    now = {"metric": best.metric, "best_trial": best.id} if best else {}
    reports = [trial for trial in progress.running if trial.value is not None]
    latest = max(reports, key=lambda trial: history.trials[trial.id].started or 0.0, default=None)
    return {
        **now,
        "trials": progress.ended,
        "total": progress.total,
        "duration": progress.elapsed,
        "remaining": progress.remaining,
        "running": [trial.id for trial in progress.running],
        "latest": dataclasses.asdict(latest) if latest else None,
    }


def _has_tag(tags: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in tags and (not equals or tags[key] == value)


def _row(run: Mapping[str, Any]) -> list[str]:
    failed = (run["counts"] or {}).get("FAILED", 0)
    key = str(run.get("optimization_key") or "")
    trials = "" if run["trials"] is None else f"{run['trials']}" + (f" ({failed} failed)" if failed else "")
    if run.get("running") is not None:
        trials = f"{run['trials']}" if run["total"] is None else f"{run['trials']}/{run['total']}"
    latest = run.get("latest")
    return [
        formatting.one_line(run["name"] or "?"),
        str(run["version"] or ""),
        str(run["state"]),
        trials,
        f"{len(front)} of them" if (front := run.get("pareto_trials")) else formatting.metric(run["metric"]),
        described(objectives_in(run["objectives"])) if front else key if run["metric"] is not None else "",
        formatting.duration(run["duration"]),
        formatting.duration(run.get("remaining")),
        f"{latest['id']}: {formatting.metric(latest['value'])} at step {latest['step']:g}" if latest else "",
        local_time(run["started"]),
        run["run_id"],
        formatting.one_line(run["error"]) if run["state"] == "DAMAGED" else "",
    ]
