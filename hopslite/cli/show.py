"""The command `show`: one run or one trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from ..core import formatting
from ..core.formatting import plain
from ..core.objectives import described
from ..core.types import Direction, State
from ..result import Run, Trial
from ..result.table import csv_of
from ..runs.history import RunHistory
from ..runs.lookup import find, read, trial_of
from ..runs.running import RunningTrial, RunProgress, progress_of
from ..runs.time_spent import seconds_of
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in
from ._options import RUN, as_json, home, project_option
from ._output import colour_of, command, local_time, write, write_facts, write_json, write_table

__all__ = ["show_command"]

ROWS = 20
SAME_REASON = 5  # ids beside one reason
FIRST_COLUMNS = ("", "trial", "gen", "continues")
LAST_COLUMNS = ("metric", "state", "duration")


@click.command("show")
@click.argument("run", type=RUN)
@click.argument("trial", required=False)
@click.option("-a", "--all", "is_all", is_flag=True, help=f"All trials, not only {ROWS}.")
@click.option(
    "--csv", "is_csv", is_flag=True, help="All trials as comma-separated values, as run.to_csv() writes them."
)
@as_json
@project_option
def show_command(place: str | None, run: str, trial: str | None, is_all: bool, is_csv: bool, is_json: bool) -> None:
    """Show a run: its trials, parameters, metrics, and where the time went; or one TRIAL (its id, or best)."""
    if is_csv and (is_json or trial is not None):
        raise click.UsageError("--csv writes all trials of a run: it takes neither a TRIAL nor --json")
    project = home(place)
    directory = find(project, run)
    loaded = read(project, directory)
    if is_csv:
        click.echo(csv_of(loaded.trials, loaded._front), nl=False)
    elif trial is not None:
        _show_trial(loaded, trial_of(loaded, trial), is_json)
    elif is_json:
        progress = {"progress": now.to_json()} if (now := _progress(loaded, directory)) else {}
        trials = [_trial(trial) for trial in loaded.trials]
        write_json({**_facts(loaded), **progress, "time": seconds_of(loaded), "trials": trials})
    else:
        _show_run(loaded, directory, is_all)


def _progress(run: Run, directory: RunDir) -> RunProgress | None:
    """Progress of a run that goes on; None if it has ended."""
    return progress_of(RunHistory(directory, record_in(directory))) if run.state is State.RUNNING else None


def _facts(run: Run) -> dict[str, Any]:
    names = ("run_id", "name", "version", "verb", "state", "error", "direction", "optimization_key")
    more = ("duration", "seed", "description", "tags", "logdir", "mlflow_run_id", "tensorboard_url")
    facts = {name: getattr(run, name) for name in (*names, *more)}
    return {
        **facts,
        "best_trial": run._best.id if run._best else None,
        "best_metric": run._best.metric if run._best else None,
        "best_params": run._best.params if run._best else None,
        "best_schedule": schedule.to_json() if (schedule := run.best_schedule) else None,
        "objectives": [objective.to_json() for objective in run.objectives],
        "pareto_trials": [trial.id for trial in run.pareto_trials],
        "started": run.started.timestamp() if run.started else None,
        "counts": dict(run.counts),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    names = (
        "id",
        "state",
        "metric",
        "metrics",
        "params",
        "outputs",
        "error",
        "cause",
        "started_at",
        "duration",
        "generation",
        "continues",
    )
    return {name: getattr(trial, name) for name in (*names, "host", "warnings", "usage", "logdir", "log")}


def _show_run(run: Run, directory: RunDir, is_all: bool) -> None:
    state = click.style(str(run.state), fg=colour_of(run.state), bold=True)
    click.echo(f"{click.style(plain(f'{run.name} version {run.version}'), bold=True)}: {plain(run.verb)}, {state}")
    counts = ", ".join(f"{run.counts[state]} {state.value.lower()}" for state in State if state in run.counts)
    time, progress = seconds_of(run), _progress(run, directory)
    facts = [
        ("trials", f"{_ended_of(progress)}: {counts}" if progress else counts or "none"),
        ("so far", _so_far(progress) if progress else ""),
        ("best", _best_line(run)),
        ("parameters", formatting.exact_params(run._best.params) if run._best else ""),
        ("error", formatting.one_line(run.error)),
        ("note", run.description or ""),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(run.tags.items()))),
        ("started", run.started.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") if run.started else ""),
        ("time", _time_line(time)),
        ("directory", directory.shown),
        ("TensorBoard", run.tensorboard_url or command(f"tensorboard {run.run_id}")),
        ("MLflow run", run.mlflow_run_id or ""),
    ]
    write_facts(facts)
    _show_schedule(run, is_all)
    if run.trials:
        click.echo()
        marked = {trial.id for trial in run._chosen}
        trials, omitted = _selected(run, len(run.trials) if is_all else ROWS)
        now = {trial.id: trial for trial in progress.running} if progress else {}
        _show_trials(trials, marked, now)
        if omitted:
            click.echo(f"and {omitted} more; -a shows all")
        _show_reasons(trials)


def _selected(run: Run, limit: int) -> tuple[list[Trial], int]:
    """Trials of the table, with those that run among them, and the number of trials that are left out."""
    trials, omitted = formatting.select(run.trials, run.direction, run._chosen, limit)
    shown = {trial.id for trial in trials}
    running = [trial for trial in run.trials if trial.state is State.RUNNING and trial.id not in shown][:limit]
    return [*trials, *running], omitted - len(running)


def _show_trials(trials: Sequence[Trial], marked: Collection[str], now: Mapping[str, RunningTrial]) -> None:
    """Show a table with a column per parameter."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    params = {name: f"params.{name}" if name in (*FIRST_COLUMNS, *LAST_COLUMNS) else name for name in names}
    columns = list(params.values())
    left_out = write_table(
        [*FIRST_COLUMNS, *columns, *LAST_COLUMNS],
        [_trial_row(trial, names, trial.id in marked, now.get(trial.id)) for trial in trials],
        elastic=columns,
        last=["continues", "gen", *columns[:1:-1], "duration", "state", *columns[1::-1]],
    )
    missing = [plain(name) for name in left_out if name in columns]
    if missing:
        click.echo(f"no room for {', '.join(reversed(missing))}; a wider terminal, show RUN TRIAL or --csv shows all")


