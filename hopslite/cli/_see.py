"""Commands that look: `ls`, `show`, `compare`, `best`."""

from __future__ import annotations

import fnmatch
import hashlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from .. import _format
from .._runs import find, read, records, state_of, trial_of
from .._trial import Direction, State
from ..errors import RunNotFound
from ..result import Run, Trial
from ..store import RunDir
from ..store.notes import Notes
from ._common import RUN, as_json, colour_of, home, moment, parse_moment, project_option, say, table

__all__ = ["best_command", "compare_command", "ls_command", "show_command"]

SHOWN = 30
ROWS = 20
# What the words of other services mean here.
STATES = {"queued": "PENDING", "success": "FINISHED", "succeeded": "FINISHED", "done": "FINISHED", "error": "FAILED"}
SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "started": lambda run: run["started"],
    "name": lambda run: (run["name"], run["version"]),
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
    found = []
    for run, record in records(project):
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


@click.command("show")
@click.argument("run", type=RUN)
@click.argument("trial", required=False)
@click.option("-a", "--all", "is_all", is_flag=True, help=f"All trials, not only {ROWS}.")
@as_json
@project_option
def show_command(place: str | None, run: str, trial: str | None, is_all: bool, is_json: bool) -> None:
    """Show a run: its trials, parameters, metrics, and where the time went; or one TRIAL (its id, or best)."""
    project = home(place)
    directory = find(project, run)
    found = read(project, directory)
    if trial is not None:
        _show_trial(found, trial_of(found, trial), is_json)
    elif is_json:
        say({**_facts(found), "time": _time(found), "trials": [_trial(each) for each in found.trials]})
    else:
        _show_run(found, directory, is_all)


def _facts(run: Run) -> dict[str, Any]:
    names = ("run_id", "name", "version", "verb", "state", "error", "direction", "optimization_key", "best_metric")
    more = ("best_params", "duration", "seed", "description", "tags", "logdir", "mlflow_run_id", "tensorboard_url")
    facts = {name: getattr(run, name) for name in (*names, *more)}
    return {
        **facts,
        "best_trial": run.best_trial.id if run.best_trial else None,
        "started": run.started.timestamp() if run.started else None,
        "counts": dict(run.counts),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    names = ("id", "state", "metric", "params", "outputs", "error", "cause", "started_at", "duration", "generation")
    return {name: getattr(trial, name) for name in (*names, "host", "warnings", "usage", "logdir", "log")}


def _time(run: Run) -> dict[str, float | None]:
    """Where the time of a run went, in seconds; `busy` is how many slots were busy on average."""
    spans = [(t.started_at, t.started_at + (t.duration or 0.0)) for t in run.trials if t.started_at is not None]
    lengths = [end - begin for begin, end in spans]
    first, last = min((b for b, _ in spans), default=None), max((e for _, e in spans), default=None)
    began = run.started.timestamp() if run.started else None
    over = last - first if first is not None and last is not None else 0.0
    return {
        "total": run.duration,
        "until_first_trial": first - began if first is not None and began is not None else None,
        "in_trials": sum(lengths),
        "median_trial": statistics.median(lengths) if lengths else None,
        "longest_trial": max(lengths, default=None),
        "after_last_trial": began + run.duration - last if began and run.duration is not None and last else None,
        "busy": sum(lengths) / over if over > 0 else None,
    }


def _show_run(run: Run, directory: RunDir, is_all: bool) -> None:
    state = click.style(str(run.state), fg=colour_of(run.state), bold=True)
    click.echo(f"{click.style(f'{run.name} version {run.version}', bold=True)}: {run.verb}, {state}")
    counts = ", ".join(f"{run.counts[state]} {state.value.lower()}" for state in State if state in run.counts)
    time = _time(run)
    pairs = [
        ("trials", counts or "none"),
        ("best", _best_line(run)),
        ("parameters", _format.exact_params(run.best_params) if run.best_params else ""),
        ("error", _format.one_line(run.error)),
        ("note", run.description or ""),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(run.tags.items()))),
        ("started", run.started.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") if run.started else ""),
        ("time", _time_line(time)),
        ("directory", directory.shown),
        ("TensorBoard", run.tensorboard_url or f"hopslite tensorboard {run.run_id}"),
        ("MLflow run", run.mlflow_run_id or ""),
    ]
    for name, text in pairs:
        if text:
            click.echo(f"  {name + ':':<13}{text}")
    if run.trials:
        click.echo()
        best = run.best_trial.id if run.best_trial else None
        trials, omitted = _format.select(run.trials, run.direction, run.best_trial, len(run.trials) if is_all else ROWS)
        table(
            ["", "trial", "gen", "parameters", "metric", "state", "duration", "why"],
            [_trial_row(trial, trial.id == best) for trial in trials],
            elastic=["parameters", "why"],
            last=["gen", "duration", "why", "state"],
        )
        if omitted:
            click.echo(f"and {omitted} more; -a shows all")


