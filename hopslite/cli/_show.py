"""Commands that show one run or trial: `show` and `best`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import click

from .. import _format
from .._runs import find, read, trial_of
from .._trial import Direction, State
from ..errors import RunNotFound
from ..result import Run, Trial
from ..store import RunDir
from ._common import RUN, as_json, colour_of, command, home, moment, project_option, say, table

__all__ = ["best_command", "seconds_of", "show_command"]

ROWS = 20


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
        say({**_facts(found), "time": seconds_of(found), "trials": [_trial(each) for each in found.trials]})
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


def seconds_of(run: Run) -> dict[str, float | None]:
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
    time = seconds_of(run)
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
        ("TensorBoard", run.tensorboard_url or command(f"tensorboard {run.run_id}")),
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
