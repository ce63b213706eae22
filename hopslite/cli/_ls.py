"""The command `ls`: which runs there are."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from .. import _format
from .._runs import nearest, records, state_of
from .._trial import State
from ..errors import RunNotFound
from ..store import RunDir
from ..store.notes import Notes
from ._common import RUN, as_json, home, moment, parse_moment, project_option, say, table

__all__ = ["ls_command"]

SHOWN = 30
# What the words of other services mean here.
STATES = {"queued": "PENDING", "success": "FINISHED", "succeeded": "FINISHED", "done": "FINISHED", "error": "FAILED"}
SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "started": lambda run: run["started"],
    "name": lambda run: (run["name"] or "", run["version"] or 0),
    "metric": lambda run: run["metric"],
    "duration": lambda run: run["duration"],
    "trials": lambda run: run["trials"],
}


def _state(_: click.Context, __: click.Parameter, given: Sequence[str]) -> set[str]:
    found = {STATES.get(each.lower(), each.upper()) for each in given}
    if unknown := sorted(found - set(State.__members__)):
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(State)}")
    return found


def _moment(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    return None if given is None else parse_moment(given)


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
    found, known_names = [], set()
    for run, record in records(project):
        known_names.add(str((record or {}).get("name")))
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
            found.append(listed)
    for name in names:
        if name not in known_names and not any(character in name for character in "*?["):
            near = nearest(project, name, project.runs())
            raise RunNotFound(f"no run in {project.shown} is named {name!r}; {near}")
    key = SORTS[sort]
    known = [each for each in found if key(each) is not None]
    found = sorted(known, key=key, reverse=not reverse) + [each for each in found if key(each) is None]
    limit = None if is_all else limit or (None if is_json else SHOWN)
    if is_json:
        say(found[:limit])
        return
    if not found:
        _say_none(project.shown, bool(names or state or since or until or tags))
        return
    table(
        ["name", "version", "state", "trials", "best", "metric", "duration", "started", "id"],
        [_row(each) for each in found[:limit]],
        elastic=["name", "metric"],
        last=["trials", "duration", "started", "metric", "id"],
    )
    if limit is not None and len(found) > limit:
        click.echo(f"and {len(found) - limit} more; -a shows all")


def _say_none(where: str, is_filtered: bool) -> None:
    what = "no run in it fits" if is_filtered else "it has no runs yet"
    click.echo(f"{where}: {what}", err=True)


def _fits(record: Mapping[str, Any] | None, names: Sequence[str], since: float | None, until: float | None) -> bool:
    name, started = str((record or {}).get("name")), (record or {}).get("started") or 0.0
    if names and not any(fnmatch.fnmatchcase(name, pattern) for pattern in names):
        return False
    return (since is None or started >= since) and (until is None or started < until)


def _listed(run: RunDir, record: dict[str, Any] | None) -> dict[str, Any]:
    run_id = run.url.rpartition("/")[2]
    if record is None:
        return {
            **dict.fromkeys(("name", "version", "verb", "metric", "best_trial", "duration", "started", "trials")),
            "run_id": run_id,
            "state": "DAMAGED",
            "tags": {},
            "counts": {},
            "description": None,
            "logdir": run.shown,
        }
    state = state_of(run, record)
    counts = record.get("counts") or {}
    duration = record.get("duration")
    if state is State.RUNNING and duration is None and record.get("started"):
        duration = time.time() - record["started"]
    keys = ("run_id", "name", "version", "verb", "optimization_key", "direction", "metric", "best_trial", "started")
    return {
        **{key: record.get(key) for key in keys},
        "run_id": run_id,
        "state": state,
        "duration": duration,
        "trials": sum(counts.values()) or record.get("total"),
        "counts": counts,
        "tags": record.get("tags") or {},
        "description": record.get("description"),
        "user": record.get("user"),
        "logdir": run.shown,
    }


def _has_tag(tags: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in tags and (not equals or tags[key] == value)


def _row(run: Mapping[str, Any]) -> list[str]:
    failed = (run["counts"] or {}).get("FAILED", 0)
    trials = "" if run["trials"] is None else f"{run['trials']}" + (f" ({failed} failed)" if failed else "")
    return [
        _format.one_line(run["name"] or "?"),
        str(run["version"] or ""),
        str(run["state"]),
        trials,
        _format.metric(run["metric"]),
        str(run.get("optimization_key") or "") if run["metric"] is not None else "",
        _format.duration(run["duration"]),
        moment(run["started"]),
        run["run_id"],
    ]