def _best_line(run: Run) -> str:
    if run.best_trial is None:
        return ""
    goal = {Direction.MAX: "largest", Direction.MIN: "smallest"}.get(run.direction) if run.direction else None
    what = f"{run.optimization_key or 'metric'} = {_format.metric(run.best_metric)}"
    return f"{what} (trial {run.best_trial.id}{f'; the {goal} counts' if goal else ''})"


def _time_line(time: Mapping[str, float | None]) -> str:
    lengths = [
        (time["total"], "{} in all"),
        (time["until_first_trial"], "{} until the first trial began"),
        (time["in_trials"], "{} in trials"),
        (time["median_trial"], "median {}"),
        (time["longest_trial"], "longest {}"),
        (time["after_last_trial"], "{} after the last"),
    ]
    pieces = [text.format(_format.duration(max(0.0, seconds))) for seconds, text in lengths if seconds is not None]
    if time["busy"] is not None:
        pieces.append(f"{time['busy']:.1f} at a time on average")
    return ", ".join(pieces)


def _trial_row(trial: Trial, is_best: bool) -> list[str]:
    why = trial.error or trial.cause or "; ".join(trial.warnings)
    generation = "" if trial.generation is None else str(trial.generation)
    texts = [trial.id, generation, _format.params(trial.params), _format.metric(trial.metric), str(trial.state)]
    return ["*" if is_best else "", *texts, _format.duration(trial.duration), _format.one_line(why)]


def _show_trial(run: Run, trial: Trial, is_json: bool) -> None:
    directory = RunDir(trial.logdir)
    files = directory.sizes() if directory.exists() else {}
    if is_json:
        say({**_trial(trial), "run_id": run.run_id, "files": files})
        return
    state = click.style(str(trial.state), fg=colour_of(trial.state), bold=True)
    click.echo(f"{click.style(f'{run.name} version {run.version}, trial {trial.id}', bold=True)}: {state}")
    pairs = [
        ("parameters", _format.exact_params(trial.params)),
        ("metric", _format.metric(trial.metric)),
        ("outputs", _format.exact_params(trial.outputs)),
        ("generation", "" if trial.generation is None else str(trial.generation)),
        ("started", moment(trial.started_at)),
        ("duration", _format.duration(trial.duration)),
        ("host", trial.host or ""),
        ("cause", trial.cause or ""),
        ("error", _format.one_line(trial.error)),
        ("warnings", "; ".join(trial.warnings)),
        ("directory", directory.shown),
        ("files", ", ".join(sorted(name for name in files if not name.startswith(".")))),
    ]
    for name, text in pairs:
        if text:
            click.echo(f"  {name + ':':<13}{text}")
    if trial.traceback:
        click.echo(f"\n{trial.traceback.rstrip()}")


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=RUN)
@click.option("-d", "--different", is_flag=True, help="Only what is not the same.")
@as_json
@project_option
def compare_command(place: str | None, runs: tuple[str, ...], different: bool, is_json: bool) -> None:
    """Compare runs side by side: metrics, parameters, spaces, code and data."""
    project = home(place)
    if len(runs) < 2:
        raise click.UsageError("give two runs, or more")
    directories = [find(project, run) for run in runs]
    found = [_comparable(read(project, directory), directory) for directory in directories]
    if is_json:
        say(found)
        return
    names = list(dict.fromkeys(name for each in found for name in each))
    rows = []
    for name in names:
        texts = [_short(each.get(name)) for each in found]
        is_same = len({repr(each.get(name)) for each in found}) == 1
        if any(texts) and not (different and is_same):
            rows.append(["" if is_same else "≠", name, *texts])
    heads = [f"{each['name']}/{each['version']}" for each in found]
    unique = [head if heads.count(head) == 1 else found[i]["run_id"] for i, head in enumerate(heads)]
    table(["", "fact", *unique], rows, elastic=["fact", *unique])