def _show_reasons(trials: Sequence[Trial]) -> None:
    """Show below the table why trials failed or were stopped, equal reasons once."""
    reasons: dict[str, list[str]] = {}
    for trial in trials:
        if why := trial.error or trial.cause or "; ".join(trial.warnings):
            reasons.setdefault(formatting.one_line(why), []).append(trial.id)
    if reasons:
        click.echo()
    for why, ids in reasons.items():
        more = f" and {len(ids) - SAME_REASON} more" if len(ids) > SAME_REASON else ""
        click.echo(f"{', '.join(ids[:SAME_REASON])}{more}: {why}")


def _ended_of(progress: RunProgress) -> str:
    """Number of trials that have ended: `2/8`, or `2` if the total is not known."""
    return f"{progress.ended}/{progress.total}" if progress.total is not None else str(progress.ended)


def _so_far(progress: RunProgress) -> str:
    left = "" if progress.remaining is None else f", about {formatting.duration(progress.remaining)} left"
    return f"{formatting.duration(progress.elapsed)} elapsed{left}"


def _show_schedule(run: Run, is_all: bool) -> None:
    """Show the parameters of the best trial's training step by step, if they have changed."""
    schedule = run.best_schedule or ()
    if len(schedule) < 2:
        return
    shown = schedule if is_all else schedule[-ROWS:]
    click.echo(f"\nschedule of trial {schedule[-1].trial}:")
    rows = [[f"{s.start:g} to {s.stop:g}", s.trial or "", formatting.params(s.params)] for s in shown]
    write_table(["steps", "trial", "parameters"], rows, elastic=["parameters"])
    if len(shown) < len(schedule):
        click.echo(f"and {len(schedule) - len(shown)} earlier; -a shows all")


def _best_line(run: Run) -> str:
    if run.objectives:
        count = len(run.pareto_trials)
        return f"{count} trial{'s' * (count != 1)} in {described(run.objectives)}, marked below"
    if run._best is None:
        return ""
    goal = {Direction.MAX: "largest", Direction.MIN: "smallest"}.get(run.direction) if run.direction else None
    score = f"{run.optimization_key or 'metric'} = {formatting.metric(run._best.metric)}"
    return f"{score} (trial {run._best.id}{f'; the {goal} counts' if goal else ''})"


def _time_line(time: Mapping[str, float | None]) -> str:
    lengths = [
        (time["total"], "{} in all"),
        (time["until_first_trial"], "{} until the first trial began"),
        (time["in_trials"], "{} in trials"),
        (time["median_trial"], "median {}"),
        (time["longest_trial"], "longest {}"),
        (time["after_last_trial"], "{} after the last"),
    ]
    pieces = [text.format(formatting.duration(max(0.0, seconds))) for seconds, text in lengths if seconds is not None]
    if time["busy"] is not None:
        pieces.append(f"{time['busy']:.1f} at a time on average")
    return ", ".join(pieces)


def _trial_row(trial: Trial, names: Sequence[str], is_best: bool, now: RunningTrial | None) -> list[str]:
    generation = "" if trial.generation is None else str(trial.generation)
    values = [formatting.param(name, trial.params[name]) if name in trial.params else "" for name in names]
    score, duration = formatting.score(trial), trial.duration
    if now is not None:
        duration = now.elapsed
        score = "" if now.value is None else f"{formatting.metric(now.value)} at step {now.step:g}"
    texts = [score, str(trial.state), formatting.duration(duration)]
    return ["*" if is_best else "", trial.id, generation, trial.continues or "", *values, *texts]


def _show_trial(run: Run, trial: Trial, is_json: bool) -> None:
    directory = RunDir(trial.logdir)
    files = directory.sizes() if directory.exists() else {}
    if is_json:
        write_json({**_trial(trial), "run_id": run.run_id, "files": files})
        return
    state = click.style(str(trial.state), fg=colour_of(trial.state), bold=True)
    click.echo(f"{click.style(plain(f'{run.name} version {run.version}, trial {trial.id}'), bold=True)}: {state}")
    facts = [
        ("parameters", formatting.exact_params(trial.params)),
        ("metric", formatting.score(trial)),
        ("outputs", formatting.exact_params(trial.outputs)),
        ("generation", "" if trial.generation is None else str(trial.generation)),
        ("continues", trial.continues or ""),
        ("started", local_time(trial.started_at)),
        ("duration", formatting.duration(trial.duration)),
        ("host", trial.host or ""),
        ("cause", trial.cause or ""),
        ("error", formatting.one_line(trial.error)),
        ("warnings", "; ".join(trial.warnings)),
        ("directory", directory.shown),
        ("files", _some(sorted(name for name in files if not name.startswith(".")))),
    ]
    write_facts(facts)
    if trial.traceback:
        write(f"\n{trial.traceback.rstrip()}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - ROWS} more" if len(names) > ROWS else ""
    return ", ".join(names[:ROWS]) + more