def _comparable(run: Run, directory: RunDir) -> dict[str, Any]:
    files = dict(zip(_FILES, directory.read_many(_FILES), strict=True))
    record, git = (_loaded(files[name]) for name in _FILES)
    function = record.get("function") or {}
    spaces = record.get("space")
    flat = {f"space {name}": value for name, value in spaces.items()} if isinstance(spaces, dict) else {"space": spaces}
    params = {f"best {name}": value for name, value in (run.best_params or {}).items()}
    time = _time(run)
    return {
        "run_id": run.run_id,
        "name": run.name,
        "version": run.version,
        "verb": run.verb,
        "state": str(run.state),
        "note": run.description,
        **{f"tag {key}": value for key, value in sorted(run.tags.items())},
        run.optimization_key or "metric": run.best_metric,
        **params,
        "direction": str(run.direction or ""),
        **flat,
        "trials": len(run.trials),
        "failed": run.counts.get(State.FAILED, 0),
        "stopped": run.counts.get(State.STOPPED, 0),
        "duration": _format.duration(run.duration),
        "median trial": _format.duration(time["median_trial"]),
        "busy slots": None if time["busy"] is None else round(time["busy"], 1),
        "seed": run.seed,
        **{f"input {name}": value for name, value in (record.get("inputs") or {}).items()},
        "function": function.get("name"),
        "code": _digest(function.get("source")),
        "commit": str(git.get("commit") or "")[:12] or None,
        "started": moment(run.started.timestamp()) if run.started else "",
        "hopslite": record.get("hopslite"),
    }


_FILES = ["run.json", "git.json"]


def _digest(source: Any) -> str | None:
    """A few characters that are others for another source."""
    return hashlib.sha256(str(source).encode()).hexdigest()[:8] if source else None


def _loaded(content: bytes | None) -> dict[str, Any]:
    from .._past import record_of

    return record_of(content) or {}


def _short(value: Any) -> str:
    if isinstance(value, float):
        return _format.metric(value)
    return "" if value is None else _format.one_line(str(value))


@click.command("best")
@click.argument("name", type=RUN)
@click.option("--metric", help="A number that the trials returned; default: what the runs optimised.")
@click.option("--direction", type=click.Choice(["max", "min"]), help="Default: that of the runs.")
@as_json
@project_option
def best_command(place: str | None, name: str, metric: str | None, direction: str | None, is_json: bool) -> None:
    """Find the best trial of all runs of a NAME."""
    from .._best import best

    project = home(place)
    if name not in {*_names(project, name)}:
        find(project, name)  # says which names there are, or that this is a run's id
        raise RunNotFound(f"{name!r} is a run, and no name of runs; hopslite show {name} best shows its best trial")
    found = best(name, metric, direction, project=place)
    if is_json:
        names = ("name", "version", "run_id", "metric", "value", "direction", "params", "outputs", "logdir")
        say({**{each: getattr(found, each) for each in names}, "trial": found.trial.id})
        return
    click.echo(repr(found))


def _names(project: Any, name: str) -> list[str]:
    from ..store.references import versions_of

    return [name] if versions_of(project, name) else []
